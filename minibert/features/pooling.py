"""One vector a text from those of its tokens."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int32

POOLINGS = ("mean", "cls", "max", "pooler")
"""The mean over a text's tokens, [CLS] and [SEP] included; its [CLS]; the largest of each number; BERT's own pooler."""


def pooled(
    hidden: Float[Array, "rows width features"], segment_ids: Int32[Array, "rows width"], most: int, pooling: str
) -> Float[Array, "rows {most} features"]:
    """For each row, one vector for each of its first `most` texts by "mean", "cls" or "max".

    `segment_ids` says which text of its row a token is of, counted from 1; 0 is padding. A text without a token gets zeros.
    """
    numbers = jnp.arange(1, most + 1)
    members = segment_ids[:, None, :] == numbers[None, :, None]  # [rows, most, width]
    if pooling == "cls":
        first = jnp.take_along_axis(hidden, members.argmax(axis=-1)[:, :, None], axis=1)
        return jnp.where(members.any(axis=-1, keepdims=True), first, 0.0)
    if pooling == "max":
        lowest = jnp.finfo(hidden.dtype).min

        def largest(number: Array) -> Array:
            of_text = jnp.where((segment_ids == number)[:, :, None], hidden, lowest).max(axis=1)
            return jnp.where((segment_ids == number).any(axis=1, keepdims=True), of_text, 0.0)

        return jax.lax.map(largest, numbers).swapaxes(0, 1)
    sums = jnp.matmul(members.astype(hidden.dtype), hidden, precision=jax.lax.Precision.HIGHEST)
    return sums / jnp.maximum(members.sum(axis=-1, keepdims=True), 1)
