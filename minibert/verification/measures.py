"""What is measured between an intermediate and the truth, over the real positions of every text."""

import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Integer


def real_positions(
    name: str,
    mask: Integer[np.ndarray, "batch tokens"],
    shape: tuple[int, ...],
    positions: Integer[np.ndarray, " kept"] | None = None,
) -> Bool[np.ndarray, "..."]:
    """Which values of the intermediate `name` belong to real tokens: booleans of its `shape`.

    `mask` is the attention mask [batch, tokens]; `positions` are those that were kept of an intermediate [batch, tokens,
    width]. Of `scores` and `probabilities`, [batch, heads, queries, keys], both the query and the key must be real. Of a text
    that is masked as a whole every token counts: what comes of it depends on how an implementation masks.
    """
    real = mask.astype(bool)
    real = real | ~real.any(axis=1, keepdims=True)
    if len(shape) == 2:
        return np.ones(shape, bool)
    if len(shape) == 3:
        real = real if positions is None else real[:, positions]
        return np.broadcast_to(real[:, :, None], shape)
    real_rows = real[:, None, :, None]
    if name.endswith((".scores", ".probabilities")):
        real_rows = real_rows & real[:, None, None, :]
    return np.broadcast_to(real_rows, shape)


def error_of_each_text(
    name: str,
    values: Float[np.ndarray, " batch *shape"],
    truth: Float[np.ndarray, " batch *shape"],
    mask: Integer[np.ndarray, "batch tokens"],
    positions: Integer[np.ndarray, " kept"] | None = None,
) -> Float[np.ndarray, " batch"]:
    """The largest absolute error of each text at its real positions, in float64."""
    real = real_positions(name, mask, truth.shape, positions)
    return np.where(real, np.abs(values.astype(np.float64) - truth), 0.0).reshape(len(truth), -1).max(axis=1)


def error_in_floors(error: float, floor: float) -> float:
    """`error / floor`: 0 if there is no error, infinite where the floor is zero or either is NaN."""
    if error == 0.0:
        return 0.0
    return math.inf if floor == 0.0 or math.isnan(error) or math.isnan(floor) else error / floor


def largest(values: Iterable[float]) -> float:
    """The maximum, which is NaN where any value is; Python's own `max` would depend on the order."""
    return float(np.max(list(values)))


def root_mean_square(values: Float[np.ndarray, "*shape"]) -> float:
    """The size of numbers taken together."""
    return float(np.sqrt(np.mean(np.square(values))))


def cosine(left: Float[np.ndarray, " values"], right: Float[np.ndarray, " values"]) -> float:
    """The cosine of the angle between two vectors; 1 for two zero vectors."""
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    if norms == 0.0:
        return float(np.array_equal(left, right))
    return float(left @ right) / norms


def ulp_distances(values: Float[np.ndarray, "..."], truth: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """How many floating-point numbers of the dtype of `values` lie between each value and the truth rounded to that dtype.

    0 where they are equal, and between 0 and −0; infinite where either is NaN.
    """
    with np.errstate(over="ignore"):
        rounded = truth.astype(values.dtype)
    left, right = _place_among_floats(values), _place_among_floats(rounded)
    # Places of the same sign are subtracted as integers; across zero the distance is so large that a float64 will do.
    same = (left < 0) == (right < 0)
    distance = np.where(same, np.abs(left - right).astype(np.float64), np.abs(left.astype(np.float64) - right.astype(np.float64)))
    return np.where(np.isnan(values) | np.isnan(rounded), np.inf, distance)


def _place_among_floats(values: np.ndarray) -> np.ndarray:
    """Integers that count floating-point numbers upwards from 0: floats are stored as sign and magnitude."""
    bits = values.view(f"i{values.dtype.itemsize}").astype(np.int64)
    magnitude = bits & np.int64((1 << (8 * values.dtype.itemsize - 1)) - 1)
    return np.where(bits < 0, -magnitude, magnitude)
