"""The logits of many rows, for evaluation and prediction."""

from typing import Any

import jax
import numpy as np
from jax import Array

from minibert.training.checkpoints import host_copy
from minibert.training.parallel import Placement, share_of
from minibert.training.rows import Rows, batch_of, widest_for


def logits_of(
    model: Any, rows: Rows, *, batch_size: int = 32, placement: Placement | None = None, pad_token_id: int = 0
) -> list[np.ndarray]:
    """Each row's logits, float32: [num_labels], or of heads with logits for every token [tokens, num_labels] without padding.

    Rows of like lengths share a batch; the result is in the order of `rows`.
    """
    placement = Placement("1x1") if placement is None else placement
    size = -(-batch_size // placement.count) * placement.count
    order = np.argsort([len(ids) for ids in rows.input_ids], kind="stable")
    found: list[np.ndarray] = [np.empty(0, np.float32)] * len(rows)
    for start in range(0, len(order), size):
        numbers = order[start : start + size].tolist()
        batch = batch_of(rows, numbers, size, pad_token_id=pad_token_id, widest=widest_for(model), share=share_of(size))
        del batch["labels"]
        logits = host_copy(_logits(model, placement.place_batch(batch, size)))
        for place, number in enumerate(numbers):
            of_row = logits[place]
            found[number] = of_row[: len(rows.input_ids[number])] if of_row.ndim == 2 else of_row
    return found


@jax.jit
def _logits(model: Any, batch: dict[str, Array]) -> Array:
    return model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]).logits
