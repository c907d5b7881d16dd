"""Multi-head self-attention (Vaswani et al. 2017, section 3.2) with BERT's output projection, residual and LayerNorm."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model.dropout import dropout, split_key
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import Dense, hidden_dtype, product
from minibert.model.tap import Tap, identity, tap_rows, wants

SCORES_IN_CACHE = 6 << 20
"""Bytes of scores that a CPU's cores keep between the steps of the softmax; of more, a few texts or heads at a time."""


class Attention(nnx.Module):
    """`LayerNorm(x + (softmax(Q Kᵀ / sqrt(head_dim) + bias) V) W + b)`.

    Taps: query, key, value [batch, heads, tokens, head_dim]; scores (scaled, before the mask bias), probabilities
    [batch, heads, tokens, tokens]; context, projection (before residual and LayerNorm), output [batch, tokens, hidden].

    The context is computed unnormalised, `exp(scores − max) @ V / sum`, which moves the division from tokens² values to
    tokens · head_dim. A tap that hands `probabilities` back unchanged changes no bit; one that replaces them is obeyed.
    """

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.config = config
        self.scores_in_cache = SCORES_IN_CACHE
        self.query = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs)
        self.key = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs)
        self.value = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs)
        self.projection = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs)
        self.layer_norm = LayerNorm(config, rngs=rngs)

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 #tokens tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "rows hidden"]:
        """The rows after attention; `bias` is added to the scores: zero where a token may attend, very negative elsewhere."""
        batch = bias.shape[0]
        probabilities_key, projection_key = split_key(dropout_key, 2)
        context = tap_rows(tap, "context", self.context_of(hidden, bias, tap, probabilities_key), batch)
        with jax.named_scope("projection"):
            projection = tap_rows(tap, "projection", self.projection(context), batch)
        with jax.named_scope("output"):
            projection = dropout(projection, self.config.hidden_dropout_prob, projection_key)
            return tap_rows(tap, "output", self.layer_norm(projection + hidden), batch)

    def context_of(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 #tokens tokens"],
        tap: Tap,
        dropout_key: Array | None,
    ) -> Float[Array, "rows context"]:
        """What all heads gather, side by side."""
        batch = bias.shape[0]
        with jax.named_scope("query"):
            query = tap("query", self.split_heads(self.query(hidden), batch))  # [batch, heads, tokens, head_dim]
        with jax.named_scope("key"):
            key = tap("key", self.split_heads(self.key(hidden), batch))
        with jax.named_scope("value"):
            value = tap("value", self.split_heads(self.value(hidden), batch))
        return self.merge_heads(self.attend(query, key, value, bias, tap, dropout_key))

    def split_heads(self, hidden: Float[Array, "rows hidden"], batch: int) -> Float[Array, "batch heads tokens head_dim"]:
        """Cut each row into heads and bring the heads before the tokens."""
        return hidden.reshape(batch, -1, self.config.num_attention_heads, self.config.head_dim).swapaxes(1, 2)

    def merge_heads(self, context: Float[Array, "batch heads tokens head_dim"]) -> Float[Array, "rows context"]:
        """The inverse of `split_heads`."""
        return context.swapaxes(1, 2).reshape(-1, self.config.hidden_size)

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
        if self.config.attention_implementation == "fused":
            return self._attend_fused(query, key, value, bias, tap, dropout_key)
        texts, heads = self.at_a_time(*query.shape[:3])
        observed = wants(tap, "scores") or wants(tap, "probabilities")
        if (texts, heads) != query.shape[:2] and dropout_key is None and not observed:
            return self._attend_in_parts(query, key, value, bias, texts, heads)
        with jax.named_scope("scores"):
            scores = tap("scores", self._scores(query, key))  # [batch, heads, tokens, tokens]
        with jax.named_scope("probabilities"):
            weights, total = self._weights(scores, bias)
            probabilities = weights / total
            weights = dropout(weights, self.config.attention_probs_dropout_prob, dropout_key)
            replaced = tap("probabilities", probabilities)
        with jax.named_scope("context"):
            if replaced is probabilities:
                return product(weights, value, self.config) / total
            return product(replaced, value, self.config)

    def _scores(self, query: Array, key: Array) -> Array:
        # Scaled after the product, as both references do: scaling the query first rounds where sqrt(head_dim) is no power of two.
        return product(query, key.swapaxes(-1, -2), self.config) * (1.0 / math.sqrt(self.config.head_dim))

    def _weights(self, scores: Array, bias: Array) -> tuple[Array, Array]:
        """Unnormalised probabilities and their sums over the keys."""
        scores = scores + bias
        weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
        return weights, weights.sum(axis=-1, keepdims=True)

    def at_a_time(self, texts: int, heads: int, tokens: int) -> tuple[int, int]:
        """How many texts, and how many heads of each, have scores that stay in the cache together."""
        if jax.default_backend() != "cpu":
            return texts, heads
        room = self.scores_in_cache // (tokens * tokens * hidden_dtype(self.config).itemsize)
        if room < heads:
            return 1, _largest_divisor(heads, room)
        return _largest_divisor(texts, room // heads), heads

    def _attend_in_parts(self, query: Array, key: Array, value: Array, bias: Array, texts: int, heads: int) -> Array:
        batch, all_heads, tokens, head_dim = query.shape
        # Before its heads were split; the compiler then leaves out both moves, and a part is all that is ever copied.
        rows = [part.swapaxes(1, 2) for part in (query, key, value)]  # [batch, tokens, heads, head_dim]

        def of_texts(number: Array, context: Array) -> Array:
            first = number * texts
            part_bias = jax.lax.dynamic_slice_in_dim(bias, first, texts)

            def of_heads(number: Array, context: Array) -> Array:
                place = (first, 0, number * heads, 0)
                part_query, part_key, part_value = (
                    jax.lax.dynamic_slice(part, place, (texts, tokens, heads, head_dim)).swapaxes(1, 2) for part in rows
                )
                weights, total = self._weights(self._scores(part_query, part_key), part_bias)
                part_context = product(weights, part_value, self.config) / total
                return jax.lax.dynamic_update_slice(context, part_context.swapaxes(1, 2), place)

            return jax.lax.fori_loop(0, all_heads // heads, of_heads, context)

        empty = jnp.zeros((batch, tokens, all_heads, head_dim), hidden_dtype(self.config))
        return jax.lax.fori_loop(0, batch // texts, of_texts, empty).swapaxes(1, 2)

    def _attend_fused(self, query: Array, key: Array, value: Array, bias: Array, tap: Tap, dropout_key: Array | None) -> Array:
        if dropout_key is not None and self.config.attention_probs_dropout_prob:
            raise InputError(
                "attention_implementation 'fused' has no dropout on its probabilities; set attention_probs_dropout_prob to 0 "
                "or load the model with attention_implementation='explicit'"
            )
        if wants(tap, "scores") or wants(tap, "probabilities"):
            raise InputError(
                "attention_implementation 'fused' never forms 'scores' and 'probabilities', which this tap asks for; load the "
                "model with attention_implementation='explicit' to see them"
            )
        query, key, value = (part.swapaxes(1, 2).astype(self.config.dtype) for part in (query, key, value))
        with jax.named_scope("context"):
            # A mask, not the bias: float32's lowest number would round to −inf in bfloat16 and an all-masked row to NaN.
            context = jax.nn.dot_product_attention(query, key, value, mask=bias == 0)
        return context.swapaxes(1, 2).astype(hidden_dtype(self.config))


def _largest_divisor(number: int, at_most: int) -> int:
    return max(divisor for divisor in range(1, number + 1) if number % divisor == 0 and (divisor == 1 or divisor <= at_most))
