"""Parts of a BERT that each do one thing wrong; `faults` puts them in the place of the right ones."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.model.activations import ACTIVATION_FUNCTIONS
from minibert.model.attention import Attention
from minibert.model.dropout import dropout, split_key
from minibert.model.encoder import Layer
from minibert.model.feed_forward import FeedForward
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import Dense, product
from minibert.model.tap import Tap, identity, tap_rows, wants


class OnePassLayerNorm(LayerNorm):
    """The variance as E[x²] − E[x]² in float32."""

    def __call__(self, hidden: Float[Array, "rows hidden"]) -> Float[Array, "rows hidden"]:
        """Each row normalised by itself."""
        mean = hidden.mean(axis=-1, keepdims=True)
        variance = (hidden * hidden).mean(axis=-1, keepdims=True) - mean * mean
        normalised = (hidden - mean) * jax.lax.rsqrt(variance + self.config.layer_norm_eps)
        return normalised * self.scale[...] + self.bias[...]


class InterleavedHeads(Attention):
    """Each token's vector cut into head_dim pieces of one number for each head."""

    def split_heads(self, hidden: Array, batch: int) -> Array:
        """[batch·tokens, head_dim·heads] to [batch, heads, tokens, head_dim]."""
        return hidden.reshape(batch, -1, self.config.head_dim, self.config.num_attention_heads).transpose(0, 3, 1, 2)

    def merge_heads(self, context: Array) -> Array:
        """The inverse of `split_heads`."""
        return context.transpose(0, 2, 3, 1).reshape(-1, self.config.hidden_size)


class OverHeads(Attention):
    """The heads of each token attend to each other: the einsum `bhqd,bhkd->bhqk` on [batch, tokens, heads, head_dim]."""

    def attend(self, query: Array, key: Array, value: Array, bias: Array, tap: Tap, dropout_key: Array | None) -> Array:
        """Scores and probabilities are [batch, tokens, heads, heads] here, which no name of a BERT's intermediates means."""
        query, key, value = (part.swapaxes(1, 2) for part in (query, key, value))
        weights, total = self._weights(self._scores(query, key), jnp.zeros(()))
        return (product(weights, value, self.config) / total).swapaxes(1, 2)


class Unscaled(Attention):
    """Scores as the products come."""

    def _scores(self, query: Array, key: Array) -> Array:
        return product(query, key.swapaxes(-1, -2), self.config)


class ScaledByHiddenSize(Attention):
    """Scores divided by the square root of the hidden size."""

    def _scores(self, query: Array, key: Array) -> Array:
        return product(query, key.swapaxes(-1, -2), self.config) * (1.0 / math.sqrt(self.config.hidden_size))


class Unmasked(Attention):
    """Padding is attended to."""

    def _weights(self, scores: Array, bias: Array) -> tuple[Array, Array]:
        return super()._weights(scores, jnp.zeros_like(bias))


class InvertedMask(Attention):
    """Padding is attended to, and nothing else."""

    def _weights(self, scores: Array, bias: Array) -> tuple[Array, Array]:
        return super()._weights(scores, jnp.where(bias == 0, jnp.finfo(bias.dtype).min, 0.0))


class WeakMask(Attention):
    """The bias of google-research/bert, modeling.py: a text that is masked as a whole attends almost as if it were not."""

    def _weights(self, scores: Array, bias: Array) -> tuple[Array, Array]:
        return super()._weights(scores, jnp.where(bias == 0, 0.0, -10000.0))


class WithoutResidual(Attention):
    """What attention was given is not added to what it computed."""

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 1 tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "rows hidden"]:
        """The rows after attention."""
        return tap_rows(tap, "output", self.layer_norm(projected(self, hidden, bias, tap, dropout_key)), bias.shape[0])


class PreNormAttention(Attention):
    """`x + attention(LayerNorm(x))`."""

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 1 tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "rows hidden"]:
        """The rows after attention."""
        projection = projected(self, self.layer_norm(hidden), bias, tap, dropout_key)
        return tap_rows(tap, "output", projection + hidden, bias.shape[0])


class PreNormFeedForward(FeedForward):
    """`x + feed_forward(LayerNorm(x))`."""

    def __call__(
        self, hidden: Float[Array, "rows hidden"], batch: int, *, tap: Tap = identity, dropout_key: Array | None = None
    ) -> Float[Array, "rows hidden"]:
        """The rows after the two dense layers."""
        intermediate = tap_rows(tap, "intermediate", self.intermediate(self.layer_norm(hidden)), batch)
        activation = tap_rows(tap, "activation", ACTIVATION_FUNCTIONS[self.config.hidden_act](intermediate), batch)
        projection = tap_rows(tap, "projection", self.projection(activation), batch)
        projection = dropout(projection, self.config.hidden_dropout_prob, dropout_key)
        return tap_rows(tap, "output", projection + hidden, batch)


