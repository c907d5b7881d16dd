"""What stands in the output folder besides the model: metrics, curves, and the card that tells of all of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from minibert.features.corpus.receipt import versions
from minibert.printable import counted
from minibert.training.loop import Trained
from minibert.training.pretraining.measuring import BEST_BY
from minibert.training.pretraining.options import PretrainOptions
from minibert.training.reports.front_matter import front_matter
from minibert.training.reports.markdown import as_code, as_plain, table
from minibert.training.reports.training_files import CARD, hub_id, options_table, write_course

USED = """\
from transformers import pipeline

fill = pipeline("fill-mask", model="FOLDER")
print(fill("The bank raised its [MASK]."))"""

LIMITS = (
    "It knows its text and nothing else: the numbers above are of documents of the same text, and say little of others.",
    "What that text says wrongly or unfairly, it has learned too.",
    "It gives no good vectors of sentences, and no answers, before it is fine-tuned.",
)


class Plan(NamedTuple):
    """What is known before the first step."""

    total_steps: int
    files: Sequence[Mapping[str, Any]]
    """Of each name, size and sha256."""
    counts: Mapping[str, int]
    """Documents, sentences, tokens, unknown, held_out, examples, masked, random_pairs; of evaluation the last three too."""
    vocabulary: int
    parameters: int
    done: int = 0
    """Steps that an interrupted run made before its newest checkpoint."""


class Results(NamedTuple):
    """What came of a training."""

    plan: Plan
    trained: Trained
    metrics: Mapping[str, float]


def write_results(folder: Path, name: str, options: PretrainOptions, results: Results) -> None:
    """Write them beside a model that was saved; without matplotlib there are no curves, and a warning says so."""
    write_course(folder, name, results.trained.records)
    (folder / CARD).write_text(card(name, options, results), encoding="utf-8")


def card(name: str, options: PretrainOptions, results: Results) -> str:
    """The README.md of the folder, as the Hub shows it."""
    plan, trained = results.plan, results.trained
    head = front_matter(
        pipeline_tag="fill-mask",
        library="transformers",
        base_model=None if options.model is None else hub_id(str(options.model)),
        name=name,
        data=[file["name"] for file in plan.files],
        metrics=results.metrics,
    )
    files = [[as_code(file["name"]), as_code(file["sha256"]), f"{file['bytes']:,}"] for file in plan.files]
    used = ", ".join(f"{as_plain(each)} {as_plain(version)}" for each, version in versions().items())
    device = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
    sections = [
        f"# {as_plain(name)}",
        _what_it_is(options, plan),
        "## What it is worth",
        *_measured(results),
        "## How it is used",
        f"```python\n{USED}\n```",
        "FOLDER is the folder of this card; `minibert finetune --model FOLDER` goes on from it.",
        "## How it was trained",
        f"{counted(trained.steps, 'step')} were made; the parameters are those after step {trained.best_step:,}. Seed "
        f"{options.training.seed}, on {as_plain(device)}, with {used}.",
        table(["text", "sha256", "bytes"], files, numbers_from=2),
        table(["of the text", "number"], [[each.replace("_", " "), f"{number:,}"] for each, number in plan.counts.items()]),
        options_table(_told(options, results)),
        "## What not to expect",
        "\n".join(f"- {limit}" for limit in LIMITS),
    ]
    return head + "\n" + "\n\n".join(sections) + "\n"


def _what_it_is(options: PretrainOptions, plan: Plan) -> str:
    objectives = "masked tokens and next sentences" if options.next_sentence else "masked tokens"
    # A folder's own name: where it lies is nobody's business but its owner's.
    begun = "from random numbers" if options.model is None else f"going on from {as_code(Path(options.model).name)}"
    return (
        f"BERT, pre-trained by minibert {begun} on {objectives}: {plan.parameters:,} parameters, a vocabulary of "
        f"{plan.vocabulary:,} tokens, rows of {options.max_length:,}."
    )


def _measured(results: Results) -> list[str]:
    if not results.metrics:
        return ["It was not measured: no document was held out."]
    held_out = counted(results.plan.counts["held_out"], "document")
    rows = [[as_code(each), f"{value:.4f}"] for each, value in results.metrics.items()]
    how = (
        f"Measured on {held_out} that it was not trained on; these parameters are the best of the training by {as_code(BEST_BY)}."
    )
    return [how, table(["metric", "value"], rows)]


def _told(options: PretrainOptions, results: Results) -> dict[str, Any]:
    """Every option by its name, with what was taken where nothing was given."""
    values = dataclasses.asdict(options)
    training = values.pop("training")
    optimiser = training.pop("optimiser")
    training.pop("seed")
    for name in ("model", "tokenizer"):
        values[name] = None if values[name] is None else Path(values[name]).name
    config = results.trained.model.config
    values |= {
        "vocabulary_size": results.plan.vocabulary,
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "positions": config.max_position_embeddings,
        "max_predictions": options.most_masked,
        "dropout": config.hidden_dropout_prob,
    }
    # Of the two one decided how long.
    if options.steps is None:
        values.pop("steps")
    else:
        training.pop("epochs")
    return values | training | optimiser
