"""Windows over parts of any sizes, and in which of them each part is looked at."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.training.tasks.windows import most_context, windows_over


def windows_of(sizes: list[int], most: int, stride: int) -> list[tuple[int, int]]:
    return windows_over(np.array(sizes, np.int64), most, stride)


@pytest.mark.parametrize(
    ("sizes", "most", "stride", "windows"),
    [
        ([], 4, 1, [(0, 0)]),
        ([1] * 4, 4, 2, [(0, 4)]),
        ([1] * 7, 4, 2, [(0, 4), (2, 6), (4, 7)]),
        ([1] * 6, 4, 0, [(0, 4), (4, 6)]),
        # Two parts of the overlap would be too large, then the one that comes takes the room of the overlap.
        ([2, 2, 1, 4, 1], 5, 2, [(0, 3), (2, 4), (4, 5)]),
        ([4, 4], 4, 3, [(0, 1), (1, 2)]),
    ],
)
def test_windows(sizes: list[int], most: int, stride: int, windows: list[tuple[int, int]]):
    assert windows_of(sizes, most, stride) == windows


@settings(deadline=None)
@given(st.data())
def test_windows_fit_go_on_overlap_and_reach_the_end(data: st.DataObject):
    most = data.draw(st.integers(1, 9))
    stride = data.draw(st.integers(0, most - 1))
    sizes = data.draw(st.lists(st.integers(1, most), min_size=1, max_size=30))
    windows = windows_of(sizes, most, stride)
    assert windows[0][0] == 0 and windows[-1][1] == len(sizes)
    assert all(sum(sizes[start:end]) <= most for start, end in windows)
    for (before, end), (start, next_end) in pairwise(windows):
        assert before < start <= end < next_end
        assert sum(sizes[start:end]) <= stride
        # No part more would have fitted into the window, and into the overlap.
        assert sum(sizes[before : end + 1]) > most
        assert sum(sizes[start - 1 : end]) > min(stride, most - sizes[end])


@settings(deadline=None)
@given(st.data())
def test_each_part_is_in_the_window_with_most_context_on_its_poorer_side(data: st.DataObject):
    most = data.draw(st.integers(1, 9))
    length = data.draw(st.integers(1, 40))
    windows = windows_of([1] * length, most, data.draw(st.integers(0, most - 1)))
    for part, owner in enumerate(most_context(windows, length).tolist()):
        contexts = [
            (min(part - start, end - 1 - part) + 0.01 * (end - start), -number)
            for number, (start, end) in enumerate(windows)
            if start <= part < end
        ]
        assert -max(contexts)[1] == owner
