"""The pooler: the first token's last hidden state through a dense layer and tanh, trained on next-sentence prediction."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.model.numerics import Dense
from minibert.model.tap import Tap, identity


class Pooler(nnx.Module):
    """`tanh(x₀ W + b)` (google-research/bert, modeling.py, scope "pooler"). Taps: dense, output, each [batch, hidden]."""

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        # So few rows that summing in parts costs nothing.
        self.dense = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs, partial_sums=8)

    def __call__(self, first_tokens: Float[Array, "batch hidden"], *, tap: Tap = identity) -> Float[Array, "batch hidden"]:
        """One vector a text from the hidden state of its [CLS]."""
        with jax.named_scope("dense"):
            dense = tap("dense", self.dense(first_tokens))
        with jax.named_scope("output"):
            return tap("output", jnp.tanh(dense))
