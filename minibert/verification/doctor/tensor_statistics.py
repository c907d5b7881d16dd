"""What the values of a tensor are like, in one pass over it in pieces that fit the cache."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

PIECE = 1 << 20
"""How many values are looked at together."""
FLOAT16_LARGEST = 65504.0
NEAR_ZERO = 1e-3
"""A LayerNorm scale below this makes nothing of its dimension, or turns it round."""


@dataclass(frozen=True)
class Statistics:
    """Of one tensor. Values that are no finite numbers count in `shape`, `first_broken`, their own numbers and `digest` alone."""

    shape: tuple[int, ...]
    nans: int
    infinities: int
    first_broken: tuple[int, ...] | None
    """Where the first value stands that is no finite number."""
    at_float16_limit: int
    """How many are 65,504 or −65,504, the largest numbers that float16 holds."""
    low: int
    """How many are below `NEAR_ZERO`."""
    smallest: float
    largest: float
    furthest: tuple[int, ...] | None
    """Where the value stands that is furthest from 0; None where no value is finite."""
    mean: float
    deviation: float
    """The standard deviation."""
    digest: bytes
    """Equal for equal bytes."""

    @property
    def count(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    @property
    def magnitude(self) -> float:
        """The largest absolute value; 0 where no value is finite."""
        return max(abs(self.smallest), abs(self.largest)) if self.furthest is not None else 0.0

    @property
    def is_constant(self) -> bool:
        """Whether all values are one and the same finite number."""
        return self.first_broken is None and self.smallest == self.largest


def statistics_of(values: Float[np.ndarray, "*shape"]) -> Statistics:
    """Look at every value once."""
    flat = values.reshape(-1)
    digest = hashlib.blake2b(repr((values.dtype.name, values.shape)).encode(), digest_size=16)
    nans = infinities = at_limit = low = count = 0
    first_broken: tuple[int, ...] | None = None
    furthest: tuple[int, ...] | None = None
    smallest, largest, magnitude, mean, squares = math.inf, -math.inf, -1.0, 0.0, 0.0
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        digest.update(piece.tobytes())
        wide = piece.astype(np.float64)
        finite = np.isfinite(wide)
        if not finite.all():
            if first_broken is None:
                first_broken = _place(start + int(np.argmin(finite)), values.shape)
            missing = int(np.isnan(wide).sum())
            nans += missing
            infinities += int((~finite).sum()) - missing
            wide = wide[finite]
        if wide.size:
            smallest, largest = min(smallest, float(wide.min())), max(largest, float(wide.max()))
            if max(-smallest, largest) > magnitude:
                magnitude = max(-smallest, largest)
                # The first of them; that of a later piece is rarely needed, since few pieces go beyond all before.
                here = int(np.argmax(np.abs(piece.astype(np.float64)) == magnitude))
                furthest = _place(start + here, values.shape)
            at_limit += int((np.abs(wide) == FLOAT16_LARGEST).sum())
            low += int((wide < NEAR_ZERO).sum())
            # Chan et al. 1979: the squares of the distances from the mean, of two parts, make those of the whole.
            with np.errstate(over="ignore"):
                piece_mean = float(wide.mean())
                apart = piece_mean - mean
                squares += float(np.square(wide - piece_mean).sum()) + apart * (apart * (count * wide.size / (count + wide.size)))
            count += wide.size
            mean += apart * wide.size / count
    return Statistics(
        shape=values.shape,
        nans=nans,
        infinities=infinities,
        first_broken=first_broken,
        at_float16_limit=at_limit,
        low=low,
        smallest=smallest,
        largest=largest,
        furthest=furthest,
        mean=mean if count else math.nan,
        deviation=math.sqrt(squares / count) if count else math.nan,
        digest=digest.digest(),
    )


def _place(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index along each dimension of the value that stands at `index` of all values in a row."""
    return tuple(int(along) for along in np.unravel_index(index, shape))
