"""A gated feed-forward network (Dauphin et al. 2017; Shazeer 2020, "GLU variants improve Transformer"), in JAX and in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.lab.arguments import true_or_false
from minibert.lab.surgery.swapping import take_over
from minibert.lab.surgery.twins import NumpyPart
from minibert.model.activations import ACTIVATION_FUNCTIONS
from minibert.model.feed_forward import FeedForward
from minibert.model.numerics import Dense
from minibert.model.tap import Tap, tap_rows
from minibert.numpy_bert import Tap as NumpyTap


class NumpyGated(NumpyPart):
    """A feed-forward network with a gate beside its activation."""

    def feed_forward(
        self, name: str, hidden: Float[np.ndarray, "batch tokens hidden"], tap: NumpyTap
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """`LayerNorm(x + (activation(x W₁ + b₁) ∘ (x V + c)) W₂ + b₂)`."""
        intermediate = tap(f"{name}.intermediate", self.dense(f"{name}.intermediate", hidden))  # [batch, tokens, intermediate]
        gated = self.activation(intermediate) * self.dense(f"{name}.gate", hidden)
        activation = tap(f"{name}.activation", gated)
        projection = tap(f"{name}.projection", self.dense(f"{name}.projection", activation))  # [batch, tokens, hidden]
        return tap(f"{name}.output", self.layer_norm(f"{name}.layer_norm", self.residual(name, projection, hidden)))


class GatedFeedForward(FeedForward):
    """`LayerNorm(x + (activation(x W₁ + b₁) ∘ (x V + c)) W₂ + b₂)`.

    The gate's kernel V begins as zeros and its bias c as ones, so that at first a trained model computes what it did, and the
    gate learns from there; `from_scratch` draws V as every kernel is drawn. The taps are `FeedForward`'s; `activation` shows the
    gated values.
    """

    numpy_twin = NumpyGated

    def __init__(self, old: FeedForward, *, rngs: nnx.Rngs, from_scratch: bool = False):
        take_over(self, old, FeedForward)
        config = self.config
        self.gate = Dense(config.hidden_size, config.intermediate_size, config, rngs=rngs)
        self.gate.bias[...] = jnp.ones_like(self.gate.bias[...])
        if not true_or_false("from_scratch", from_scratch):
            self.gate.kernel[...] = jnp.zeros_like(self.gate.kernel[...])

    def _projection(self, hidden: Float[Array, "rows hidden"], batch: int, tap: Tap) -> Float[Array, "rows hidden"]:
        with jax.named_scope("intermediate"):
            intermediate = tap_rows(tap, "intermediate", self.intermediate(hidden), batch)
        with jax.named_scope("activation"):
            gated = ACTIVATION_FUNCTIONS[self.config.hidden_act](intermediate) * self.gate(hidden)
            activation = tap_rows(tap, "activation", gated, batch)
        with jax.named_scope("projection"):
            return self.projection(activation)
