"""Which tokens of one or two texts go into a row, by their lengths alone: truncation, and windows over long texts.

The rules are those of the `tokenizers` library, `truncate_encodings` and `Encoding::truncate`; where google-research/bert,
run_classifier.py `_truncate_seq_pair`, has another one, the google flavor follows it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from minibert.errors import TokenizerError

TRUNCATIONS = ("longest_first", "only_first", "only_second")


class Window(NamedTuple):
    """The tokens of the first and of the second text that make a row: from a start up to an end each."""

    first: tuple[int, int]
    second: tuple[int, int]


class RowParts(NamedTuple):
    """For every row of a batch the number of its text, and which tokens of it make the row: from a start up to an end.

    `second` is the same for second texts, and None where there are none.
    """

    samples: Int64[np.ndarray, " rows"]
    first: Int64[np.ndarray, "rows 2"]
    second: Int64[np.ndarray, "rows 2"] | None


class Truncation(NamedTuple):
    """How rows are cut: to `length` tokens without the special ones, by a strategy of TRUNCATIONS, on the side "right" or "left".

    `overflowing`: whether the tokens that are cut make further rows, of which each begins with the last `stride` tokens
    of the one before. `odd_token_to_first` is `flavors.Flavor`'s.
    """

    length: int
    strategy: str
    side: str
    overflowing: bool
    stride: int
    odd_token_to_first: bool


def cuts_single_texts_at_the_end(truncation: Truncation) -> bool:
    """Whether of a text without a second one the first `length` tokens are kept, and that is all."""
    return truncation.side == "right" and truncation.strategy != "only_second" and not truncation.overflowing


def row_parts(
    first: Int64[np.ndarray, " texts"], second: Int64[np.ndarray, " texts"] | None, truncation: Truncation | None
) -> RowParts:
    """The rows that texts of so many tokens make, `row_windows` for all of them; None cuts nothing.

    Raises TokenizerError as `row_windows` does, naming the text.
    """
    samples = np.arange(len(first))
    total = first if second is None else first + second
    if truncation is None or total.max() <= truncation.length:
        return RowParts(samples, _whole(first), None if second is None else _whole(second))
    windows: list[Window] = []
    counts: list[int] = []
    for place, length in enumerate(first.tolist()):
        try:
            new = row_windows(length, None if second is None else int(second[place]), truncation)
        except TokenizerError as problem:
            raise TokenizerError(f"text[{place}]: {problem}") from None
        windows += new
        counts.append(len(new))
    parts = np.array(windows, np.int64)
    return RowParts(np.repeat(samples, counts), parts[:, 0], None if second is None else parts[:, 1])


def truncated_lengths(first: int, second: int | None, truncation: Truncation) -> tuple[int, int]:
    """How many tokens two texts of `first` and `second` tokens keep, so that they fit together.

    `second` is None where there is no second text. "longest_first" cuts the longer text down to the shorter one and
    then both to half the length; when that is odd, the text that was not the longer one gets the smaller half, in the
    google flavor the second. "only_first" and "only_second" cut one text, which has to keep at least one token.

    Raises TokenizerError where the one text that may be cut cannot make room.
    """
    over = first + (second or 0) - truncation.length
    if over <= 0:
        return first, second or 0
    if truncation.length == 0:
        return 0, 0
    if truncation.strategy == "longest_first":
        return (truncation.length, 0) if second is None else _longest_first(first, second, truncation)
    cut = first if truncation.strategy == "only_first" else second
    if cut is None:
        raise TokenizerError(
            "truncation='only_second' was asked for where there is no second text; give text_pair, or truncation=True"
        )
    if cut <= over:
        raise TokenizerError(
            f"{over} tokens have to go, but truncation={truncation.strategy!r} may cut only a text of {cut}, which has to "
            "keep one; use truncation=True or a larger max_length"
        )
    return (cut - over, second or 0) if truncation.strategy == "only_first" else (first, cut - over)


def _longest_first(first: int, second: int, truncation: Truncation) -> tuple[int, int]:
    shorter = min(first, second)
    longer = max(shorter, truncation.length - shorter)
    if shorter + longer > truncation.length:
        shorter, longer = truncation.length // 2, truncation.length - truncation.length // 2
        if truncation.odd_token_to_first:
            return longer, shorter
    return (shorter, longer) if first <= second else (longer, shorter)


def row_windows(first: int, second: int | None, truncation: Truncation) -> list[Window]:
    """The windows of the rows that two texts of so many tokens make: one, or with `overflowing` as many as cover both.

    Where both texts are cut, every window of one stands beside every window of the other.

    Raises TokenizerError as `truncated_lengths` does, and where there is no step from window to window.
    """
    keep_first, keep_second = truncated_lengths(first, second, truncation)
    firsts = _windows(first, keep_first, truncation)
    seconds = _windows(second or 0, keep_second, truncation)
    # The order of the `tokenizers` library: first the row without overflow, at the end the rows of its first window.
    rows = [Window(firsts[0], seconds[0])]
    rows += [Window(window, other) for window in firsts[1:] for other in seconds]
    return rows + [Window(firsts[0], other) for other in seconds[1:]]


def _windows(length: int, kept: int, truncation: Truncation) -> list[tuple[int, int]]:
    from_right = truncation.side == "left"
    if kept >= length or not truncation.overflowing:
        return [(length - kept, length) if from_right else (0, kept)]
    if not kept:
        raise TokenizerError(
            "a row takes no tokens of this text besides the special ones, so that no row reaches its end; use a larger max_length"
        )
    if truncation.stride >= kept:
        raise TokenizerError(
            f"stride={truncation.stride} has to be smaller than the {kept} tokens that a row takes of a text; use a "
            "smaller stride or a larger max_length"
        )
    # Counted from the side that is kept, until a window reaches the other end.
    windows: list[tuple[int, int]] = []
    start = 0
    while not windows or windows[-1][1] < length:
        windows.append((start, min(start + kept, length)))
        start += kept - truncation.stride
    return [(length - end, length - start) for start, end in windows] if from_right else windows


def _whole(lengths: Int64[np.ndarray, " texts"]) -> Int64[np.ndarray, "texts 2"]:
    return np.stack([np.zeros_like(lengths), lengths], axis=1)
