"""The gradient through the whole model."""

import os
import subprocess
import sys

import jax
import numpy as np
from flax import nnx
from jax import Array

from minibert import Bert, BertConfig

IDS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])

# In float64, where a difference of two losses keeps its digits: along a random direction in all parameters at once.
FINITE_DIFFERENCES = """
import jax
import numpy as np
from flax import nnx
from minibert import Bert, BertConfig

config = BertConfig(vocab_size=11, hidden_size=6, num_hidden_layers=2, num_attention_heads=2, intermediate_size=7,
    max_position_embeddings=9, initializer_range=0.5, dtype="float64", param_dtype="float64")
model = Bert(config, rngs=nnx.Rngs(0))
random = np.random.default_rng(0)
weights, pooled_weights = random.normal(size=(2, 4, 6)), random.normal(size=(2, 6))

def loss(model):
    output = model(np.array([[1, 2, 3, 4], [5, 6, 7, 0]]), np.array([[1, 1, 1, 1], [1, 1, 1, 0]]))
    return (output.last_hidden_state * weights).sum() + (output.pooler_output * pooled_weights).sum()

direction = jax.tree.map(lambda leaf: random.normal(size=leaf.shape), model)
slopes = jax.tree.map(lambda gradient, along: (gradient * along).sum(), jax.jit(jax.grad(loss))(model), direction)
moved = lambda step: jax.tree.map(lambda leaf, along: leaf + step * along, model, direction)
expected = (loss(moved(1e-6)) - loss(moved(-1e-6))) / 2e-6
slope = sum(jax.tree.leaves(slopes))
assert abs(slope - expected) < 1e-6 * abs(expected), (slope, expected)
"""


@jax.jit
def gradient_of(model: Bert, mask: np.ndarray) -> Bert:
    def loss(model: Bert) -> Array:
        output = model(IDS, mask)
        return (output.last_hidden_state**3).sum() + output.pooler_output.sum()

    return jax.grad(loss)(model)


def small_model() -> Bert:
    config = BertConfig(
        vocab_size=11,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=17,
        max_position_embeddings=9,
        initializer_range=0.5,
    )
    return Bert(config, rngs=nnx.Rngs(0))


def test_the_gradient_is_the_slope_of_the_loss():
    environment = os.environ | {"JAX_ENABLE_X64": "1"}
    child = subprocess.run([sys.executable, "-c", FINITE_DIFFERENCES], env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def test_the_gradient_is_finite_and_reaches_every_parameter():
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradient_of(small_model(), MASK)):
        assert np.isfinite(gradient).all(), path
        # The key's bias shifts all scores of a query alike, which the softmax undoes.
        assert np.abs(gradient).max() > 1e-5 or "key.bias" in jax.tree_util.keystr(path, simple=True, separator="."), path


def test_the_gradient_is_finite_where_a_text_is_all_padding():
    gradient = gradient_of(small_model(), np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_rows_of_the_word_table_that_no_id_names_get_no_gradient():
    gradient = gradient_of(small_model(), MASK)
    touched = np.abs(np.asarray(gradient.embeddings.word[...])).max(axis=1) > 0.0
    np.testing.assert_array_equal(np.flatnonzero(~touched), [9, 10])
