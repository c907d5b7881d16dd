"""The job: text becomes examples, a model is trained on them, and a folder holds what came of it, whole or not at all."""

import contextlib
import dataclasses
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax

from minibert.checkpoints.new_folder import check_new
from minibert.checkpoints.registry import resolve
from minibert.checkpoints.writing import save
from minibert.config import BertConfig
from minibert.errors import CheckpointError, InputError, shown
from minibert.features.corpus.receipt import tokenizer_digest, versions, weights_digest
from minibert.training.data.data_warning import DataWarning
from minibert.training.finetuning.models import tokenizer_of
from minibert.training.finetuning.work import Work
from minibert.training.loop import Record, Trained, fit
from minibert.training.order import Order
from minibert.training.parallel import Placement, together
from minibert.training.pretraining.documents import checked_paths, facts_of_files
from minibert.training.pretraining.masked_places import with_masked_places, without_masked_places
from minibert.training.pretraining.measuring import BEST_BY, measure
from minibert.training.pretraining.models import new_model, objective_of, sizes
from minibert.training.pretraining.options import PretrainOptions
from minibert.training.pretraining.preparation import Prepared, Say, prepare, prepared
from minibert.training.pretraining.results import Plan, Results, write_results
from minibert.training.pretraining.vocabulary import imported
from minibert.training.reports.training_files import opened_reports

MOST_RANDOM = 0.9
"""A larger share of pairs from two documents is worth a word."""


class Pretrained(NamedTuple):
    """What a job made."""

    folder: Path
    trained: Trained
    """Its model is that of the folder, with the heads of pre-training."""
    metrics: Mapping[str, float]
    """Of that model on the documents that were held out; empty where none were."""


def pretrain(
    files: Sequence[str | Path],
    output: str | Path,
    options: PretrainOptions | None = None,
    *,
    resume: bool = False,
    restart: bool = False,
    say: Say | None = None,
    planned: Callable[[Plan], None] | None = None,
    report: Callable[[Record], None] | None = None,
    tensorboard: str | Path | None = None,
) -> Pretrained:
    """Pre-train a model on text files, as BERT is, and write it into a new folder.

    Args:
        files: a sentence a line, an empty line between two documents.
        output: the folder, absent or empty. Until it is done the training lives in `OUTPUT.training` beside it, and with it the
            examples: four bytes for each token of the text and, for each pass, six to nine.
        options: what is trained, on which examples, and how.
        resume: go on with a training that was interrupted.
        restart: forget one that was.
        say: is called with a sentence when something begins that may take a while before the first step.
        planned: is called once everything was read and the examples are made, before the first step.
        report: is called with every record of metrics.
        tensorboard: a folder for events of TensorBoard.

    Raises InputError for text that cannot be learnt from, by file and line, and for an interrupted training that was another one
    or that nobody mentioned; CheckpointError for a broken checkpoint, and where nothing can be written; TrainingError where the
    loss or a gradient stops being finite.
    """
    if not isinstance(output, str | Path):
        raise InputError(f"output is {shown(output)}; expected the name of a folder")
    if not isinstance(options, PretrainOptions | None):
        raise InputError(f"options is {shown(options)}; expected PretrainOptions(…)")
    files = checked_paths(files)
    output = Path(output).absolute()
    if resume and restart:
        raise InputError("resume and restart were both given; give one of them")
    work = Work(output)
    options = PretrainOptions() if options is None else options
    with work.locked([*files, options.model, options.tokenizer]), contextlib.ExitStack() as stack:
        if resume:
            together(work.check_unfinished)
        check_new(output)
        reports = opened_reports(stack, work.folder, report, tensorboard)
        job = _Job(files, options, work, reports)
        return job.run(resume, restart, say if say is not None else lambda sentence: None, planned)


