from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.errors import TokenizerError
from minibert.tokenizer.truncation import Truncation, Window, row_windows, truncated_lengths


def truncation(length: int, strategy: str = "longest_first", **options: object) -> Truncation:
    defaults = {"side": "right", "overflowing": False, "stride": 0, "odd_token_to_first": False}
    return Truncation(length, strategy, **(defaults | options))


@pytest.mark.parametrize(
    ("first", "second", "length", "kept"),
    [
        (3, 3, 6, (3, 3)),
        (2, 9, 7, (2, 5)),
        (9, 2, 7, (5, 2)),
        (9, 9, 8, (4, 4)),
        (8, 9, 7, (3, 4)),
        (9, 9, 7, (3, 4)),
        (9, 8, 7, (4, 3)),
        (1, 6, 1, (0, 1)),
        (6, 1, 1, (1, 0)),
        (5, 6, 0, (0, 0)),
        (9, None, 4, (4, 0)),
    ],
)
def test_longest_first_keeps(first: int, second: int | None, length: int, kept: tuple[int, int]):
    assert truncated_lengths(first, second, truncation(length)) == kept


def original_rule(first: int, second: int, length: int) -> tuple[int, int]:
    """google-research/bert, run_classifier.py: one token after the other goes, of two texts of a length from the second."""
    while first + second > length:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100))
def test_the_google_flavor_takes_tokens_away_one_by_one(first: int, second: int, length: int):
    assert truncated_lengths(first, second, truncation(length, odd_token_to_first=True)) == original_rule(first, second, length)


@given(st.integers(0, 50), st.none() | st.integers(0, 50), st.integers(0, 100))
def test_longest_first_never_wastes_a_token_and_never_cuts_the_shorter_text_alone(first, second, length):
    kept = truncated_lengths(first, second, truncation(length))
    assert sum(kept) == min(length, first + (second or 0))
    assert kept[0] <= first
    assert kept[1] <= (second or 0)


def test_only_first_cuts_the_first_text():
    assert truncated_lengths(9, 4, truncation(8, "only_first")) == (4, 4)


def test_only_second_cuts_the_second_text():
    assert truncated_lengths(4, 9, truncation(8, "only_second")) == (4, 4)


@pytest.mark.parametrize(("first", "second", "strategy"), [(3, 9, "only_first"), (9, 3, "only_second")])
def test_a_text_that_would_be_cut_away_is_an_error(first: int, second: int, strategy: str):
    with pytest.raises(TokenizerError, match=r"4 tokens have to go.*may cut only a text of 3"):
        truncated_lengths(first, second, truncation(8, strategy))


def test_only_second_without_a_second_text_is_an_error():
    with pytest.raises(TokenizerError, match="no second text"):
        truncated_lengths(9, None, truncation(8, "only_second"))


@pytest.mark.parametrize(
    ("side", "stride", "windows"),
    [
        ("right", 0, [(0, 4), (4, 8), (8, 10)]),
        ("right", 1, [(0, 4), (3, 7), (6, 10)]),
        ("right", 3, [(0, 4), (1, 5), (2, 6), (3, 7), (4, 8), (5, 9), (6, 10)]),
        ("left", 0, [(6, 10), (2, 6), (0, 2)]),
        ("left", 1, [(6, 10), (3, 7), (0, 4)]),
    ],
)
def test_windows_cover_a_long_text(side: str, stride: int, windows: list):
    found = row_windows(10, None, truncation(4, side=side, stride=stride, overflowing=True))
    assert found == [Window(window, (0, 0)) for window in windows]


def test_without_overflow_there_is_the_first_window_only():
    assert row_windows(10, None, truncation(4)) == [Window((0, 4), (0, 0))]
    assert row_windows(10, None, truncation(4, side="left")) == [Window((6, 10), (0, 0))]


def test_a_short_text_stays_beside_every_window_of_the_long_one():
    found = row_windows(3, 10, truncation(7, "only_second", overflowing=True))
    assert found == [Window((0, 3), (0, 4)), Window((0, 3), (4, 8)), Window((0, 3), (8, 10))]


def test_where_both_are_cut_every_window_stands_beside_every_other():
    found = row_windows(3, 3, truncation(4, overflowing=True))
    assert found == [
        Window((0, 2), (0, 2)),
        Window((2, 3), (0, 2)),
        Window((2, 3), (2, 3)),
        Window((0, 2), (2, 3)),
    ]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 19), st.sampled_from(["right", "left"]))
def test_windows_leave_nothing_out_and_overlap_by_the_stride(length: int, kept: int, stride: int, side: str):
    if stride >= kept:
        return
    windows = [window.first for window in row_windows(length, None, truncation(kept, side=side, stride=stride, overflowing=True))]
    assert {place for window in windows for place in range(*window)} == set(range(length))
    ordered = windows if side == "right" else windows[::-1]
    overlaps = [before[1] - after[0] for before, after in pairwise(ordered)]
    assert overlaps == [stride] * len(overlaps)


@pytest.mark.parametrize(("length", "stride"), [(4, 4), (4, 9)])
def test_a_stride_that_leaves_no_step_is_an_error(length: int, stride: int):
    with pytest.raises(TokenizerError, match=f"stride={stride} has to be smaller than the {length} tokens"):
        row_windows(10, None, truncation(length, stride=stride, overflowing=True))


def test_a_row_without_room_for_a_text_is_an_error():
    with pytest.raises(TokenizerError, match="a row takes no tokens of this text besides the special ones"):
        row_windows(10, None, truncation(0, overflowing=True))
