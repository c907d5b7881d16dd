"""Scores of the masked tokens alone: the head of the masked language model while it is trained.

A score for every token of the vocabulary at every place is most of what a small BERT computes, and six of seven places have no
label. So in training the head gives what scores are made of, and the loss makes those of the places that have one. Source:
google-research/bert, run_pretraining.py, gather_indexes, which does the same one step earlier.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Int

from minibert.config import BertConfig
from minibert.model import BertWithHeads
from minibert.model.heads import Encoded, MaskedLanguageModel
from minibert.model.numerics import product
from minibert.model.tap import Tap, identity
from minibert.training.losses import IGNORED, LOSSES, Loss, Weights

HEAD = "masked_lm"


class Unscored(NamedTuple):
    """What scores are made of: `output tableᵀ + bias`."""

    output: Float[Array, "batch tokens hidden"]
    table: Float[Array, "vocab hidden"]
    bias: Float[Array, " vocab"]


class MaskedPlaces(nnx.Module):
    """The head of the masked language model `head`, with its taps, giving `Unscored` in place of logits."""

    needs_pooler = False

    def __init__(self, head: MaskedLanguageModel):
        self.head = head

    def __call__(self, encoded: Encoded, *, tap: Tap = identity, dropout_key: Array | None = None) -> Unscored:
        """What the scores of every place are made of; the compiler drops the head's own, which nobody asks for."""
        outputs: list[Array] = []

        def look(name: str, value: Array) -> Array:
            value = tap(name, value)
            if name == "output":
                outputs.append(value)
            return value

        self.head(encoded, tap=look, dropout_key=dropout_key)
        return Unscored(outputs[0], encoded.word_table, self.head.bias[...])


def scores_of_masked(
    unscored: Unscored, labels: Int[Array, "batch tokens"], config: BertConfig, most: int
) -> tuple[Float[Array, "batch places vocab"], Int[Array, "batch places"]]:
    """The logits and the labels of `most` places of each row: all that have a label, and some without to fill them up."""
    has_label = (labels != IGNORED).astype(jnp.int32)
    places = jax.lax.top_k(has_label, min(most, labels.shape[-1]))[1]
    output = jnp.take_along_axis(unscored.output, places[..., None], axis=1)
    logits = product(output.reshape(-1, output.shape[-1]), unscored.table.T, config)
    logits = logits + unscored.bias.astype(logits.dtype)
    return logits.reshape(*places.shape, -1), jnp.take_along_axis(labels, places, axis=1)


def masked_lm_loss(config: BertConfig, most: int) -> Loss:
    """The cross entropy of the masked tokens, of rows with `most` of them at most."""
    whole = LOSSES[HEAD]

    def sums(unscored: Unscored, labels: Array, class_weights: Weights) -> Float[Array, " means"]:
        return whole.sums(*scores_of_masked(unscored, labels, config, most), class_weights)

    return Loss(sums, whole.weights)  # type: ignore[arg-type]


def with_masked_places(model: BertWithHeads) -> BertWithHeads:
    """The same parameters with the head as it is trained."""
    heads: dict[str, Any] = dict(model.heads)
    return BertWithHeads(model.bert, heads | {HEAD: MaskedPlaces(heads[HEAD])})


def without_masked_places(model: BertWithHeads) -> BertWithHeads:
    """The same parameters with the head as it is used."""
    heads: dict[str, Any] = dict(model.heads)
    return BertWithHeads(model.bert, heads | {HEAD: heads[HEAD].head})
