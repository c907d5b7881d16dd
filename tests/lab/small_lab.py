"""A small model of random numbers, two batches for it, and a metric."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from minibert import Bert, BertConfig


def small_model(**settings: Any) -> Bert:
    """A model of its own for each call; the numbers are drawn once for the same settings."""
    return nnx.clone(drawn_model(**settings))


@functools.cache
def drawn_model(**settings: Any) -> Bert:
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=16,
        initializer_range=0.3,
        **settings,
    )
    model = Bert(config, rngs=nnx.Rngs(0))
    random = np.random.default_rng(7)
    # Without biases LayerNorm takes the scale out of everything, and nothing happens on the way from zero.
    for _, module in nnx.iter_graph(model):
        if hasattr(module, "bias"):
            module.bias[...] = jnp.asarray(random.normal(0.0, 0.5, module.bias[...].shape), module.bias[...].dtype)
    return model


def small_batch(seed: int = 0, texts: int = 3, tokens: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    mask = np.ones((texts, tokens), np.int32)
    mask[0, 4:] = 0
    return {"input_ids": random.integers(1, 30, (texts, tokens)).astype(np.int32), "attention_mask": mask}


def first_value(output: Any) -> jax.Array:
    return output.pooler_output[:, 0] - output.pooler_output[:, 1]
