"""Attention laid out for training on a CPU: a few texts at a time, forward and backward, so that scores stay in the cache.

The backward pass computes probabilities again from queries, keys and the sums of each softmax, as FlashAttention does (Dao et
al. 2022, appendix B.4), instead of keeping [batch, heads, tokens, tokens] values of every layer. It computes them with the keys
before the queries: two of its three products then need no transposing, which XLA's small products are slow at.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from minibert.config import BertConfig
from minibert.model.attention import Attention
from minibert.model.dropout import kept
from minibert.model.numerics import hidden_dtype, product
from minibert.model.tap import Tap, wants

SCORES_AT_A_TIME = 3 << 19
"""Bytes of scores that are worked on together; the backward pass has four arrays of that size."""
SCORES_ON_ONE_CORE = 1 << 19
"""The same where a core has a program to itself, and nobody waits for it."""


class AttentionInParts(Attention):
    """`Attention` with the same parameters and the same masks of dropout, for dense layers as BERT has them.

    Queries, keys and values come from one product. Where a tap wants them, or scores or probabilities, all is computed as
    `Attention` does. The bias gets no gradient.
    """

    def __init__(self, whole: Attention, *, one_core: bool = False):
        for name, value in vars(whole).items():
            setattr(self, name, value)
        self.scores_in_cache = SCORES_ON_ONE_CORE if one_core else SCORES_AT_A_TIME

    def context_of(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 #tokens tokens"],
        tap: Tap,
        dropout_key: Array | None,
    ) -> Float[Array, "rows context"]:
        """What all heads gather, side by side."""
        config = self.config
        rate = config.attention_probs_dropout_prob if dropout_key is not None else 0.0
        is_observed = any(wants(tap, name) for name in ("query", "key", "value", "scores", "probabilities"))
        if is_observed or rate >= 1.0 or config.attention_implementation == "fused":
            return super().context_of(hidden, bias, tap, dropout_key)
        batch, heads, tokens = bias.shape[0], config.num_attention_heads, bias.shape[-1]
        division = _Division(config, rate, *self.at_a_time(batch, heads, tokens))
        keep = kept(dropout_key, rate, (batch, heads, tokens, tokens)) if dropout_key is not None and rate else None
        layers = (self.query, self.key, self.value)
        with jax.named_scope("query_key_value"):
            projected = product(hidden, jnp.concatenate([layer.kernel[...] for layer in layers], axis=1), config)
            projected = projected + jnp.concatenate([layer.bias[...] for layer in layers]).astype(projected.dtype)
            projected = projected.reshape(batch, tokens, 3, heads, config.head_dim)
        with jax.named_scope("context"):
            return _context(division, projected, bias, keep).reshape(hidden.shape)


class _Division(NamedTuple):
    config: BertConfig
    dropout: float
    texts: int
    """At a time."""
    heads: int
    """Of each of these texts."""

    def scores(self, left: Array, right: Array) -> Array:
        """Of each of the tokens on the left for each on the right."""
        return product(left, right.swapaxes(-1, -2), self.config) * (1.0 / math.sqrt(self.config.head_dim))

    def for_each(self, batch: int, of_part: Callable[["_Part", Any], Any], results: Any) -> Any:
        """The results after each part of a batch has put its own into them."""

        def of_texts(number: Array, results: Any) -> Any:
            def of_heads(part: Array, results: Any) -> Any:
                return of_part(_Part(self, number * self.texts, part * self.heads), results)

            return jax.lax.fori_loop(0, self.config.num_attention_heads // self.heads, of_heads, results)

        return jax.lax.fori_loop(0, batch // self.texts, of_texts, results)


class _Part(NamedTuple):
    division: _Division
    text: Any
    """The first."""
    head: Any
    """The first."""

    def of_rows(
        self, rows: Float[Array, "batch tokens kinds heads head_dim"], kind: int
    ) -> Float[Array, "texts some_heads tokens head_dim"]:
        size = (self.division.texts, rows.shape[1], 1, self.division.heads, rows.shape[-1])
        part = jax.lax.dynamic_slice(rows, (self.text, 0, kind, self.head, 0), size)[:, :, 0].swapaxes(1, 2)
        # Or the compiler copies the part once for every layout in which a product could read it.
        return jax.lax.optimization_barrier(part)

    def put_rows(
        self,
        rows: Float[Array, "batch tokens kinds heads head_dim"],
        kind: int,
        part: Float[Array, "texts some_heads tokens head_dim"],
    ) -> Float[Array, "batch tokens kinds heads head_dim"]:
        return jax.lax.dynamic_update_slice(rows, part.swapaxes(1, 2)[:, :, None], (self.text, 0, kind, self.head, 0))

    def of(self, values: Array) -> Array:
        """Of an array [batch, heads, …], or [batch, 1, …] whose values serve for all heads."""
        shared = values.shape[1] == 1
        start = (self.text, 0 if shared else self.head, *[0] * (values.ndim - 2))
        return jax.lax.dynamic_slice(
            values, start, (self.division.texts, 1 if shared else self.division.heads, *values.shape[2:])
        )

    def put(self, values: Array, part: Array) -> Array:
        return jax.lax.dynamic_update_slice(values, part, (self.text, self.head, *[0] * (values.ndim - 2)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _context(
    division: _Division,
    projected: Float[Array, "batch tokens 3 heads head_dim"],
    bias: Float[Array, "batch 1 #tokens tokens"],
    keep: Bool[Array, "batch heads tokens tokens"] | None,
) -> Float[Array, "batch tokens 1 heads head_dim"]:
    return _forward(division, projected, bias, keep)[0]


def _forward(division: _Division, projected: Array, bias: Array, keep: Array | None) -> tuple[Array, Any]:
    batch, tokens, _, heads, head_dim = projected.shape
    wide = hidden_dtype(division.config)

    def of_part(part: _Part, results: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        contexts, largests, totals = results
        query, key, value = (part.of_rows(projected, kind) for kind in range(3))
        scores = division.scores(query, key) + part.of(bias)
        largest = scores.max(axis=-1, keepdims=True)
        weights = jnp.exp(scores - largest)
        total = weights.sum(axis=-1, keepdims=True)
        if keep is not None:
            weights = jnp.where(part.of(keep), weights, 0.0)
        context = product(weights, value, division.config) / (total * (1.0 - division.dropout))
        return part.put_rows(contexts, 0, context), part.put(largests, largest[..., 0]), part.put(totals, total[..., 0])

    empty = jnp.zeros((batch, tokens, 1, heads, head_dim), wide), *[jnp.zeros((batch, heads, tokens), wide)] * 2
    context, largest, total = division.for_each(batch, of_part, empty)
    return context, (projected, bias, keep, context, largest, total)


def _backward(division: _Division, from_forward: Any, gradient: Array) -> tuple[Any, ...]:
    projected, bias, keep, context, largest, total = from_forward
    config = division.config
    # What every gradient of a row's scores loses, as the probabilities add up to one: Σ P ∘ dP = Σ context ∘ d context.
    in_common = (context * gradient).sum(axis=(2, 4)).swapaxes(1, 2)  # [batch, heads, tokens]
    inverse = 1.0 / total

    def of_part(part: _Part, result: Array) -> Array:
        query, key, value = (part.of_rows(projected, kind) for kind in range(3))
        to_context = part.of_rows(gradient, 0)

        def of_queries(values: Array) -> Array:
            return part.of(values)[..., None, :]  # [texts, heads, 1, queries], for arrays [texts, heads, keys, queries]

        scores = division.scores(key, query) + part.of(bias).swapaxes(-1, -2)
        probabilities = jnp.exp(scores - of_queries(largest)) * of_queries(inverse)
        dropped, to_probabilities = probabilities, product(value, to_context.swapaxes(-1, -2), config)
        if keep is not None:
            stays = part.of(keep).swapaxes(-1, -2)
            scale = 1.0 / (1.0 - division.dropout)
            dropped, to_probabilities = (jnp.where(stays, array * scale, 0.0) for array in (dropped, to_probabilities))
        to_scores = probabilities * (to_probabilities - of_queries(in_common)) * (1.0 / math.sqrt(config.head_dim))
        # The keys are what is turned rather than the scores: there are fewer of their values.
        to_query = product(key.swapaxes(-1, -2), to_scores, config).swapaxes(-1, -2)
        for kind, rows in enumerate((to_query, product(to_scores, query, config), product(dropped, to_context, config))):
            result = part.put_rows(result, kind, rows)
        return result

    to_projected = division.for_each(projected.shape[0], of_part, jnp.zeros(projected.shape, hidden_dtype(config)))
    return to_projected, jnp.zeros_like(bias), None if keep is None else np.zeros(keep.shape, jax.dtypes.float0)


_context.defvjp(_forward, _backward)
