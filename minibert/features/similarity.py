"""Cosines between vectors, and the nearest of many."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64

NUMBERS_AT_A_TIME = 1 << 22
"""Of similarities, or of the corpus, computed at a time: 16 MB of them."""


class Hits(NamedTuple):
    """For each query its nearest entries of a corpus, the nearest first."""

    indices: Int64[np.ndarray, "queries k"]
    scores: Float32[np.ndarray, "queries k"]
    """Cosines."""


def unit(vectors: Float[np.ndarray, "texts width"]) -> Float32[np.ndarray, "texts width"]:
    """Each vector scaled to length 1; a zero vector stays one."""
    wide = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(norms == 0.0, np.float32(1.0), norms)


def cosine_similarity(
    left: Float[np.ndarray, "left hidden"], right: Float[np.ndarray, "right hidden"]
) -> Float32[np.ndarray, "left right"]:
    """The cosine of the angle between every two vectors; a zero vector has cosine 0 with everything."""
    return np.clip(unit(left) @ unit(right).T, -1.0, 1.0)


def nearest(queries: Float[np.ndarray, "queries width"], corpus: Float[np.ndarray, "entries width"], k: int) -> Hits:
    """The `k` entries (all, if there are fewer) of most cosine with each query; of equal ones the first in the corpus.

    The corpus is gone through in blocks, so that it may be a mapped file larger than the memory.
    """
    left = unit(queries)
    k = min(k, len(corpus))
    scores = np.zeros((len(left), 0), np.float32)
    indices = np.zeros((len(left), 0), np.int64)
    block = max(1, NUMBERS_AT_A_TIME // max(1, len(left), left.shape[1]))
    for begin in range(0, len(corpus), block):
        found = left @ unit(corpus[begin : begin + block]).T
        found[np.isnan(found)] = -np.inf  # a vector that is none is near to nothing
        scores = np.concatenate([scores, found], axis=1)
        indices = np.concatenate([indices, np.broadcast_to(np.arange(begin, begin + found.shape[1]), found.shape)], axis=1)
        best = _largest(scores, min(k, scores.shape[1]))
        scores, indices = np.take_along_axis(scores, best, axis=1), np.take_along_axis(indices, best, axis=1)
    return Hits(indices, scores)


def _largest(scores: Float32[np.ndarray, "queries entries"], k: int) -> Int64[np.ndarray, "queries k"]:
    """Where the `k` largest of each row are, the largest first, of equal ones the first."""
    if k == 0:
        return np.zeros((len(scores), 0), np.int64)
    # Sorting whole rows takes ten times as long.
    least = np.partition(scores, -k, axis=1)[:, -k]
    best = np.empty((len(scores), k), np.int64)
    for row, (of_query, bound) in enumerate(zip(scores, least, strict=True)):
        candidates = np.flatnonzero(of_query >= bound)
        best[row] = candidates[np.argsort(-of_query[candidates], kind="stable")[:k]]
    return best
