"""Texts that are longer than a row: overlapping windows over them, and in which window each of their parts is looked at."""

import numpy as np
from jaxtyping import Int64

Window = tuple[int, int]
"""The first part that a window has, and the one behind its last."""


def windows_over(sizes: Int64[np.ndarray, " parts"], most: int, stride: int) -> list[Window]:
    """Windows over parts of these sizes, each of as many whole parts as have a size of `most` together.

    A window begins with the last parts of the one before, of a size up to `stride` together, or fewer where the next part would
    have no room else. There is always one, if of nothing. No part is larger than `most`.
    """
    edges = np.concatenate([[0], np.cumsum(sizes)])
    windows: list[Window] = []
    start = 0
    while True:
        end = int(np.searchsorted(edges, edges[start] + most, side="right")) - 1
        windows.append((start, end))
        if end == len(sizes):
            return windows
        overlap = min(stride, most - int(sizes[end]))
        start = int(np.searchsorted(edges, edges[end] - overlap, side="left"))


def most_context(windows: list[Window], length: int) -> Int64[np.ndarray, " parts"]:
    """The window in which each of `length` parts has most context: most on its poorer side, and of equals in the larger window.

    Source: google-research/bert, run_squad.py, _check_is_max_context.
    """
    best = np.full(length, -1.0)
    owners = np.zeros(length, np.int64)
    for number, (start, end) in enumerate(windows):
        places = np.arange(end - start)
        context = np.minimum(places, places[::-1]) + 0.01 * (end - start)
        better = context > best[start:end]
        best[start:end][better] = context[better]
        owners[start:end][better] = number
    return owners
