"""The logits that a task is given, checked and as probabilities."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from minibert.errors import InputError
from minibert.printable import counted


def checked_logits(logits: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]) -> list[Float64[np.ndarray, "..."]]:
    """The logits of every row in float64, once their number and shapes are seen to be right and all of them finite.

    Raises InputError that names the first row where they are not.
    """
    if len(logits) != len(shapes):
        raise InputError(f"there are logits of {counted(len(logits), 'row')}; the examples make {counted(len(shapes), 'row')}")
    checked = []
    for number, (of_row, shape) in enumerate(zip(logits, shapes, strict=True)):
        wide = np.asarray(of_row).astype(np.float64)
        if wide.shape != shape:
            raise InputError(f"the logits of row {number} have shape {list(wide.shape)}; expected {list(shape)}")
        if not np.isfinite(wide).all():
            raise InputError(
                f"the logits of row {number} are not all finite numbers; the model is broken, as by training with a "
                "learning_rate that is too high: load an earlier checkpoint, or train again with a smaller one"
            )
        checked.append(wide)
    return checked


def softmax(logits: Float64[np.ndarray, "*rows labels"]) -> Float64[np.ndarray, "*rows labels"]:
    """`exp(x) / Σ exp(x)` over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(logits: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """`1 / (1 + exp(−x))`, which does not overflow in this form."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))
