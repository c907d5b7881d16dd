"""One step: of a batch in parts, of a batch that is not full, with less memory, of a part of the model, in bfloat16."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_training import OBJECTIVE, WITHOUT_DROPOUT, BagOfWords, leaves_of, small_model, small_rows

from minibert.training.layout import as_loaded, compiler_options, for_training
from minibert.training.losses import IGNORED, LOSSES
from minibert.training.optimiser import OptimiserOptions
from minibert.training.rows import Rows, batch_of
from minibert.training.step import Measured, Objective, TrainingState, first_state, training_step

pytestmark = pytest.mark.long

# A gradient that is zero but for rounding, as of a bias under a softmax, moves nothing then.
OPTIONS = OptimiserOptions(learning_rate=1e-3, warm_up=0.0, epsilon=1e-3)
STEPS = 3
IN_A_HURRY = {"xla_backend_optimization_level": 0}


def compiled_step(
    model: Any, objective: Objective, batch: Any, options: OptimiserOptions = OPTIONS, seed: int = 0, **arguments: Any
) -> tuple[TrainingState, Any]:
    """What precedes the first step, and the program, compiled in a hurry."""
    state = first_state(model, STEPS, options, seed=seed)
    return state, jax.jit(training_step(model, objective, STEPS, options, **arguments)).lower(state, batch).compile(IN_A_HURRY)


def trained(
    model: Any, objective: Objective, batches: list[Any], options: OptimiserOptions = OPTIONS, **arguments: Any
) -> tuple[TrainingState, list[Measured]]:
    """The state after a step of each batch, which share their shapes."""
    state, step = compiled_step(model, objective, batches[0], options, **arguments)
    measured = []
    for batch in batches:
        state, of_step = step(state, batch)
        measured.append(of_step)
    return state, measured


def assert_alike(first: TrainingState, second: TrainingState, most: float = 1e-6) -> None:
    ours, others = leaves_of(first.model), leaves_of(second.model)
    apart = {path: float(np.abs(ours[path] - others[path]).max()) for path in ours}
    assert {path: difference for path, difference in apart.items() if not difference <= most} == {}


RANDOM = np.random.default_rng(0)


def tags(ids: np.ndarray) -> np.ndarray:
    """Of a few tokens, of others none, of some rows not one."""
    return np.where(RANDOM.random(len(ids)) < RANDOM.random(), RANDOM.integers(0, 2, len(ids)), IGNORED).astype(np.int32)


LABELS = {
    "token_classification": tags,
    "question_answering": lambda ids: np.where(RANDOM.random(2) < 0.5, RANDOM.integers(0, 3, 2), IGNORED).astype(np.int32),
    "regression": lambda ids: np.where(RANDOM.random(2) < 0.5, RANDOM.normal(size=2), np.nan).astype(np.float32),
    "sequence_classification": lambda ids: np.int32(RANDOM.integers(0, 2)),
}
HEADS = {"regression": "sequence_classification"}


def labelled(task: str, count: int = 24) -> Rows:
    rows = small_rows(count)
    labels = [np.asarray(LABELS[task](ids)) for ids in rows.input_ids]
    return Rows(rows.input_ids, rows.token_type_ids, labels, per_token=task == "token_classification")


@pytest.mark.parametrize(("kind", "task"), [*(("bag", task) for task in LABELS), ("bert", "token_classification")])
def test_the_parts_of_a_batch_add_up_to_the_whole_though_they_hold_unequally_many_labels(kind: str, task: str):
    rows = labelled(task)
    head = HEADS.get(task, task)
    model: Any = BagOfWords(head, 0.0) if kind == "bag" else small_model(head, num_hidden_layers=1, **WITHOUT_DROPOUT)
    model = for_training(model)
    weights = {head: jnp.array([0.2, 3.0])} if task == "sequence_classification" else {}
    objective = Objective({head: LOSSES[task]}, weights)
    batches = [batch_of(rows, range(8 * step, 8 * step + 8), 8) for step in range(STEPS)]
    counts = [np.isfinite(batches[0]["labels"][part::4]) & (batches[0]["labels"][part::4] != IGNORED) for part in range(4)]
    assert task == "sequence_classification" or len({int(count.sum()) for count in counts}) > 1
    whole, measured_whole = trained(model, objective, batches)
    parts, measured_parts = trained(model, objective, batches, accumulation=4)
    assert_alike(whole, parts)
    for name in ("loss", "gradient_norm"):
        found = [[getattr(of_step, name) for of_step in measured] for measured in (measured_whole, measured_parts)]
        np.testing.assert_allclose(*found, rtol=1e-6)


def test_rows_that_are_missing_count_for_nothing():
    rows, model = small_rows(), for_training(small_model(num_hidden_layers=1, **WITHOUT_DROPOUT))
    full, measured_full = trained(model, OBJECTIVE, [batch_of(rows, range(5), 5)])
    padded, measured_padded = trained(model, OBJECTIVE, [batch_of(rows, range(5), 8)])
    assert_alike(full, padded)
    np.testing.assert_allclose(measured_padded[0].loss, measured_full[0].loss, rtol=1e-6)
    np.testing.assert_allclose(measured_padded[0].gradient_norm, measured_full[0].gradient_norm, rtol=1e-6)


def test_a_class_of_no_weight_teaches_as_much_as_no_label():
    batch, model = batch_of(small_rows(8), range(8), 8), BagOfWords()
    weighted = Objective(OBJECTIVE.losses, {"sequence_classification": jnp.array([2.0, 0.0])})
    without = batch | {"labels": np.where(batch["labels"] == 1, IGNORED, batch["labels"])}
    (first, (measured,)), (second, (expected,)) = trained(model, weighted, [batch]), trained(model, OBJECTIVE, [without])
    assert_alike(first, second)
    np.testing.assert_allclose(measured.loss, expected.loss, rtol=1e-6)


@pytest.fixture(scope="module")
def wide_gradients() -> dict[bool, tuple[dict[str, np.ndarray], int]]:
    """Of four wider layers, with all kept and with less: its gradients, and the bytes that the program needs for a while."""
    model = small_model(hidden_size=32, intermediate_size=128, num_hidden_layers=4)
    batch = jax.tree.map(jnp.asarray, batch_of(small_rows(32), range(32), 32))
    found = {}
    for rematerialise in (False, True):
        laid_out = for_training(model, rematerialise=rematerialise)
        weights, key = OBJECTIVE.weights(batch), jax.random.key(3)
        program = jax.jit(jax.grad(OBJECTIVE.loss)).lower(laid_out, batch, weights, key)
        program = program.compile(IN_A_HURRY | compiler_options(laid_out, rematerialise=rematerialise))
        gradients = program(laid_out, batch, weights, key)
        found[rematerialise] = leaves_of(gradients), program.memory_analysis().temp_size_in_bytes
    return found


def test_gradients_that_are_computed_from_less_are_the_same_with_dropout_on(wide_gradients: Any):
    (kept, _), (again, _) = wide_gradients[False], wide_gradients[True]
    for path, gradient in kept.items():
        np.testing.assert_allclose(again[path], gradient, rtol=0, atol=1e-6, err_msg=path)
    assert max(np.abs(gradient).max() for gradient in kept.values()) > 1e-2


def test_rematerialised_layers_need_less_memory(wide_gradients: Any):
    assert wide_gradients[True][1] < 0.8 * wide_gradients[False][1]


FROZEN: dict[str, dict[str, Any]] = {
    "nothing": {},
    "one layer": {"frozen_layers": 1},
    "the encoder": {"freeze_encoder": True},
}


@pytest.fixture(scope="module")
def programs() -> dict[str, Any]:
    """Of a model of one layer, by what is frozen."""
    model, batch = for_training(small_model(num_hidden_layers=1)), batch_of(small_rows(8), range(8), 8)
    return {name: compiled_step(model, OBJECTIVE, batch, replace(OPTIONS, **frozen))[1] for name, frozen in FROZEN.items()}


def test_what_is_frozen_is_not_computed(programs: dict[str, Any]):
    flops = {name: program.cost_analysis()["flops"] for name, program in programs.items()}
    memory = {name: program.memory_analysis().temp_size_in_bytes for name, program in programs.items()}
    assert flops["the encoder"] < flops["one layer"] < 0.6 * flops["nothing"], flops
    assert max(memory["the encoder"], memory["one layer"]) < 0.7 * memory["nothing"], memory


@pytest.mark.parametrize(("name", "parts"), [("one layer", (".embeddings.", ".layers.0.")), ("the encoder", ("bert.",))])
def test_what_is_frozen_stays_as_it_is_to_the_bit(name: str, parts: tuple[str, ...], programs: dict[str, Any]):
    model, batch = for_training(small_model(num_hidden_layers=1)), batch_of(small_rows(8), range(8), 8)
    state, _ = programs[name](first_state(model, STEPS, replace(OPTIONS, **FROZEN[name])), batch)
    before, after = leaves_of(model), leaves_of(state.model)
    frozen = {path for path in before if any(part in path for part in parts)}
    assert {path for path in before if np.array_equal(before[path], after[path])} == frozen


def test_bfloat16_is_for_products_alone_and_learns():
    model, rows = for_training(small_model(dtype="bfloat16", num_hidden_layers=1)), small_rows(8)
    options = OptimiserOptions(learning_rate=1e-2, warm_up=0.0, schedule="constant")
    state, measured = trained(model, OBJECTIVE, [batch_of(rows, range(8), 8)] * 20, options)
    assert {leaf.dtype for leaf in jax.tree.leaves((state.model, state.optimiser)) if leaf.ndim} == {jnp.dtype("float32")}
    assert measured[0].loss.dtype == measured[0].gradient_norm.dtype == jnp.float32
    assert measured[-1].loss < 0.5 * measured[0].loss


def test_dropout_is_another_at_every_step_and_the_same_for_a_seed():
    model, batch = BagOfWords(), batch_of(small_rows(8), range(8), 8)
    # Nothing is learned, so that the steps differ in dropout alone.
    options = replace(OPTIONS, learning_rate=0.0, weight_decay=0.0)
    losses = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        losses[name] = [float(measured.loss) for measured in trained(model, OBJECTIVE, [batch] * STEPS, options, seed=seed)[1]]
    assert losses["first"] == losses["again"]
    assert len({*losses["first"], *losses["other"]}) == 2 * STEPS


def test_the_parts_of_a_batch_are_dropped_from_independently():
    model, rows = BagOfWords(), small_rows(8)
    _, (of_parts,) = trained(model, OBJECTIVE, [batch_of(rows, [0] * 8, 8)], accumulation=8)
    one = jax.tree.map(jnp.asarray, batch_of(rows, [0], 1))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 8)
    of_rows = [OBJECTIVE.loss(model, one, OBJECTIVE.weights(one), key).item() for key in keys]
    assert len(set(of_rows)) == 8
    np.testing.assert_allclose(of_parts.loss, np.mean(of_rows), rtol=1e-6)


def test_the_layout_for_training_shares_parameters_and_gives_them_back():
    model = small_model(num_hidden_layers=1)
    fast = for_training(model, rematerialise=True)
    assert fast.bert.encoder.rematerialise and not model.bert.encoder.rematerialise
    assert all(one is other for one, other in zip(jax.tree.leaves(fast), jax.tree.leaves(model), strict=True))
    back = as_loaded(jax.tree.map(np.asarray, fast), model)
    assert jax.tree.structure(back) == jax.tree.structure(model)
    batch = batch_of(small_rows(8), range(8), 8)
    names = ("input_ids", "attention_mask", "token_type_ids")
    # With a tap it runs operation by operation, which NumPy's arrays do not bear.
    seen: list[str] = []
    logits = back(*(batch[name] for name in names), tap=lambda name, value: seen.append(name) or value).logits
    np.testing.assert_allclose(logits, fast(*(batch[name] for name in names)).logits, atol=1e-6)
    assert "layers.0.output" in seen
