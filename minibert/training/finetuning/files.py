"""The files of a task: read, checked before anything is trained, and told apart by what is in them."""

import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minibert.checkpoints.integrity import sha256_of
from minibert.errors import InputError, shown
from minibert.printable import counted
from minibert.training.data import (
    Columns,
    Question,
    TaggedSentence,
    TextExample,
    check_examples,
    check_known,
    check_training,
    labels_of,
    read_questions,
    read_tagged,
    read_texts,
)
from minibert.training.data.data_warning import DataWarning
from minibert.training.finetuning.options import FinetuneOptions

KINDS = {"classify": "class", "pair": "class", "regress": "number", "multilabel": "labels"}


def read_examples(
    path: str | Path,
    task: str,
    columns: Columns | None = None,
    *,
    token_column: int = 0,
    tag_column: int = -1,
    has_labels: bool = True,
) -> list[Any]:
    """The examples in a file of a task. Raises InputError, naming file and line, for what is wrong in it."""
    if task == "tag":
        return read_tagged(path, token_column=token_column, tag_column=tag_column, has_tags=has_labels)
    if task == "qa":
        return read_questions(path, has_answers=has_labels)
    columns = Columns() if columns is None else columns
    if task == "pair":
        columns = replace(columns, wants_pair=True)
    return read_texts(path, columns, KINDS[task] if has_labels else "none")


def read_for_training(
    train: str | Path, evaluation: str | Path | None, options: FinetuneOptions
) -> tuple[list[Any], list[Any], tuple[str, ...]]:
    """The examples to train on and to evaluate with, and the names of the labels.

    Raises InputError for a file that nothing can be learnt of, and for a label to be evaluated that is not trained.
    """

    def read(path: str | Path) -> list[Any]:
        return read_examples(
            path, options.task, options.columns, token_column=options.token_column, tag_column=options.tag_column
        )

    examples = read(train)
    check_training(examples, str(train))
    labels = labels_of(examples)
    _tell_twins(labels, str(train))
    if options.task == "tag":
        labels = with_inner_tags(labels)
    if evaluation is None:
        return examples, [], labels
    others = read(evaluation)
    check_examples(others, str(evaluation))
    if labels:
        check_known(others, labels)
    _check_evaluated(others, str(evaluation), options.task)
    if options.task == "qa" and any(example.answers is None for example in others):
        place = next(example.place for example in others if example.answers is None)
        raise InputError(f"{place}: it has no answers; expected some, or an empty list, to evaluate with")
    return examples, others, labels


def _tell_twins(labels: Sequence[str], name: str) -> None:
    """A DataWarning for labels that a reader would take for the same one."""
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(unicodedata.normalize("NFKC", label).casefold(), label)
        if other != label:
            warnings.warn(
                f"{name}: the labels {other!a} and {label!a} differ only in capitals or in how their characters are encoded; "
                "they are learned as two",
                DataWarning,
                stacklevel=3,
            )


def _check_evaluated(others: Sequence[Any], name: str, task: str) -> None:
    """InputError for numbers that are all the same, a DataWarning for labels: what can be measured of those says little."""
    if task not in KINDS or len({example.label for example in others}) > 1:
        return
    found = f"{name}: all of its {counted(len(others), 'row')} have the label {shown(others[0].label)}"
    if task == "regress":
        raise InputError(f"{found}; expected two numbers at least, for with one nothing correlates")
    warnings.warn(f"{found}: how often that is right is all that can be measured", DataWarning, stacklevel=2)


def with_inner_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, and the `I-` of every `B-`: a small file may lack what another one of the same kind has."""
    inner = {f"I-{tag[2:]}" for tag in tags if tag.startswith("B-")}
    outside = [tag for tag in tags if tag == "O"]
    return (*outside, *sorted({*tags, *inner} - {"O"}))


def texts_of(examples: Sequence[Any]) -> list[str]:
    """All that a tokenizer will see of the examples."""
    texts: list[str] = []
    for example in examples:
        if isinstance(example, TextExample):
            texts += [example.text] if example.text_pair is None else [example.text, example.text_pair]
        elif isinstance(example, TaggedSentence):
            texts.append(" ".join(example.words))
        elif isinstance(example, Question):
            texts += [example.question, example.context]
    return texts


def facts_of(path: str | Path, examples: Sequence[Any]) -> dict[str, Any]:
    """What tells a file from another one, and how many examples it has."""
    path = Path(path)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path), "examples": len(examples)}
