"""The card of a trained model: the README.md of its folder, in the form that the Hub shows.

First come the lines by which the Hub files the model, then for people: what it is, how it came about, what it is worth, how it
is used, and what must not be expected of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minibert.errors import InputError, shown
from minibert.printable import counted
from minibert.training.reports.front_matter import front_matter
from minibert.training.reports.markdown import as_code, as_plain, table
from minibert.training.reports.training_files import options_table
from minibert.training.reports.usage import PIPELINE_TAGS, limits, usage

MOST_LABELS = 100
"""So many are listed; of a confusion matrix so many rows and columns fit no screen, and the largest mistakes are listed."""
WIDEST_MATRIX = 20
MOST_MISTAKES = 20

WHAT = {
    "classify": "puts a text into one of {labels}",
    "regress": "gives a text, or a pair of texts, a number",
    "multilabel": "says of each of {labels} whether a text has it",
    "pair": "puts a pair of texts into one of {labels}",
    "tag": "gives each word of a text one of {labels}",
    "qa": "finds the answer to a question in a text",
}
"""By the task's name."""


class DataFile(NamedTuple):
    """A file that was learned from or measured on."""

    role: str
    """`training` or `evaluation`."""
    name: str
    """Without its folder."""
    examples: int
    sha256: str


class ConfusionMatrix(NamedTuple):
    """How often each label was taken for each."""

    labels: tuple[str, ...]
    counts: np.ndarray
    """Whole numbers [labels, labels]: rows are what is right, columns what the model says."""


@dataclass(frozen=True)
class CardFacts:
    """All that a card tells.

    Args:
        name: of the model, as its folder is called.
        task: `classify`, `regress`, `multilabel`, `pair`, `tag` or `qa`.
        base: what was trained on, as people call it: a name of the registry, a folder's name.
        base_model: its id on the Hub; None where it is not there.
        labels: in the order of the logits; none where labels have no names.
        data: the files.
        options: every option of the training by its name.
        seed: of the training.
        versions: of minibert and of what it computes with, by their names.
        device: on which it was trained, in words.
        steps: how many were made.
        best_step: after how many of them these parameters were reached.
        metrics: of these parameters, on the evaluation data; none where there was no evaluation.
        best_by: the metric by which these parameters were chosen.
        confusion: where texts have one label each.
        by_type: for each type of entity its metrics, all with the same names.
        notes: sentences of plain text on what else should be known, such as how many texts were cut.
        is_baseline: whether it is the baseline instead of BERT, which transformers does not know.

    Raises InputError for a task that there is not, and a confusion matrix that is not as large as its labels are many.
    """

    name: str
    task: str
    base: str
    base_model: str | None
    labels: tuple[str, ...]
    data: tuple[DataFile, ...]
    options: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str]
    device: str
    steps: int
    best_step: int
    metrics: Mapping[str, float]
    best_by: str
    confusion: ConfusionMatrix | None = None
    by_type: Mapping[str, Mapping[str, float | int]] | None = None
    notes: tuple[str, ...] = ()
    is_baseline: bool = False

    def __post_init__(self) -> None:
        if self.task not in WHAT:
            raise InputError(f"the task is {shown(self.task)}; expected one of {', '.join(WHAT)}")
        if self.confusion is not None:
            count = len(self.confusion.labels)
            if self.confusion.counts.shape != (count, count):
                raise InputError(
                    f"the confusion matrix has the shape {list(self.confusion.counts.shape)}; expected {[count, count]}, a row "
                    "and a column for each of its labels"
                )

    def files(self, role: str) -> list[DataFile]:
        """The files of a role."""
        return [file for file in self.data if file.role == role]


