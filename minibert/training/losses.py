"""The losses of BERT's tasks, each from logits and labels to one number; float32 or wider whatever the model computes in.

Positions labelled IGNORED count for nothing, as in the reference (transformers, modeling_bert.py, torch's cross entropy).
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Integer

IGNORED = -100
"""The label of what has none: tokens that were not masked, later parts of a word, [CLS], [SEP] and padding."""

Loss = Callable[..., Float[Array, ""]]


def cross_entropy(
    logits: Float[Array, "*rows labels"], labels: Integer[Array, "*rows"], class_weights: Float[Array, " labels"] | None = None
) -> Float[Array, ""]:
    """`−Σ w[y] log softmax(logits)[y] / Σ w[y]` over the rows whose label is not IGNORED; without weights their mean.

    Zero where every label is ignored, where torch's mean is NaN.
    """
    logits = _wide(logits)
    counts = labels != IGNORED
    known = jnp.where(counts, labels, 0)
    of_rows = optax.softmax_cross_entropy_with_integer_labels(logits, known)
    weights = counts.astype(logits.dtype)
    if class_weights is not None:
        weights = weights * class_weights.astype(logits.dtype)[known]
    total = weights.sum()
    return (of_rows * weights).sum() / jnp.where(total == 0.0, 1.0, total)


def binary_cross_entropy(
    logits: Float[Array, "texts labels"],
    labels: Float[Array, "texts labels"],
    class_weights: Float[Array, " labels"] | None = None,
) -> Float[Array, ""]:
    """The mean of `−y log σ(x) − (1 − y) log(1 − σ(x))` over texts and labels, which are each on or off by themselves."""
    of_labels = optax.sigmoid_binary_cross_entropy(_wide(logits), labels)
    return (of_labels if class_weights is None else of_labels * class_weights).mean()


def squared_error(logits: Float[Array, "texts labels"], labels: Float[Array, "texts labels"]) -> Float[Array, ""]:
    """The mean of `(x − y)²`, for labels that are numbers."""
    return jnp.square(_wide(logits) - labels).mean()


def answer_loss(logits: Float[Array, "texts tokens 2"], labels: Integer[Array, "texts 2"]) -> Float[Array, ""]:
    """The mean of two cross entropies over the tokens: of the answer's first token and of its last.

    A place outside the tokens, of an answer that was cut away, counts for nothing.
    """
    tokens = logits.shape[1]
    places = jnp.where((labels >= 0) & (labels < tokens), labels, IGNORED)
    return 0.5 * (cross_entropy(logits[:, :, 0], places[:, 0]) + cross_entropy(logits[:, :, 1], places[:, 1]))


def _wide(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


LOSSES: dict[str, Loss] = {
    "masked_lm": cross_entropy,
    "next_sentence": cross_entropy,
    "sequence_classification": cross_entropy,
    "multi_label": binary_cross_entropy,
    "regression": squared_error,
    "multiple_choice": cross_entropy,
    "token_classification": cross_entropy,
    "question_answering": answer_loss,
}
"""By the head, or for `sequence_classification` by what its labels are. Pre-training's is the sum of its two heads'."""