def normalise_first(layer: Layer) -> None:
    """Puts both LayerNorms of a layer before their parts."""
    layer.attention.__class__ = PreNormAttention
    layer.feed_forward.__class__ = PreNormFeedForward


def projected(attention: Attention, hidden: Array, bias: Array, tap: Tap, dropout_key: Array | None) -> Array:
    """Attention up to its projection, with its taps."""
    batch = bias.shape[0]
    probabilities_key, projection_key = split_key(dropout_key, 2)
    query, key, value = (
        tap(part, attention.split_heads(getattr(attention, part)(hidden), batch)) for part in ("query", "key", "value")
    )
    context = attention.merge_heads(attention.attend(query, key, value, bias, tap, probabilities_key))
    projection = tap_rows(tap, "projection", attention.projection(tap_rows(tap, "context", context, batch)), batch)
    return dropout(projection, attention.config.hidden_dropout_prob, projection_key)


def to_float16(values: Array) -> Array:
    """The nearest numbers that a float16 has, in the dtype of `values`."""
    return values.astype(jnp.float16).astype(values.dtype)


class Float16Layer(Layer):
    """Every intermediate of the layer is kept in float16."""

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 1 tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "rows hidden"]:
        """The next hidden states, each a float16's value."""
        return super().__call__(to_float16(hidden), bias, tap=_KeptInFloat16(tap), dropout_key=dropout_key)


class _KeptInFloat16:
    def __init__(self, tap: Tap):
        self.tap = tap

    def __call__(self, name: str, value: Array) -> Array:
        return self.tap(name, to_float16(value))

    def wants(self, name: str) -> bool:
        return True


class Float16LayerNorm(LayerNorm):
    """The residual sum is kept in float16, the statistics are not."""

    def __call__(self, hidden: Float[Array, "rows hidden"]) -> Float[Array, "rows hidden"]:
        """Each row normalised by itself."""
        return super().__call__(to_float16(hidden))


class Float16Attention(Attention):
    """The scores are kept in float16 before they are scaled, too."""

    def _scores(self, query: Array, key: Array) -> Array:
        return to_float16(product(query, key.swapaxes(-1, -2), self.config)) * (1.0 / math.sqrt(self.config.head_dim))


def keep_in_float16(layer: Layer) -> None:
    """Makes a layer compute as torch does after `.half()`: parameters and intermediates in float16, sums in float32."""
    for _, node in nnx.iter_graph(layer):
        if isinstance(node, nnx.Param):
            node.set_value(to_float16(node.get_value()))
    layer.attention.__class__ = Float16Attention
    layer.attention.layer_norm.__class__ = layer.feed_forward.layer_norm.__class__ = Float16LayerNorm
    layer.__class__ = Float16Layer


def to_tf32(values: Array) -> Array:
    """float32 numbers with the 10 bits behind the point that TF32 keeps, rounded to the nearest."""
    return jax.lax.reduce_precision(values, exponent_bits=8, mantissa_bits=10)


class Tf32Dense(Dense):
    """A dense layer whose product has operands of TF32."""

    def __call__(self, hidden: Float[Array, "rows in_features"]) -> Float[Array, "rows out_features"]:
        """The product of the rounded operands, and the bias."""
        return product(to_tf32(hidden), to_tf32(self.kernel[...]), self.config) + self.bias[...]


class Tf32Attention(Attention):
    """Attention whose two products have operands of TF32."""

    def _scores(self, query: Array, key: Array) -> Array:
        return super()._scores(to_tf32(query), to_tf32(key))

    def attend(self, query: Array, key: Array, value: Array, bias: Array, tap: Tap, dropout_key: Array | None) -> Array:
        """Each token's mixture of all tokens' values."""
        scores = tap("scores", self._scores(query, key))
        weights, total = self._weights(scores, bias)
        if wants(tap, "probabilities"):
            tap("probabilities", weights / total)
        return product(to_tf32(weights), to_tf32(value), self.config) / total


def compute_in_tf32(layer: Layer) -> None:
    """Makes all products of a layer those of TF32."""
    attention, feed_forward = layer.attention, layer.feed_forward
    attention.__class__ = Tf32Attention
    for dense in (attention.query, attention.key, attention.value, attention.projection):
        dense.__class__ = Tf32Dense
    for dense in (feed_forward.intermediate, feed_forward.projection):
        dense.__class__ = Tf32Dense


class DroppingLayer(Layer):
    """Dropout is on, with the same choices in every call."""

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 1 tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "rows hidden"]:
        """The next hidden states."""
        return super().__call__(hidden, bias, tap=tap, dropout_key=jax.random.key(0))


def set_config(part: nnx.Module, **fields: Any) -> None:
    """Changes fields of the configuration in a part and in all parts of it."""
    for _, node in nnx.iter_graph(part):
        if isinstance(node, nnx.Module) and hasattr(node, "config"):
            node.config = node.config.replace(**fields)
