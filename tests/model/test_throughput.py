"""A model laid out for speed is the same model, to rounding, with the same taps."""

import jax
import numpy as np
import pytest
from flax import nnx

from minibert import Bert, BertConfig
from minibert.model import throughput
from minibert.model.tap import intermediate_names
from minibert.model.throughput import SlicedFeedForward, compiler_options, for_throughput

SHAPE = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "max_position_embeddings": 16}
IDS = np.random.default_rng(0).integers(0, 50, (3, 7)).astype(np.int32)
MASK = np.array([[1] * 7, [1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]])


def model_of(intermediate_size: int = 96, **fields: object) -> Bert:
    config = BertConfig(**SHAPE, intermediate_size=intermediate_size, **fields)
    return Bert(config, rngs=nnx.Rngs(3))


class Watch:
    """Keeps what it is shown, of the names that it wants."""

    def __init__(self, wanted: set[str] | None = None):
        self.wanted = wanted
        self.seen: dict[str, np.ndarray] = {}

    def wants(self, name: str) -> bool:
        return self.wanted is None or name in self.wanted

    def __call__(self, name: str, value: jax.Array) -> jax.Array:
        self.seen[name] = np.asarray(value)
        return value


@pytest.mark.parametrize("intermediate_size", [96, 100, *(pytest.param(size, marks=pytest.mark.long) for size in (48, 24, 8))])
def test_every_intermediate_is_that_of_the_model(intermediate_size: int):
    model = model_of(intermediate_size)
    expected, found = Watch(), Watch()
    model(IDS, MASK, tap=expected)
    for_throughput(model)(IDS, MASK, tap=found)
    assert list(found.seen) == list(expected.seen)
    assert set(found.seen) == set(intermediate_names(2))
    for name, value in expected.seen.items():
        np.testing.assert_allclose(found.seen[name], value, atol=2e-6, err_msg=name)


@pytest.mark.parametrize(("intermediate_size", "slices"), [(96, 4), (48, 2), (24, 1), (100, 4), (70, 2), (73, 1), (8, 1)])
def test_slices_are_about_as_wide_as_the_hidden_states(intermediate_size: int, slices: int):
    feed_forward = for_throughput(model_of(intermediate_size)).encoder.layers[0].feed_forward
    assert isinstance(feed_forward, SlicedFeedForward)
    assert len(feed_forward.intermediate_kernels) == slices


def test_a_tap_that_replaces_the_activation_is_obeyed():
    model = model_of()

    def silence(name: str, value: jax.Array) -> jax.Array:
        return value.at[..., 10:60].set(0.0) if name == "layers.1.feed_forward.activation" else value

    expected = model(IDS, MASK, tap=silence).last_hidden_state
    found = for_throughput(model)(IDS, MASK, tap=silence).last_hidden_state
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(expected - model(IDS, MASK).last_hidden_state).max() > 1e-3


def test_the_given_model_stays_as_it_was_and_shares_its_embeddings():
    model = model_of()
    before = jax.tree.map(np.asarray, model)
    fast = for_throughput(model)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, model), before)
    assert model.encoder.layers[0].attention.layer_norm.in_float64_on_cpu
    assert fast.embeddings.word[...] is model.embeddings.word[...]


def test_bfloat16_products_have_float32_results():
    model = model_of(dtype="bfloat16")
    expected = model(IDS, MASK).last_hidden_state
    found = for_throughput(model)(IDS, MASK).last_hidden_state
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_float64_stays_float64():
    with jax.enable_x64(True):
        model = model_of(dtype="float64", param_dtype="float64")
        found = for_throughput(model)(IDS, MASK).last_hidden_state
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, model(IDS, MASK).last_hidden_state, atol=1e-12)


def test_options_that_this_xla_does_not_know_are_left_out(monkeypatch: pytest.MonkeyPatch):
    config = BertConfig(**SHAPE, intermediate_size=96)
    monkeypatch.setattr(throughput, "LIBRARY_FOR_SUMS_ONLY", {"xla_cpu_no_such_option": True})
    assert compiler_options(config) == throughput.ONE_CORE_A_PROGRAM
    jax.jit(lambda: 0, compiler_options=compiler_options(config))()
