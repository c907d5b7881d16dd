"""Rotary positions (Su et al. 2021, RoFormer) in the place of learned ones, in JAX and in NumPy.

Each pair of a query's, and of a key's, dimensions is turned by an angle that grows with the token's place, at another speed for
each pair. Turning both leaves of two places only their distance in the product: `(R_m q) · (R_n k) = q · R_{n−m} k`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, Integer

from minibert.errors import InputError, shown
from minibert.lab.surgery.swapping import take_over
from minibert.lab.surgery.twins import NumpyPart
from minibert.model.attention import Attention
from minibert.model.dropout import dropout
from minibert.model.embeddings import Embeddings
from minibert.model.inputs import AnyArray
from minibert.model.numerics import hidden_dtype
from minibert.model.tap import Tap, identity, tap_rows
from minibert.numpy_bert import Tap as NumpyTap


class NumpyWithoutPositions(NumpyPart):
    """`LayerNorm(word + token type)`."""

    def embeddings(
        self,
        input_ids: Integer[np.ndarray, "batch tokens"],
        token_type_ids: Integer[np.ndarray, "batch tokens"],
        position_ids: Integer[np.ndarray, "batch tokens"],
        tap: NumpyTap,
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """Two tables, added and normalised."""
        word = tap("embeddings.word", self.rows("embeddings.word", input_ids))  # each [batch, tokens, hidden]
        token_type = tap("embeddings.token_type", self.rows("embeddings.token_type", token_type_ids))
        total = tap("embeddings.sum", word + token_type)
        return tap("embeddings.output", self.layer_norm("embeddings.layer_norm", total))


class NumpyRotary(NumpyPart):
    """Scores of queries and keys that were turned by their places."""

    def scores(
        self, query: Float[np.ndarray, "batch heads tokens head_dim"], key: Float[np.ndarray, "batch heads tokens head_dim"]
    ) -> Float[np.ndarray, "batch heads tokens tokens"]:
        """As `NumpyBert.scores`, after turning."""
        return super().scores(self.turned(query), self.turned(key))

    def turned(self, x: Float[np.ndarray, "batch heads tokens head_dim"]) -> Float[np.ndarray, "batch heads tokens head_dim"]:
        """The pair of dimensions (i, i + head_dim / 2) of the token at place t, turned by `t · base^(−2 i / head_dim)`."""
        half = x.shape[-1] // 2
        speeds = self.part.base ** (-np.arange(half) / half)
        angles = np.arange(x.shape[-2])[:, None] * speeds  # [tokens, head_dim / 2]
        cosine, sine = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
        first, second = x[..., :half], x[..., half:]
        return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=-1)


class EmbeddingsWithoutPositions(Embeddings):
    """`LayerNorm(word[id] + token_type[type])`. Taps: word, token_type, sum, output."""

    numpy_twin = NumpyWithoutPositions

    def __init__(self, old: Embeddings, *, rngs: nnx.Rngs | None = None):
        self.config = old.config
        self.word, self.token_type, self.layer_norm = old.word, old.token_type, old.layer_norm

    def __call__(
        self,
        input_ids: Integer[AnyArray, "batch tokens"],
        token_type_ids: Integer[AnyArray, "batch tokens"],
        position_ids: Integer[AnyArray, "batch tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "batch*tokens hidden"]:
        """The embedded tokens as rows; `position_ids` are left aside."""
        batch = input_ids.shape[0]
        with jax.named_scope("word"):
            word = tap_rows(tap, "word", self._rows(self.word, input_ids), batch)
        with jax.named_scope("token_type"):
            token_type = tap_rows(tap, "token_type", self._rows(self.token_type, token_type_ids), batch)
        with jax.named_scope("sum"):
            total = tap_rows(tap, "sum", word + token_type, batch)
        with jax.named_scope("output"):
            output = dropout(self.layer_norm(total), self.config.hidden_dropout_prob, dropout_key)
        return tap_rows(tap, "output", output, batch)


class RotaryAttention(Attention):
    """`Attention` whose queries and keys are turned by their places before they meet; the taps show them before that.

    `base` is that of the slowest pair's speed. A text's places count from the first token of its row, which is all that
    distances need: padding on the left, or other texts before it in the row, change nothing.
    """

    numpy_twin = NumpyRotary

    def __init__(self, old: Attention, *, rngs: nnx.Rngs | None = None, base: float = 10_000.0):
        take_over(self, old, Attention)
        if self.config.head_dim % 2:
            raise InputError(f"head_dim is {self.config.head_dim}; rotary positions need an even number, for they turn pairs")
        if type(base) not in (int, float) or not 1.0 < base < 1e12:
            raise InputError(f"base is {shown(base)}; expected a number above 1, such as 10000")
        self.base = float(base)

    def attend(
        self,
        query: Float[Array, "batch heads tokens head_dim"],
        key: Float[Array, "batch heads tokens head_dim"],
        value: Float[Array, "batch heads tokens head_dim"],
        bias: Float[Array, "batch 1 #tokens tokens"],
        tap: Tap,
        dropout_key: Array | None,
    ) -> Float[Array, "batch heads tokens head_dim"]:
        """Each token's mixture of all tokens' values."""
        return super().attend(self._turned(query), self._turned(key), value, bias, tap, dropout_key)

    def _turned(self, x: Float[Array, "batch heads tokens head_dim"]) -> Float[Array, "batch heads tokens head_dim"]:
        half = x.shape[-1] // 2
        # In NumPy's float64, as part of the program: in float32 the angle of a late token would be off by its last digits.
        angles = np.arange(x.shape[-2])[:, None] * self.base ** (-np.arange(half) / half)
        wide = hidden_dtype(self.config)
        cosine, sine = jnp.asarray(np.cos(angles), wide), jnp.asarray(np.sin(angles), wide)
        first, second = x[..., :half], x[..., half:]
        return jnp.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=-1)
