"""The job: files are read and checked, a model is trained on them, and a folder holds what came of it, whole or not at all."""

import contextlib
import dataclasses
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from minibert.checkpoints.new_folder import check_new
from minibert.checkpoints.registry import resolve
from minibert.errors import CheckpointError, InputError
from minibert.features.corpus.receipt import tokenizer_digest, versions, weights_digest
from minibert.training.data.data_warning import DataWarning
from minibert.training.finetuning.files import facts_of, read_for_training, texts_of
from minibert.training.finetuning.models import (
    Words,
    new_model,
    objective_of,
    save_trained,
    task_of,
    tokenizer_of,
    words_for,
)
from minibert.training.finetuning.options import FinetuneOptions
from minibert.training.finetuning.results import Plan, Results, write_results
from minibert.training.finetuning.work import Work
from minibert.training.inference import logits_of
from minibert.training.loop import Record, Trained, fit
from minibert.training.metrics.training_extra import imported
from minibert.training.order import Order
from minibert.training.parallel import Placement, together
from minibert.training.reports.training_files import opened_reports
from minibert.training.tasks import DescribedTask


class Finetuned(NamedTuple):
    """What a job made."""

    folder: Path
    trained: Trained
    metrics: Mapping[str, float]
    """Of the model that was kept, on the file to evaluate with; empty without one."""
    details: Mapping[str, Any]
    """What the task tells besides: a confusion matrix, the types of entities."""
    unknown_words: float | None
    """Of a baseline: the share of the words to train on that have no vector."""


def finetune(
    train: str | Path,
    evaluation: str | Path | None,
    output: str | Path,
    options: FinetuneOptions,
    *,
    resume: bool = False,
    restart: bool = False,
    planned: Callable[[Plan], None] | None = None,
    report: Callable[[Record], None] | None = None,
    tensorboard: str | Path | None = None,
) -> Finetuned:
    """Train a model on a file, evaluate it on another, and write it into a new folder.

    Args:
        train, evaluation: the files; without the second the last parameters are kept, else the best.
        output: the folder, absent or empty. Until it is done the training lives in `OUTPUT.training` beside it.
        options: what is trained, and how.
        resume: go on with a training that was interrupted.
        restart: forget one that was.
        planned: is called once everything was read and checked, before the first step.
        report: is called with every record of metrics.
        tensorboard: a folder for events of TensorBoard.

    Raises InputError for files that cannot be learnt from, by file and line, and for an interrupted training that was another one
    or that nobody mentioned; CheckpointError for a broken checkpoint, and where nothing can be written; TrainingError where the
    loss or a gradient stops being finite. Whatever was done stays in `OUTPUT.training`.
    """
    output = Path(output).absolute()
    if resume and restart:
        raise InputError("resume and restart were both given; give one of them")
    work = Work(output)
    inputs = [train, evaluation, options.vectors, options.model]
    with work.locked(inputs), contextlib.ExitStack() as stack:
        if resume:
            together(work.check_unfinished)
        check_new(output)
        reports = opened_reports(stack, work.folder, report, tensorboard)
        return _Job(train, evaluation, options, work, reports).run(resume, restart, planned)


