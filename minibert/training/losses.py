"""The losses of BERT's tasks, each from logits and labels to one number; float32 or wider whatever the model computes in.

Positions labelled IGNORED (or NaN, where labels are numbers) count for nothing, as in the reference (transformers,
modeling_bert.py, torch's cross entropy).

Every loss is a mean, and a mean over a large batch is not the mean of the means over its parts where these hold unequally many
labels. So a loss is kept as two functions, of what is summed and by what the sum is divided: gradients of parts of a batch,
accumulated, are then those of the whole.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Integer

from minibert.errors import InputError

IGNORED = -100
"""The label of what has none: tokens that were not masked, later parts of a word, [CLS], [SEP] and padding."""

Weights = Float[Array, " labels"] | None


class Loss(NamedTuple):
    """`mean_i(sums_i / weights_i)` over one or more means i; `loss(logits, labels)` for the number.

    A mean without any label is zero, where torch's is NaN. A label that is none of the logits' gives NaN, as values within a
    compiled program cannot be refused; class weights of another number raise InputError.
    """

    sums: Callable[[Array, Array, Weights], Float[Array, " means"]]
    """Of logits, labels and class weights."""
    weights: Callable[[Array, int, Weights], Float[Array, " means"]]
    """Of labels, the number of tokens in a row, and class weights."""

    def __call__(self, logits: Float[Array, "*shape"], labels: Array, class_weights: Weights = None) -> Float[Array, ""]:
        """The loss of a whole batch; `class_weights` count each label more or less."""
        sums = self.sums(logits, labels, class_weights)
        return mean_of(sums, self.weights(labels, _tokens(logits), class_weights))


def mean_of(sums: Float[Array, " means"], weights: Float[Array, " means"]) -> Float[Array, ""]:
    """`mean_i(sums_i / weights_i)`, a mean of no weight being zero."""
    return (sums / jnp.where(weights == 0.0, 1.0, weights)).mean()


def _cross_entropy_sums(
    logits: Float[Array, "*rows labels"], labels: Integer[Array, "*rows"], class_weights: Weights
) -> Float[Array, " means"]:
    logits = _wide(logits)
    _check_one_weight_a_label(class_weights, logits.shape[-1])
    # What is no label of the model would be read as another one.
    is_label = (labels >= 0) & (labels < logits.shape[-1])
    of_rows = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(is_label, labels, 0))
    of_rows = jnp.where(is_label | (labels == IGNORED), of_rows, jnp.nan)
    return (of_rows * _weights_of_rows(labels, class_weights, logits.dtype)).sum()[None]


def _cross_entropy_weights(labels: Integer[Array, "*rows"], tokens: int, class_weights: Weights) -> Float[Array, " means"]:
    return _weights_of_rows(labels, class_weights, jnp.float32).sum()[None]


def _weights_of_rows(labels: Integer[Array, "*rows"], class_weights: Weights, dtype: Any) -> Float[Array, "*rows"]:
    counts = labels != IGNORED
    if class_weights is None:
        return counts.astype(dtype)
    return counts * class_weights.astype(dtype)[jnp.where(counts, labels, 0)]


def _check_one_weight_a_label(class_weights: Weights, labels: int) -> None:
    if class_weights is not None and class_weights.shape != (labels,):
        raise InputError(f"class_weights have the shape {class_weights.shape}; expected ({labels},), one for each label")


def _binary_sums(
    logits: Float[Array, "texts labels"], labels: Float[Array, "texts labels"], class_weights: Weights
) -> Float[Array, " means"]:
    known = ~jnp.isnan(labels)
    of_labels = optax.sigmoid_binary_cross_entropy(_wide(logits), jnp.where(known, labels, 0.0)) * known
    return _sum_over_labels(of_labels, class_weights)


def _squared_sums(
    logits: Float[Array, "texts labels"], labels: Float[Array, "texts labels"], class_weights: Weights
) -> Float[Array, " means"]:
    known = ~jnp.isnan(labels)
    of_labels = jnp.square(_wide(logits) - jnp.where(known, labels, 0.0)) * known
    return _sum_over_labels(of_labels, class_weights)


def _sum_over_labels(of_labels: Float[Array, "texts labels"], class_weights: Weights) -> Float[Array, " means"]:
    _check_one_weight_a_label(class_weights, of_labels.shape[-1])
    return (of_labels if class_weights is None else of_labels * class_weights).sum()[None]


def _count_of_numbers(labels: Float[Array, "texts labels"], tokens: int, class_weights: Weights) -> Float[Array, " means"]:
    return (~jnp.isnan(labels)).sum(dtype=jnp.float32)[None]


def _answer_sums(
    logits: Float[Array, "texts tokens 2"], labels: Integer[Array, "texts 2"], class_weights: Weights
) -> Float[Array, " means"]:
    places = _places(labels, logits.shape[1])
    return jnp.concatenate([_cross_entropy_sums(logits[:, :, which], places[:, which], class_weights) for which in (0, 1)])


def _answer_weights(labels: Integer[Array, "texts 2"], tokens: int, class_weights: Weights) -> Float[Array, " means"]:
    places = _places(labels, tokens)
    return jnp.concatenate([_cross_entropy_weights(places[:, which], tokens, class_weights) for which in (0, 1)])


def _places(labels: Integer[Array, "texts 2"], tokens: int) -> Integer[Array, "texts 2"]:
    return jnp.where((labels >= 0) & (labels < tokens), labels, IGNORED)


def _wide(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _tokens(logits: Float[Array, "*shape"]) -> int:
    return logits.shape[1] if logits.ndim > 1 else 1


cross_entropy = Loss(_cross_entropy_sums, _cross_entropy_weights)
"""`−Σ w[y] log softmax(logits)[y] / Σ w[y]` over the rows whose label is not IGNORED; without weights their mean."""

binary_cross_entropy = Loss(_binary_sums, _count_of_numbers)
"""The mean of `−y log σ(x) − (1 − y) log(1 − σ(x))` over texts and labels, which are each on or off by themselves."""

squared_error = Loss(_squared_sums, _count_of_numbers)
"""The mean of `(x − y)²`, for labels that are numbers."""

answer_loss = Loss(_answer_sums, _answer_weights)
"""The mean of two cross entropies over the tokens: of the answer's first token and of its last.

A place outside the tokens, of an answer that was cut away, counts for nothing.
"""

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
