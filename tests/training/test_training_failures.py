"""Numbers that are not finite: nothing is learned from them, and the step and the first tensor that has one are named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_training import OBJECTIVE, BagOfWords, accuracy_on, differing, small_model, small_options, small_rows

from minibert.errors import InputError, TrainingError
from minibert.training.checkpoints import TrainingCheckpoints
from minibert.training.failure import first_bad_tensor
from minibert.training.loop import fit
from minibert.training.losses import Loss, cross_entropy
from minibert.training.optimiser import OptimiserOptions
from minibert.training.order import Order
from minibert.training.rows import Rows, batch_of
from minibert.training.step import Objective, first_state, training_step

pytestmark = pytest.mark.long

POISON = 39


def poisoned_rows(number: int) -> Rows:
    """Rows of which one has a word, twice, whose vectors together overflow in the bag that `poisoned_bag` makes."""
    rows = small_rows(40)
    ids = [np.where(row == POISON, 8, row).astype(np.int32) for row in rows.input_ids]
    ids[number] = np.array([9, POISON, POISON], np.int32)
    return Rows(ids, [np.zeros_like(row) for row in ids], rows.labels)


def poisoned_bag() -> BagOfWords:
    model = BagOfWords()
    model.word = nnx.Param(model.word[...].at[POISON].set(3e38))
    return model


@pytest.mark.parametrize(("accumulation", "log_every"), [(1, 1), (1, 10), (4, 3)])
def test_the_first_bad_step_is_named_however_seldom_it_is_looked(accumulation: int, log_every: int):
    order, failing = Order(40, 8, 0), 3
    rows = poisoned_rows(order.batch(failing)[5])
    options = small_options(accumulation=accumulation, log_every=log_every)
    with pytest.raises(TrainingError) as problem:
        fit(poisoned_bag(), rows, OBJECTIVE, options)
    assert f"step {failing + 1} failed: the intermediate mean is the first tensor that is not finite" in str(problem.value)
    assert f"its batch has the rows {order.batch(failing)}, counted from 0" in str(problem.value)


def test_a_bad_step_and_those_after_it_change_nothing():
    rows, options = poisoned_rows(0), OptimiserOptions(warm_up=0.0)
    model = poisoned_bag()
    step = jax.jit(training_step(model, OBJECTIVE, 9, options))
    good, bad = (batch_of(rows, numbers, 8) for numbers in (range(8, 16), range(8)))
    state, _ = step(first_state(model, 9, options), good)
    assert differing(state.model, model) != []
    failed, measured = step(state, bad)
    assert not np.isfinite(measured.loss)
    later, _ = step(failed, good)
    for after in (failed, later):
        assert differing((after.model, after.optimiser), (state.model, state.optimiser)) == []
        assert int(after.failed_at) == 1
    assert int(later.step) == 3


def times(factor: float) -> Objective:
    def sums(logits: Any, labels: Any, class_weights: Any) -> Any:
        return cross_entropy.sums(logits, labels, class_weights) * factor

    return Objective({"sequence_classification": Loss(sums, cross_entropy.weights)})


@pytest.mark.parametrize(
    ("factor", "what"),
    [(1e25, "the gradient of dense.bias"), (3e19, "the norm of all gradients together"), (3.4e38, "the loss itself")],
)
def test_a_loss_of_too_large_a_scale_is_told_by_what_overflows(factor: float, what: str):
    if "norm" in what:
        # Each gradient by itself has a square that is still finite.
        factor = norm_overflows_at()
    with pytest.raises(TrainingError, match=f"step 1 failed: {what} is the first tensor.*; there is no checkpoint yet$"):
        fit(BagOfWords(), small_rows(16), times(factor), small_options())


@pytest.mark.parametrize("weights", [(1.0, float("nan")), (float("inf"), 1.0), (1.0, -1.0), (0.0, 0.0)])
def test_class_weights_that_are_none_are_refused_before_anything_is_trained(weights: tuple[float, float]):
    objective = Objective(OBJECTIVE.losses, {"sequence_classification": jnp.array(weights)})
    with pytest.raises(InputError, match="the class weights of the head 'sequence_classification' are .*; expected numbers"):
        fit(BagOfWords(), small_rows(16), objective, small_options())


def test_a_label_that_the_head_does_not_have_is_named():
    rows = small_rows(16)
    foreign = replace(rows, labels=[np.array(-1, np.int32)] * 16)
    with pytest.raises(
        TrainingError, match=r"the loss itself \(the label -1 is none of the 2 of the head 'sequence_classification'"
    ):
        fit(BagOfWords(), foreign, OBJECTIVE, small_options())


def norm_overflows_at() -> float:
    """The scale at which the squares of two parameters' gradients overflow together, and no parameter's do alone."""
    rows = small_rows(16)
    batch = jax.tree.map(jnp.asarray, batch_of(rows, Order(16, 8, 0).batch(0), 8))
    key = jax.random.fold_in(jax.random.key(0), 0)
    gradients = jax.grad(OBJECTIVE.loss)(BagOfWords(), batch, OBJECTIVE.weights(batch), key)
    squares = sorted(float(jnp.square(gradient).sum()) for gradient in jax.tree.leaves(gradients))
    largest = float(np.finfo(np.float32).max)
    # Between the scale at which all of them overflow and the one at which the largest does.
    return float(np.sqrt(largest / np.sqrt(squares[-1] * sum(squares))))


BATCH = batch_of(small_rows(4), range(4), 4)


def bad_tensor(model: Any, accumulation: int = 1) -> str:
    return first_bad_tensor(model, OBJECTIVE, BATCH, seed=0, step=0, accumulation=accumulation)


def test_a_parameter_is_named_by_its_path():
    model = small_model()
    kernel = model.bert.encoder.layers[1].attention.value.kernel
    kernel[...] = kernel[...].at[3, 2].set(jnp.nan)
    assert bad_tensor(model) == "the parameter bert.encoder.layers.1.attention.value.kernel"


def test_an_intermediate_is_named_where_every_parameter_is_finite():
    model = small_model()
    layer = model.bert.encoder.layers[1]
    layer.feed_forward.intermediate.kernel[...] = layer.feed_forward.intermediate.kernel[...] * 3e38
    layer.attention.layer_norm.scale[...] = layer.attention.layer_norm.scale[...] * 1e3
    assert bad_tensor(model, accumulation=2) == "the intermediate layers.1.feed_forward.intermediate"


class WithoutSlope(nnx.Module):
    """A part of a model that gives what it gives, and a gradient of no number."""

    def __init__(self, part: nnx.Module):
        self.part = part

    def __call__(self, hidden: Any, *arguments: Any, **keywords: Any) -> Any:
        return self.part(hidden + jnp.sqrt(hidden * 0.0), *arguments, **keywords)


def test_a_gradient_is_named_by_the_parameter_that_a_backward_pass_reaches_first():
    model = small_model()
    model.bert.encoder.layers[1].feed_forward = WithoutSlope(model.bert.encoder.layers[1].feed_forward)
    # Above it all is finite; below it the LayerNorm comes first, and not what comes last in the alphabet.
    assert bad_tensor(model, accumulation=2) == "the gradient of bert.encoder.layers.1.attention.layer_norm.bias"


def test_where_nothing_is_wrong_that_is_said():
    assert bad_tensor(BagOfWords()) == "what the compiled step alone rounds to infinity"


def test_parameters_that_finite_gradients_spoil_reach_no_checkpoint(tmp_path: Path):
    """By a decay of more than all there is."""
    optimiser = OptimiserOptions(learning_rate=1e3, weight_decay=1.0, warm_up=0.0, schedule="constant")
    rows = small_rows(16)
    options = small_options(epochs=20, checkpoint_every=1, log_every=4, optimiser=optimiser)
    with pytest.raises(TrainingError, match=r"step \d+ .*; the last checkpoint is of step \d+$"):
        fit(BagOfWords(), rows, OBJECTIVE, options, evaluate=accuracy_on(rows), best_by="accuracy", folder=tmp_path)
    states = TrainingCheckpoints(tmp_path / "states")
    like = first_state(BagOfWords(), 40, optimiser)
    for step in states.steps():
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states.restore_only(step, like).model))