class _Job:
    def __init__(
        self, files: Sequence[Path], options: PretrainOptions, work: Work, reports: Sequence[Callable[[Record], None]]
    ) -> None:
        self.options, self.work, self.reports = options, work, reports
        Placement(options.training.devices).check_batch_size(options.training.batch_size, options.training.accumulation)
        self.paths = files
        if options.model is None and options.tokenizer is None:
            # Reading a large text is no time to learn that a library is missing.
            imported()
        if options.model is None:
            # Nor that its sizes do not go together.
            BertConfig(**sizes(options))
        self.file_facts = facts_of_files(self.paths)

    def run(self, resume: bool, restart: bool, say: Say, planned: Callable[[Plan], None] | None) -> Pretrained:
        options, folder = self.options.training, self.work.folder
        facts = self._facts()
        together(lambda: self.work.start(facts, resume=resume, restart=restart))
        together(lambda: self._prepare(facts, say))
        self.found: Prepared = prepared(folder)
        self._warn_of_random_pairs()
        model = new_model(self.options, self.found.tokenizer)
        plan = self._plan(model)
        if planned is not None:
            planned(plan)
        in_training = with_masked_places(model)
        trained = fit(
            in_training,
            self.found.rows,
            objective_of(in_training, self.options),
            options,
            total_steps=plan.total_steps,
            evaluate=None if self.found.evaluation is None else self._measured,
            best_by=BEST_BY,
            folder=folder,
            report=self._report,
            pad_token_id=self.found.tokenizer.pad_token_id,
        )
        metrics = self._last_measured(trained.model)
        trained = dataclasses.replace(trained, model=without_masked_places(trained.model))
        if jax.process_index() == 0:
            self._write(Results(plan, trained, metrics))
        return Pretrained(self.work.output, trained, metrics)

    def _warn_of_random_pairs(self) -> None:
        random, examples = (self.found.counts[name] for name in ("random_pairs", "examples"))
        if jax.process_index() == 0 and random > MOST_RANDOM * examples:
            warnings.warn(
                f"{random / examples:.1%} of the examples are of two documents, and little is learned of what follows what: "
                "sentences are long beside a row, or documents short; take a larger max_length, or leave out the next sentence "
                "(next_sentence=False, --no-next-sentence)",
                DataWarning,
                stacklevel=2,
            )

    def _prepare(self, facts: Mapping[str, Any], say: Say) -> None:
        try:
            prepare(self.work.folder, self.paths, facts, self.options, say)
        except OSError as problem:
            raise CheckpointError(
                f"the examples cannot be written to {self.work.folder}: {problem.strerror or problem}; make room, or take a part "
                "of the text or fewer passes"
            ) from None

    def _plan(self, model: Any) -> Plan:
        options = self.options.training
        order = Order(len(self.found.rows), options.batch_size, options.seed)
        return Plan(
            total_steps=options.epochs * order.steps_per_epoch if self.options.steps is None else self.options.steps,
            files=self.file_facts,
            counts=self.found.counts,
            vocabulary=len(self.found.tokenizer.vocabulary),
            parameters=sum(leaf.size for leaf in jax.tree.leaves(model)),
            done=max(self.work.steps(), default=0),
        )

    def _report(self, record: Record) -> None:
        for report in self.reports:
            report(record)

    def _measured(self, model: Any, placement: Placement | None) -> Mapping[str, float]:
        assert self.found.evaluation is not None
        return measure(
            model,
            self.found.evaluation,
            self.options.most_masked,
            batch_size=self.options.training.batch_size,
            placement=placement,
            pad_token_id=self.found.tokenizer.pad_token_id,
        )

    def _last_measured(self, model: Any) -> Mapping[str, float]:
        """Of the model as it is stored, not as it is laid out for training."""
        if self.found.evaluation is None:
            return {}
        placement = None
        if jax.process_count() > 1:
            # No process has devices for a computation of its own.
            placement = Placement(self.options.training.devices)
            model = placement.place(model)
        return self._measured(model, placement)

    def _facts(self) -> dict[str, Any]:
        """Everything that a bit of the result depends on."""
        options, devices = self.options, jax.devices()
        given = options.tokenizer if options.model is None else options.model
        used = versions() | ({"tokenizers": version("tokenizers")} if given is None else {})
        return {
            "options": {name: value for name, value in dataclasses.asdict(options).items() if name not in ("model", "tokenizer")},
            "files": self.file_facts,
            "tokenizer_sha256": None if given is None else tokenizer_digest(tokenizer_of(given)),
            "weights_sha256": None if options.model is None else weights_digest(resolve(options.model)),
            "versions": used,
            "devices": {"count": len(devices), "kind": devices[0].device_kind, "processes": jax.process_count()},
        }

    def _write(self, results: Results) -> None:
        output, final = self.work.output, self.work.folder / "final"
        try:
            shutil.rmtree(final, ignore_errors=True)
            save(results.trained.model, self.found.tokenizer, final)
            write_results(final, output.name, self.options, results)
            self.work.finish(final)
        except OSError as problem:
            raise CheckpointError(
                f"{output} cannot be written: {problem.strerror or problem}; make room, then go on with --resume"
            ) from None
