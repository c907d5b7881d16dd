"""What a model makes of examples that it was not trained on."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from minibert.training.losses import IGNORED, LOSSES
from minibert.training.parallel import Placement, share_of
from minibert.training.pretraining.masked_places import scores_of_masked
from minibert.training.rows import BatchSource, batch_of, widest_for
from minibert.training.step import inputs_of

BEST_BY = "masked_lm_probability"


def measure(
    model: Any, rows: BatchSource, most: int, *, batch_size: int, placement: Placement | None, pad_token_id: int
) -> dict[str, float]:
    """`masked_lm_probability`, `_loss` and `_accuracy`, and of rows of two segments `next_sentence_accuracy`, over all rows.

    The probability is the geometric mean of those that the right tokens are given, e^−loss: more is better, as of the others.

    Args:
        model: with the head of `with_masked_places`.
        rows: which have `most` masked tokens at most.
        batch_size, placement, pad_token_id: as the training loop has them.
    """
    placement = Placement("1x1") if placement is None else placement
    size = -(-batch_size // placement.count) * placement.count
    total: Any = 0.0
    for start in range(0, len(rows), size):
        numbers = range(start, min(start + size, len(rows)))
        batch = batch_of(rows, numbers, size, pad_token_id=pad_token_id, widest=widest_for(model), share=share_of(size))
        total = total + np.asarray(_sums(model, placement.place_batch(batch, size), most), np.float64)
    loss, right, count, right_pairs, pairs = total.tolist()
    loss, accuracy = loss / max(count, 1.0), right / max(count, 1.0)
    metrics = {BEST_BY: math.exp(-loss), "masked_lm_loss": loss, "masked_lm_accuracy": accuracy}
    return metrics | ({"next_sentence_accuracy": right_pairs / pairs} if pairs else {})


@partial(jax.jit, static_argnames="most")
def _sums(model: Any, batch: dict[str, Any], most: int) -> Float[Array, "5"]:
    """The loss, the right answers and all answers of masked tokens; the right ones and all of pairs."""
    found: Any = model(*inputs_of(batch)).logits_by_head
    logits, labels = scores_of_masked(found["masked_lm"], batch["labels"]["masked_lm"], model.config, most)
    sums = [LOSSES["masked_lm"].sums(logits, labels, None)[0], *_answers(logits, labels)]
    if "next_sentence" in batch["labels"]:
        sums += _answers(found["next_sentence"], batch["labels"]["next_sentence"])
    else:
        sums += [jnp.zeros(()), jnp.zeros(())]
    return jnp.stack([jnp.asarray(each, jnp.float32) for each in sums])


def _answers(logits: Array, labels: Array) -> list[Array]:
    """How many are right, and how many there are."""
    return [(logits.argmax(axis=-1) == labels).sum(), (labels != IGNORED).sum()]
