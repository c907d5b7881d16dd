"""A step as a program for each core: the state, the losses and the dropout of a step in one program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_training import (
    OBJECTIVE,
    BagOfWords,
    differing,
    halving_tap,
    leaves_of,
    short_training,
    small_model,
    small_options,
    small_rows,
)

from minibert import BertConfig
from minibert.errors import TrainingError
from minibert.model.feed_forward import FeedForward
from minibert.training import side_by_side
from minibert.training.feed_forward import FeedForwardInSlices
from minibert.training.layout import for_training
from minibert.training.loop import fit
from minibert.training.losses import IGNORED, LOSSES
from minibert.training.optimiser import OptimiserOptions
from minibert.training.options import TrainingOptions
from minibert.training.parallel import Placement
from minibert.training.rows import Rows, batch_of
from minibert.training.side_by_side import StepSideBySide, parts_at_once
from minibert.training.step import Measured, Objective, TrainingState, first_state, training_step

# A gradient that is zero but for rounding moves nothing then.
OPTIONS = OptimiserOptions(learning_rate=1e-3, warm_up=0.0, epsilon=1e-3)
STEPS = 3


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    monkeypatch.setattr(side_by_side, "cores", lambda: 2)


def in_one_program(
    model: Any, objective: Objective, batches: list[Any], options: OptimiserOptions = OPTIONS
) -> tuple[TrainingState, list[Measured]]:
    state, measured = first_state(model, STEPS, options), []
    step = jax.jit(training_step(model, objective, STEPS, options))
    for batch in batches:
        state, of_step = step(state, batch)
        measured.append(of_step)
    return state, measured


def in_parts(
    model: Any, objective: Objective, batches: list[Any], parts: int, options: OptimiserOptions = OPTIONS
) -> tuple[TrainingState, list[Measured]]:
    placement = Placement("1x1")
    state, measured = placement.place(first_state(model, STEPS, options)), []
    layout = (jax.tree.leaves(placement.shardings(state)), placement.everywhere)
    step = StepSideBySide(state, objective, STEPS, options, parts, layout)
    leaves, structure = jax.tree.flatten(state)
    for batch in batches:
        leaves, of_step = step(leaves, placement.place_batch(batch, len(batch["input_ids"])))
        measured.append(of_step)
    return jax.tree.unflatten(structure, leaves), measured


def assert_alike(one: tuple[TrainingState, list[Measured]], other: tuple[TrainingState, list[Measured]]) -> None:
    ours, others = leaves_of(one[0].model), leaves_of(other[0].model)
    for path in ours:
        np.testing.assert_allclose(ours[path], others[path], rtol=0, atol=1e-6, err_msg=path)
    for name in ("loss", "gradient_norm"):
        found = [[float(getattr(of_step, name)) for of_step in measured] for _, measured in (one, other)]
        np.testing.assert_allclose(*found, rtol=2e-6)
    assert [int(state.step) for state, _ in (one, other)] == [STEPS, STEPS]


def batches_of(rows: Rows) -> list[Any]:
    return [batch_of(rows, range(8 * step, 8 * step + 8), 8) for step in range(STEPS)]


@pytest.mark.parametrize("parts", [2, pytest.param(4, marks=pytest.mark.long)])
def test_parts_drop_out_what_the_whole_batch_does(parts: int):
    model = for_training(BagOfWords(dropout_prob=0.5))
    batches = batches_of(small_rows(24))
    assert_alike(in_parts(model, OBJECTIVE, batches, parts), in_one_program(model, OBJECTIVE, batches))
    other, _ = in_one_program(for_training(BagOfWords(dropout_prob=0.0)), OBJECTIVE, batches)
    one, _ = in_one_program(model, OBJECTIVE, batches)
    assert max(np.abs(leaves_of(one.model)[path] - leaf).max() for path, leaf in leaves_of(other.model).items()) > 1e-4


@pytest.mark.parametrize("frozen", [{}, {"frozen_layers": 1}])
def test_parts_of_bert_with_dropout_add_up_though_they_hold_unequally_many_labels(frozen: dict[str, Any]):
    random = np.random.default_rng(0)
    rows = small_rows(24)
    labels = [np.where(random.random(len(ids)) < random.random(), 1, IGNORED).astype(np.int32) for ids in rows.input_ids]
    batches = batches_of(Rows(rows.input_ids, rows.token_type_ids, labels, per_token=True))
    counts = [int((batches[0]["labels"][part * 4 : part * 4 + 4] != IGNORED).sum()) for part in range(2)]
    assert counts[0] != counts[1]
    objective = Objective(
        {"token_classification": LOSSES["token_classification"]}, {"token_classification": jnp.array([0.2, 3.0])}
    )
    model = for_training(small_model("token_classification", num_hidden_layers=1))
    options = OptimiserOptions(learning_rate=1e-3, warm_up=0.0, epsilon=1e-3, **frozen)
    one, other = in_parts(model, objective, batches, 2, options), in_one_program(model, objective, batches, options)
    assert_alike(one, other)
    before = leaves_of(model)
    unchanged = {path for path, leaf in leaves_of(one[0].model).items() if np.array_equal(leaf, before[path])}
    assert any("layers.0." in path or "embeddings" in path for path in unchanged) == bool(frozen)


def test_a_part_that_is_not_finite_stops_all():
    model = for_training(BagOfWords())
    batches = batches_of(small_rows(24))
    objective = Objective(OBJECTIVE.losses, {"sequence_classification": jnp.array([1.0, jnp.inf])})
    only_second = [batch | {"labels": np.array([0] * 4 + [1] * 4, np.int32)} for batch in batches]
    state, measured = in_parts(model, objective, only_second, 2)
    assert not np.isfinite(float(measured[0].gradient_norm))
    assert int(state.failed_at) == 0
    assert differing(state.model, model) == []


def test_training_is_the_same_on_two_cores_as_on_one(two_cores: None, monkeypatch: pytest.MonkeyPatch):
    side = short_training(None)
    monkeypatch.setattr(side_by_side, "cores", lambda: 1)
    alone = short_training(None)
    losses = [[record["loss"] for record in trained.records if "loss" in record] for trained in (side, alone)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for path, leaf in leaves_of(side.model).items():
        np.testing.assert_allclose(leaf, leaves_of(alone.model)[path], atol=1e-5, err_msg=path)


def test_the_step_that_fails_is_named_with_its_tensor(two_cores: None):
    model = BagOfWords()
    model.word[...] = model.word[...].at[7].set(jnp.nan)
    with pytest.raises(TrainingError, match="step 1 failed: the parameter word is the first tensor"):
        fit(model, small_rows(), OBJECTIVE, small_options())


def test_each_shape_is_compiled_once():
    model = for_training(BagOfWords())
    placement = Placement("1x1")
    state = placement.place(first_state(model, STEPS, OPTIONS))
    layout = (jax.tree.leaves(placement.shardings(state)), placement.everywhere)
    step, leaves = StepSideBySide(state, OBJECTIVE, STEPS, OPTIONS, 2, layout), jax.tree.leaves(state)
    for _ in range(2):
        for width in (8, 12):
            ids = np.ones((8, width), np.int32)
            batch = {"input_ids": ids, "attention_mask": ids, "token_type_ids": ids, "labels": np.zeros(8, np.int32)}
            leaves, _ = step(leaves, placement.place_batch(batch, 8))
    assert len(step.programs) == 2


@pytest.mark.parametrize(
    ("cores", "settings", "expected"),
    [
        (1, {}, 1),
        (2, {}, 2),
        (4, {}, 4),
        (3, {}, 1),
        (3, {"batch_size": 6}, 3),
        (16, {}, 1),
        (2, {"accumulation": 2}, 1),
        (2, {"rematerialise": True}, 1),
    ],
)
def test_when_a_batch_is_divided(cores: int, settings: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(side_by_side, "cores", lambda: cores)
    assert parts_at_once(TrainingOptions(**{"batch_size": 8} | settings)) == expected


def feed_forward_of(**settings: Any) -> FeedForward:
    config = BertConfig(
        vocab_size=8,
        num_hidden_layers=1,
        initializer_range=0.5,
        hidden_dropout_prob=0.0,
        **{"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 32} | settings,
    )
    return FeedForward(config, rngs=nnx.Rngs(0))


def test_slices_have_the_values_and_gradients_of_the_whole_network():
    with jax.enable_x64(True):
        whole = feed_forward_of(dtype="float64", param_dtype="float64")
        hidden = jnp.asarray(np.random.default_rng(1).normal(size=(6, 8)))

        def of(network: FeedForward) -> Any:
            def total(network: FeedForward, hidden: Any) -> Any:
                return jnp.square(network(hidden, 2)).sum()

            return jax.value_and_grad(total, argnums=(0, 1))(network, hidden)

        expected, found = of(whole), of(FeedForwardInSlices(whole))
    assert len(jax.tree.leaves(expected)) == len(jax.tree.leaves(found)) == 8
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-11, atol=1e-11)


def test_a_tap_sees_and_replaces_the_intermediate_values_of_slices():
    whole = feed_forward_of()
    hidden = jnp.asarray(np.random.default_rng(1).normal(size=(6, 8)), jnp.float32)
    for name in ("intermediate", "activation", "projection"):
        found = []
        for network in (whole, FeedForwardInSlices(whole)):
            tap, seen = halving_tap(name)
            found.append((network(hidden, 2, tap=tap), sorted(seen)))
        np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-5)
        assert found[0][1] == found[1][1]


@pytest.mark.parametrize(("hidden", "intermediate", "expected"), [(768, 3072, True), (384, 1536, False), (768, 1024, False)])
def test_slices_serve_where_rows_are_multiples_of_a_page(hidden: int, intermediate: int, expected: bool):
    whole = feed_forward_of(hidden_size=hidden, num_attention_heads=12, intermediate_size=intermediate)
    assert FeedForwardInSlices.is_of_use(whole) is expected
