"""The loop: steps, evaluations, checkpoints, and going on where an earlier run stopped, to the same bits.

A step is a function of the state before it and of its number: the order of rows, dropout and the learning rate follow from seed
and step. So a run that goes on from a checkpoint makes the steps that an uninterrupted run makes.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import CheckpointError, InputError, TrainingError
from minibert.training.checkpoints import TrainingCheckpoints, host_copy
from minibert.training.failure import first_bad_leaf, first_bad_tensor
from minibert.training.layout import as_loaded
from minibert.training.optimiser import learning_rate
from minibert.training.options import TrainingOptions
from minibert.training.order import Order
from minibert.training.parallel import Placement, bytes_per_device, share_of
from minibert.training.rows import BatchSource, batch_of, widest_for
from minibert.training.side_by_side import start_and_step
from minibert.training.step import Measured, Objective, TrainingState

Record = dict[str, Any]
"""A line of metrics: `step`, `epoch`, and of training `loss`, `learning_rate`, `gradient_norm`, of an evaluation `evaluation`.

Numbers are finite, as JSON wants them; a metric that is not is None."""


@dataclass
class Progress:
    """What a checkpoint remembers besides arrays."""

    records: list[Record] = field(default_factory=list)
    best_step: int = -1
    best_score: float | None = None
    evaluations_without_gain: int = 0


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    model: Any
    """With the parameters of the best evaluation, or of the last step where nothing was evaluated."""
    steps: int
    """How many were made in all."""
    total_steps: int
    best_step: int
    """After how many steps the parameters of `model` were reached."""
    records: list[Record]
    bytes_per_device: int
    """Of parameters and optimiser, on one device."""


def fit(
    model: Any,
    rows: BatchSource,
    objective: Objective,
    options: TrainingOptions,
    *,
    total_steps: int | None = None,
    evaluate: Callable[[Any, Placement], Mapping[str, float]] | None = None,
    best_by: str = "",
    folder: Path | None = None,
    report: Callable[[Record], None] | None = None,
    pad_token_id: int = 0,
) -> Trained:
    """Train `model`, which stays as it was, on rows.

    Args:
        model: `BertWithHeads`, or another with heads of the objective's names.
        rows: what is learned.
        objective: what is minimised.
        options: how long, in which portions, on which devices.
        total_steps: so many are made instead of the options' epochs.
        evaluate: the metrics of a model; called at the end of every epoch, or as `options` say.
        best_by: by which of them the best parameters are chosen: more is better.
        folder: where checkpoints are kept; a run that finds some there goes on from them. None for no checkpoints.
        report: is called with every record as soon as it is there; those of an earlier run come first, once more.
        pad_token_id: fills rows up.

    Raises:
        InputError: no rows, bad class weights, more frozen layers than there are, a batch that the devices do not divide.
        TrainingError: the loss, a gradient or a parameter is not finite: the message names the step and the tensor.
        CheckpointError: a checkpoint cannot be written, those that are there are all damaged, or the best one is.
    """
    if not len(rows):
        raise InputError("there is nothing to train on; expected a row at least")
    for head, weights in objective.class_weights.items():
        values = np.asarray(weights)
        if not (np.isfinite(values).all() and (values >= 0.0).all() and values.any()):
            raise InputError(f"the class weights of the head {head!r} are {values.tolist()}; expected numbers from 0, not all 0")
    return _Run(model, rows, objective, options, total_steps, evaluate, best_by, folder, report, pad_token_id).run()


class _Run:
    def __init__(
        self,
        model: Any,
        rows: BatchSource,
        objective: Objective,
        options: TrainingOptions,
        total_steps: int | None,
        evaluate: Callable[[Any, Placement], Mapping[str, float]] | None,
        best_by: str,
        folder: Path | None,
        report: Callable[[Record], None] | None,
        pad_token_id: int,
    ) -> None:
        self.model, self.rows, self.objective, self.options = model, rows, objective, options
        self.evaluate, self.best_by, self.pad_token_id = evaluate, best_by, pad_token_id
        self.widest = widest_for(model)
        self.report = report if report is not None else lambda record: None
        self.placement = Placement(options.devices)
        self.placement.check_batch_size(options.batch_size, options.accumulation)
        self.order = Order(len(rows), options.batch_size, options.seed)
        self.total_steps = options.epochs * self.order.steps_per_epoch if total_steps is None else total_steps
        self.evaluate_every = options.evaluate_every or self.order.steps_per_epoch
        self.checkpoints = self.best_checkpoints = None
        if folder is not None:
            self.checkpoints = TrainingCheckpoints(folder / "states")
            # One more than of states: the state before the newest may name the best before the last two.
            self.best_checkpoints = TrainingCheckpoints(folder / "best", kept=3, resumed_from=self.checkpoints)
        self.best_model: Any = None
        self.progress = Progress()
        self.unwritten: list[tuple[int, Measured]] = []
        self.rates = learning_rate(self.total_steps, options.optimiser)

    def run(self) -> Trained:
        options = self.options
        state, step_function = start_and_step(self.model, self.objective, self.total_steps, options, self.placement)
        structure = jax.tree.structure(state)
        state = self._restored(state)
        leaves, step = jax.tree.leaves(state), int(state.step)
        size = options.batch_size
        while step < self.total_steps and not self._is_patience_over():
            batch = batch_of(
                self.rows, self.order.batch(step), size, pad_token_id=self.pad_token_id, widest=self.widest, share=share_of(size)
            )
            leaves, measured = step_function(leaves, self.placement.place_batch(batch, size))
            self.unwritten.append((step, measured))
            step += 1
            is_last = step == self.total_steps
            evaluates = self.evaluate is not None and (step % self.evaluate_every == 0 or is_last)
            keeps = self.checkpoints is not None and (evaluates or step % options.checkpoint_every == 0 or is_last)
            stops = evaluates or keeps or is_last
            if step % options.log_every == 0 or stops:
                state = jax.tree.unflatten(structure, leaves)
                self._write_measured(state)
            if stops:
                self._check_parameters(state, step)
            if evaluates:
                self._evaluate(state, step)
            if keeps:
                self._keep(state, step)
        # The best of a run that was stopped by patience has been kept already.
        return Trained(
            as_loaded(self._best(state), self.model),
            step,
            self.total_steps,
            self.progress.best_step if self.progress.best_step >= 0 else step,
            self.progress.records,
            bytes_per_device((state.model, state.optimiser)),
        )

    def _is_patience_over(self) -> bool:
        return self.options.patience is not None and self.progress.evaluations_without_gain >= self.options.patience

    def _restored(self, state: TrainingState) -> TrainingState:
        if self.checkpoints is None:
            return state
        assert self.best_checkpoints is not None
        self.checkpoints.clean()
        self.best_checkpoints.clean()
        found = self.checkpoints.restore(state)
        if found is None:
            return state
        try:
            self.progress = Progress(**found.remembered)
        except TypeError:
            raise CheckpointError(f"{self.checkpoints.folder} holds checkpoints of another version; use --restart") from None
        if self.progress.best_step >= 0:
            # Now rather than when all the rest is done.
            self.best_checkpoints.check(self.progress.best_step)
        for record in self.progress.records:
            self.report(record)
        return found.arrays

    def _record(self, record: Record) -> None:
        self.progress.records.append(record)
        self.report(record)

    def _write_measured(self, state: TrainingState) -> None:
        """The steps since the last time, as one record; TrainingError where one of them failed."""
        failed_at = int(state.failed_at)
        if failed_at >= 0:
            self._fail(state, failed_at)

        def short(value: Any) -> float:
            # As float32 is written: 5e-05 and not 4.999999873689376e-05.
            return float(str(np.float32(value)))

        losses = [float(measured.loss) for _, measured in self.unwritten]
        last, measured = self.unwritten[-1]
        self.unwritten = []
        self._record(
            {
                "step": last + 1,
                "epoch": (last + 1) / self.order.steps_per_epoch,
                "loss": short(np.mean(losses)),
                "learning_rate": short(self.rates(last)),
                "gradient_norm": short(measured.gradient_norm),
            }
        )

    def _fail(self, state: TrainingState, step: int) -> None:
        numbers = self.order.batch(step)
        model = jax.tree.map(jnp.asarray, host_copy(state.model))
        batch = batch_of(self.rows, numbers, self.options.batch_size, pad_token_id=self.pad_token_id, widest=self.widest)
        what = first_bad_tensor(
            model,
            self.objective,
            batch,
            seed=self.options.seed,
            step=step,
            accumulation=self.options.accumulation,
        )
        raise TrainingError(
            f"step {step + 1} failed: {what} is the first tensor that is not finite; its batch has the rows {numbers[:8]}"
            f"{'…' if len(numbers) > 8 else ''}, counted from 0. A lower learning rate, a longer warm-up or shorter gradients "
            f"may help{self._where_the_last_is()}"
        )

    def _where_the_last_is(self) -> str:
        there = self.checkpoints.steps() if self.checkpoints is not None else []
        return f"; the last checkpoint is of step {max(there)}" if there else "; there is no checkpoint yet"

    def _check_parameters(self, state: TrainingState, step: int) -> None:
        """Finite gradients do not make finite parameters where the optimiser divides by zero or the weight decay is over 1."""
        if not _all_finite(state.model):
            raise TrainingError(
                f"after step {step} the parameter {first_bad_leaf(state.model)} is not finite, though all gradients were; lower "
                f"the learning rate or the weight decay, or raise epsilon{self._where_the_last_is()}"
            )

    def _evaluate(self, state: TrainingState, step: int) -> None:
        assert self.evaluate is not None
        metrics = {name: float(value) for name, value in self.evaluate(state.model, self.placement).items()}
        finite = {name: value if np.isfinite(value) else None for name, value in metrics.items()}
        self._record({"step": step, "epoch": step / self.order.steps_per_epoch, "evaluation": finite})
        score = metrics.get(self.best_by)
        if score is None or not np.isfinite(score):
            warnings.warn(f"the evaluation after step {step} has no {self.best_by}, by which the best is chosen", stacklevel=2)
            score = -np.inf
        progress = self.progress
        if progress.best_score is None or score > progress.best_score:
            # Infinity is no JSON; the lowest finite number loses against every score.
            progress.best_step, progress.best_score = step, max(float(score), -1e300)
            progress.evaluations_without_gain = 0
            if self.best_checkpoints is None:
                self.best_model = jax.tree.map(lambda leaf: leaf.copy(), state.model)
            else:
                self.best_checkpoints.save(step, state.model, {})
        else:
            progress.evaluations_without_gain += 1

    def _keep(self, state: TrainingState, step: int) -> None:
        assert self.checkpoints is not None
        self.checkpoints.save(step, state, vars(self.progress))

    def _best(self, state: TrainingState) -> Any:
        if self.progress.best_step in (-1, int(state.step)):
            return host_copy(state.model)
        if self.best_checkpoints is None:
            return host_copy(self.best_model)
        return host_copy(self.best_checkpoints.restore_only(self.progress.best_step, state.model))


@jax.jit
def _all_finite(tree: Any) -> Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
