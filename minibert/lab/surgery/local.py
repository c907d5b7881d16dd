"""Attention within a window (Beltagy et al. 2020, Longformer, section 3.1), in JAX and in NumPy."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Integer

from minibert.errors import InputError, shown
from minibert.lab.arguments import true_or_false
from minibert.lab.surgery.swapping import take_over
from minibert.lab.surgery.twins import NumpyPart
from minibert.model.attention import Attention
from minibert.model.tap import Tap


def seen(tokens: int, window: int, first_is_global: bool) -> Bool[np.ndarray, "tokens tokens"]:
    """Which tokens each token may see: those at most `window` places away, and the first, which sees all, if it is global."""
    places = np.arange(tokens)
    near = np.abs(places[:, None] - places[None, :]) <= window
    if first_is_global:
        near[0, :] = near[:, 0] = True
    return near


class NumpyLocal(NumpyPart):
    """Attention whose mask shuts out what is far away."""

    def mask_bias(self, mask: Integer[np.ndarray, "batch tokens"]) -> Float[np.ndarray, "batch 1 tokens tokens"]:
        """As `NumpyBert.mask_bias`, and as low for what is out of the window."""
        bias = super().mask_bias(mask)  # [batch, 1, 1, tokens]
        near = seen(mask.shape[1], self.part.window, self.part.first_is_global)
        return np.where(near, bias, np.finfo(self.dtype).min / 2).astype(self.dtype)


class LocalAttention(Attention):
    """`Attention` in which a token sees those at most `window` places away.

    `first_is_global`: what stands first in the row sees all and is seen by all. That is [CLS], unless padding is on the left. The
    scores of all pairs are computed all the same, then masked: it shows what a window does to a model, and saves no time.
    """

    numpy_twin = NumpyLocal

    def __init__(self, old: Attention, *, rngs: nnx.Rngs | None = None, window: int = 8, first_is_global: bool = True):
        take_over(self, old, Attention)
        if type(window) is not int or window < 0:
            raise InputError(f"window is {shown(window)}; expected a whole number from 0 up")
        self.window, self.first_is_global = window, true_or_false("first_is_global", first_is_global)

    def context_of(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 #tokens tokens"],
        tap: Tap,
        dropout_key: Array | None,
    ) -> Float[Array, "rows context"]:
        """What all heads gather, side by side."""
        near = seen(bias.shape[-1], self.window, self.first_is_global)
        return super().context_of(hidden, jnp.where(near, bias, jnp.finfo(bias.dtype).min), tap, dropout_key)
