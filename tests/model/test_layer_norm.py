"""LayerNorm against its formula in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import BertConfig
from minibert.model.layer_norm import LayerNorm

EPSILON = 1e-12


def layer_norm_of(hidden_size: int, dtype: str = "float32") -> LayerNorm:
    """A LayerNorm whose scale and bias are not the initial ones and zeros."""
    config = BertConfig(hidden_size=hidden_size, num_attention_heads=1, layer_norm_eps=EPSILON, dtype=dtype)
    layer_norm = LayerNorm(config, rngs=nnx.Rngs(0))
    random = np.random.default_rng(hidden_size)
    layer_norm.scale.set_value(jnp.asarray(random.normal(1.0, 0.3, hidden_size), jnp.float32))
    layer_norm.bias.set_value(jnp.asarray(random.normal(0.0, 0.3, hidden_size), jnp.float32))
    return layer_norm


def expected(hidden: np.ndarray, layer_norm: LayerNorm) -> np.ndarray:
    hidden = np.asarray(hidden, np.float64)
    scale, bias = (np.asarray(part[...], np.float64) for part in (layer_norm.scale, layer_norm.bias))
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON) * scale + bias


@settings(max_examples=20, deadline=None)
@given(hidden_size=st.sampled_from([2, 12, 33]), seed=st.integers(0, 999), spread=st.floats(1e-2, 1e2))
def test_rows_are_normalised_scaled_and_shifted(hidden_size: int, seed: int, spread: float):
    hidden = np.random.default_rng(seed).normal(0.0, spread, (4, hidden_size)).astype(np.float32)
    layer_norm = layer_norm_of(hidden_size)
    np.testing.assert_allclose(layer_norm(jnp.asarray(hidden)), expected(hidden, layer_norm), atol=2e-6)


def test_a_mean_fifty_times_the_spread_costs_no_digits():
    hidden = np.random.default_rng(0).normal(50.0, 1.0, (64, 384)).astype(np.float32)
    layer_norm = layer_norm_of(384)
    assert np.abs(np.asarray(layer_norm(jnp.asarray(hidden))) - expected(hidden, layer_norm)).max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 1e4])
def test_a_constant_row_becomes_the_bias(value: float):
    layer_norm = layer_norm_of(24)
    output = layer_norm(jnp.full((2, 24), value, jnp.float32))
    np.testing.assert_allclose(output, np.tile(layer_norm.bias[...], (2, 1)), atol=1e-6)


def test_jit_gives_what_the_plain_call_gives():
    hidden = jnp.asarray(np.random.default_rng(1).normal(2.0, 3.0, (7, 33)), jnp.float32)
    layer_norm = layer_norm_of(33)
    compiled = jax.jit(lambda layer_norm, hidden: layer_norm(hidden))(layer_norm, hidden)
    np.testing.assert_allclose(compiled, layer_norm(hidden), atol=1e-6)


def test_vmap_normalises_every_matrix_by_itself():
    hidden = jnp.asarray(np.random.default_rng(2).normal(2.0, 3.0, (3, 4, 10)), jnp.float32)
    layer_norm = layer_norm_of(10)
    np.testing.assert_allclose(jax.vmap(layer_norm)(hidden), expected(hidden, layer_norm), atol=2e-6)


def test_the_gradient_is_that_of_the_formula():
    random = np.random.default_rng(3)
    hidden = random.normal(2.0, 3.0, (4, 12)).astype(np.float32)
    direction = random.normal(size=(4, 12))
    cotangent = random.normal(size=(4, 12))
    layer_norm = layer_norm_of(12)
    gradient = jax.grad(lambda hidden: (layer_norm(hidden) * cotangent).sum())(jnp.asarray(hidden))
    step = 1e-5
    ahead, behind = (expected(hidden + sign * step * direction, layer_norm) for sign in (1, -1))
    slope = ((ahead - behind) * cotangent).sum() / (2 * step)
    assert gradient.dtype == jnp.float32
    assert (np.asarray(gradient) * direction).sum() == pytest.approx(slope, rel=1e-4)


def test_the_gradient_of_a_constant_row_is_finite():
    layer_norm = layer_norm_of(12)
    gradient = jax.grad(lambda hidden: layer_norm(hidden)[0, 0])(jnp.ones((1, 12), jnp.float32))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("input_dtype", [jnp.float32, jnp.bfloat16])
def test_the_output_is_float32_whatever_the_operands_are(dtype: str, input_dtype: jnp.dtype):
    assert layer_norm_of(8, dtype)(jnp.ones((2, 8), input_dtype)).dtype == jnp.float32


@pytest.mark.parametrize("transform", [lambda function: function, jax.jit, jax.grad], ids=["plain", "jit", "grad"])
def test_float64_stays_off_outside(transform):
    layer_norm = layer_norm_of(8)
    transform(lambda hidden: layer_norm(hidden).sum())(jnp.ones((2, 8), jnp.float32))
    assert not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32