class _Job:
    def __init__(
        self,
        train: str | Path,
        evaluation: str | Path | None,
        options: FinetuneOptions,
        work: Work,
        reports: Sequence[Callable[[Record], None]],
    ) -> None:
        self.options, self.work, self.reports = options, work, reports
        for name in ("patience", "evaluate_every"):
            if evaluation is None and getattr(options.training, name) is not None:
                raise InputError(f"{name} was given without a file to evaluate with; give one, or leave {name} out")
        if evaluation is not None:
            # An evaluation after hours of training is no time to learn that a library is missing.
            imported("sklearn.metrics")
            imported("seqeval.metrics") if options.task == "tag" else None
        self.examples, self.others, self.labels = read_for_training(train, evaluation, options)
        self.words: Words | None = None
        if options.baseline is None:
            self.tokenizer = tokenizer_of(options.model)
        else:
            self.words = words_for(options, texts_of(self.examples), texts_of(self.others))
            self.tokenizer = self.words.tokenizer
        self.task: DescribedTask = task_of(options, self.tokenizer, self.labels, self.examples)
        self.rows = self.task.rows(self.examples)
        self.other_rows = self.task.rows(self.others) if self.others else None
        self.train_facts = facts_of(train, self.examples)
        self.other_facts = None if evaluation is None else facts_of(evaluation, self.others)
        if self.other_facts is not None and self.other_facts["sha256"] == self.train_facts["sha256"]:
            warnings.warn(
                f"{evaluation} is what is trained on: its metrics say how well it was remembered, and nothing of others",
                DataWarning,
                stacklevel=2,
            )

    def run(self, resume: bool, restart: bool, planned: Callable[[Plan], None] | None) -> Finetuned:
        options = self.options.training
        Placement(options.devices).check_batch_size(options.batch_size, options.accumulation)
        model = new_model(self.options, self.task, self.words)
        together(lambda: self.work.start(self._facts(), resume=resume, restart=restart))
        plan = self._plan()
        if planned is not None:
            planned(plan)
        trained = fit(
            model,
            self.rows,
            objective_of(self.options, self.task, self.rows),
            options,
            evaluate=None if self.other_rows is None else self._evaluate,
            best_by=self.task.best_by,
            folder=self.work.folder,
            report=self._report,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        metrics, details = self._measured(trained.model)
        if jax.process_index() == 0:
            self._write(Results(plan, trained, metrics, details))
        return Finetuned(self.work.output, trained, metrics, details, plan.unknown_words)

    def _plan(self) -> Plan:
        options = self.options.training
        return Plan(
            total_steps=options.epochs * Order(len(self.rows), options.batch_size, options.seed).steps_per_epoch,
            train=self.train_facts,
            evaluation=self.other_facts,
            labels=self.labels,
            counts={**self.task.counts(self.examples), "rows": len(self.rows)},
            unknown_words=None if self.words is None else self.words.unknown,
            done=max(self.work.steps(), default=0),
        )

    def _report(self, record: Record) -> None:
        for report in self.reports:
            report(record)

    def _logits(self, model: Any, placement: Placement | None) -> Any:
        assert self.other_rows is not None
        return logits_of(
            model,
            self.other_rows,
            batch_size=self.options.training.batch_size,
            placement=placement,
            pad_token_id=self.tokenizer.pad_token_id,
        )

    def _evaluate(self, model: Any, placement: Placement) -> Mapping[str, float]:
        return self.task.metrics(self.others, self._logits(model, placement))

    def _measured(self, model: Any) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        """Of the model as it is stored, not as it is laid out for training."""
        if self.other_rows is None:
            return {}, {}
        placement = None
        if jax.process_count() > 1:
            # No process has devices for a computation of its own.
            placement = Placement(self.options.training.devices)
            model = placement.place(model)
        logits = self._logits(model, placement)
        return self.task.metrics(self.others, logits), self.task.details(self.others, logits)

    def _facts(self) -> dict[str, Any]:
        """Everything that a bit of the result depends on."""
        options = {name: value for name, value in dataclasses.asdict(self.options).items() if name != "model"}
        devices = jax.devices()
        return {
            "options": options,
            "train": self.train_facts,
            "evaluation": self.other_facts,
            "tokenizer_sha256": tokenizer_digest(self.tokenizer),
            "weights_sha256": weights_digest(resolve(self.options.model)) if self.options.vectors is None else None,
            "task": self.task.settings(),
            "versions": versions(),
            "devices": {"count": len(devices), "kind": devices[0].device_kind, "processes": jax.process_count()},
        }

    def _write(self, results: Results) -> None:
        output, final = self.work.output, self.work.folder / "final"
        try:
            shutil.rmtree(final, ignore_errors=True)
            save_trained(results.trained.model, self.task, self.tokenizer, final)
            write_results(final, output.name, self.options, self.task, results)
            self.work.finish(final)
        except OSError as problem:
            raise CheckpointError(
                f"{output} cannot be written: {problem.strerror or problem}; make room, then go on with --resume"
            ) from None
