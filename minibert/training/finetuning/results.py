"""What stands in the output folder besides the model: metrics, curves, the task, and the card that tells of all of it."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from minibert.features.corpus.receipt import versions
from minibert.training.finetuning.options import FinetuneOptions
from minibert.training.finetuning.prediction import write_task_file
from minibert.training.loop import Trained
from minibert.training.reports import CardFacts, ConfusionMatrix, DataFile, model_card
from minibert.training.reports.training_files import CARD, hub_id, write_course
from minibert.training.tasks import DescribedTask


class Plan(NamedTuple):
    """What is known before the first step."""

    total_steps: int
    train: Mapping[str, Any]
    """Name, size, sha256 and number of examples."""
    evaluation: Mapping[str, Any] | None
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    """Of the examples to train on: how many there are, how many were cut, how many rows they became."""
    unknown_words: float | None
    done: int = 0
    """Steps that an interrupted run made before its newest checkpoint."""


class Results(NamedTuple):
    """What came of a training."""

    plan: Plan
    trained: Trained
    metrics: Mapping[str, float]
    details: Mapping[str, Any]
    """What the task tells besides: a confusion matrix, the types of entities."""


def write_results(folder: Path, name: str, options: FinetuneOptions, task: DescribedTask, results: Results) -> None:
    """Write them beside a model that was saved; without matplotlib there are no curves, and a warning says so."""
    write_task_file(folder, task)
    write_course(folder, name, results.trained.records)
    (folder / CARD).write_text(model_card(_facts(name, options, task, results)), encoding="utf-8")


def _facts(name: str, options: FinetuneOptions, task: DescribedTask, results: Results) -> CardFacts:
    matrix = results.details.get("confusion_matrix")
    files = (("training", results.plan.train), ("evaluation", results.plan.evaluation))
    trained = results.trained
    return CardFacts(
        name=name,
        task=task.name,
        # A folder's own name: where it lies is nobody's business but its owner's.
        base=Path(options.model).name if options.vectors is None else Path(options.vectors).name,
        base_model=hub_id(options.model) if options.baseline is None else None,
        labels=task.labels,
        data=tuple(
            DataFile(role, facts["name"], facts["examples"], facts["sha256"]) for role, facts in files if facts is not None
        ),
        options=dict(_told(options, task)),
        seed=options.training.seed,
        versions=versions(),
        device=f"{jax.device_count()} × {jax.devices()[0].device_kind}",
        steps=trained.steps,
        best_step=trained.best_step,
        metrics=results.metrics,
        best_by=task.best_by if results.metrics else "",
        confusion=None if matrix is None else ConfusionMatrix(tuple(results.details["labels"]), np.asarray(matrix)),
        by_type=results.details.get("by_type"),
        notes=tuple(_notes(results)),
        is_baseline=options.baseline is not None,
    )


def _told(options: FinetuneOptions, task: DescribedTask) -> Iterator[tuple[str, Any]]:
    """Every option by its name, without those that were nowhere used."""
    values = dataclasses.asdict(options)
    training = values.pop("training")
    optimiser = training.pop("optimiser")
    if options.baseline is None:
        for name in ("baseline", "vectors", "trains_vectors", "lstm_size"):
            values.pop(name)
    for name in ("model", "columns", "token_column", "tag_column", "task_settings", "task"):
        values.pop(name)
    settings = {name: value for name, value in task.settings().items() if name not in ("task", "labels")}
    training.pop("seed")
    yield from (settings | values | training | optimiser).items()


def _notes(results: Results) -> Iterator[str]:
    for what, number in results.plan.counts.items():
        if number and what not in ("texts", "sentences", "questions", "rows"):
            yield f"Of the training data, {what.replace('_', ' ')}: {number:,}."
    if results.plan.unknown_words is not None:
        yield f"{results.plan.unknown_words:.1%} of the words to learn from have no vector."
    if results.trained.steps < results.trained.total_steps:
        yield f"The training stopped before its {results.trained.total_steps:,} steps, for evaluations did not get better."
