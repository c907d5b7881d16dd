"""Pooling: each text of a row by itself, padding left out."""

import jax.numpy as jnp
import numpy as np
import pytest

from minibert.features.pooling import pooled

SEGMENTS = jnp.asarray([[1, 1, 2, 2, 2, 0], [1, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_pooling_leaves_padding_out(pooling: str):
    hidden = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    dirty = np.where(np.asarray(SEGMENTS)[:, :, None] == 0, np.float32(1e9), hidden)
    np.testing.assert_array_equal(
        pooled(jnp.asarray(hidden), SEGMENTS, 2, pooling), pooled(jnp.asarray(dirty), SEGMENTS, 2, pooling)
    )


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_each_text_of_a_row_gives_what_numpy_computes_of_it_alone(pooling: str):
    hidden = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    compute = {"mean": lambda part: part.mean(axis=0), "cls": lambda part: part[0], "max": lambda part: part.max(axis=0)}[pooling]
    result = np.asarray(pooled(jnp.asarray(hidden), SEGMENTS, 3, pooling))
    np.testing.assert_allclose(result[0, 0], compute(hidden[0, :2]), atol=1e-6)
    np.testing.assert_allclose(result[0, 1], compute(hidden[0, 2:5]), atol=1e-6)
    np.testing.assert_allclose(result[1, 0], compute(hidden[1, :1]), atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_text_without_tokens_gives_zeros_and_not_nan(pooling: str):
    result = pooled(jnp.ones((2, 6, 4)), SEGMENTS, 3, pooling)
    assert not np.asarray(result[:, 2]).any()