def model_card(facts: CardFacts) -> str:
    """The text of the card, ending in a line's end; whatever names it is given, it stays valid YAML and Markdown."""
    head = front_matter(
        pipeline_tag=PIPELINE_TAGS[facts.task],
        library="minibert" if facts.is_baseline else "transformers",
        base_model=facts.base_model,
        name=facts.name,
        data=[file.name for file in facts.files("evaluation")],
        metrics=facts.metrics,
    )
    sections = [f"# {as_plain(facts.name)}", _what_it_is(facts), *_labels(facts), *_measured(facts)]
    sections += ["## How it is used", *usage(facts.task, facts.is_baseline), *_trained(facts)]
    sections += ["## What not to expect", _list([*limits(facts.task), *map(as_plain, facts.notes)])]
    return head + "\n" + "\n\n".join(sections) + "\n"


def _what_it_is(facts: CardFacts) -> str:
    what = WHAT[facts.task].format(labels=counted(len(facts.labels), "label"))
    model = "A bidirectional LSTM on the word vectors of" if facts.is_baseline else "BERT, fine-tuned from"
    return f"{model} {as_code(facts.base)} by minibert. It {what}."


def _labels(facts: CardFacts) -> list[str]:
    if not facts.labels:
        return []
    listed = [as_code(label) for label in facts.labels[:MOST_LABELS]]
    more = len(facts.labels) - len(listed)
    return ["## Labels", ", ".join(listed) + (f" and {more:,} more; config.json has them all" if more else "")]


def _measured(facts: CardFacts) -> list[str]:
    if not facts.metrics:
        return ["## What it is worth", "It was not measured: there was no evaluation data."]
    data = ", ".join(as_code(file.name) for file in facts.files("evaluation")) or "the evaluation data"
    how = f"Measured on {data}; these parameters are the best of the training by {as_code(facts.best_by)}."
    sections = ["## What it is worth", how]
    sections.append(table(["metric", "value"], [[as_code(name), _rounded(value)] for name, value in facts.metrics.items()]))
    if facts.by_type:
        sections += ["By the type of entity:", _by_type(facts.by_type)]
    if facts.confusion is not None:
        sections += _confusion(facts.confusion)
    return sections


def _by_type(by_type: Mapping[str, Mapping[str, float | int]]) -> str:
    names = list(next(iter(by_type.values())))
    rows = [[as_code(kind), *(_rounded(values[name]) for name in names)] for kind, values in by_type.items()]
    return table(["type", *map(as_code, names)], rows)


def _confusion(confusion: ConfusionMatrix) -> list[str]:
    labels, counts = [as_code(label) for label in confusion.labels], confusion.counts
    if len(labels) <= WIDEST_MATRIX:
        rows = [[label, *(f"{count:,}" for count in of_label.tolist())] for label, of_label in zip(labels, counts, strict=True)]
        return ["How often each label (a row) was taken for each (a column):", table(["", *labels], rows)]
    wrong = counts * (1 - np.eye(len(labels), dtype=np.int64))
    largest = [divmod(place, len(labels)) for place in np.argsort(-wrong, axis=None, kind="stable")[:MOST_MISTAKES].tolist()]
    rows = [[labels[right], labels[said], f"{wrong[right, said]:,}"] for right, said in largest if wrong[right, said]]
    if not rows:
        return ["No label was taken for another."]
    return ["The most frequent mistakes:", table(["label", "taken for", "times"], rows, numbers_from=2)]


def _trained(facts: CardFacts) -> list[str]:
    files = [[file.role, as_code(file.name), f"{file.examples:,}", as_code(file.sha256)] for file in facts.data]
    steps = f"{counted(facts.steps, 'step')} were made; the parameters are those after step {facts.best_step:,}."
    versions = ", ".join(f"{as_plain(name)} {as_plain(version)}" for name, version in facts.versions.items())
    return [
        "## How it was trained",
        f"{steps} Seed {facts.seed}, on {as_plain(facts.device)}, with {versions}.",
        # Two columns of texts, one of numbers, and the hash.
        table(["data", "file", "examples", "sha256"], files, numbers_from=4),
        options_table(facts.options),
    ]


def _rounded(value: float | int) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "undefined"
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0.0 else f"{value:.3g}"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
