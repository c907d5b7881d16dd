"""Rows of few shapes with hardly a token of padding: short texts share a row, each seeing itself alone.

A program is compiled for each shape, so there must be few shapes; padding every text to the next of few lengths would waste a
tenth and more of the work. Instead texts are packed: the longest first, each into the row with the least room that is enough
for it (best fit, decreasing). In its row a text's positions begin at 0 again, and attention is kept within it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

WIDTHS = (64, 128, 256, 512)
"""Tokens in a row. The work of attention grows with them, the room lost at the end of rows shrinks."""

LONE_WIDTH = 16
"""The row of a single short text, a question for instance, of which nothing else can fill the rest."""

TOKENS_AT_A_TIME = {"cpu": 1024}
"""In a full batch. On a CPU its hidden states stay in a core's own cache; each core works at a batch of its own."""
TOKENS_AT_A_TIME_ELSEWHERE = 65536

SHORTEST = 4
"""Tokens that a text is counted as having at least, which bounds how many share a row."""


@dataclass(frozen=True)
class Shapes:
    """The shapes of batches: rows of each width of `widths`, as many as hold `tokens`, and a few fewer for what is left over.

    Rows come in multiples of `multiple_of`, the number of devices that share them.
    """

    longest: int
    tokens: int
    multiple_of: int = 1

    @property
    def widths(self) -> tuple[int, ...]:
        """Up to the first that holds the longest text."""
        enough = [width for width in WIDTHS if width < self.longest]
        following = [width for width in WIDTHS if width >= self.longest]
        return (*enough, following[0] if following else self.longest)

    def heights(self, width: int) -> tuple[int, ...]:
        """How many rows of a width a batch may have, the fewest first."""
        full = max(1, self.tokens // (width * self.multiple_of)) * self.multiple_of
        quarter = [full // 4] if full >= 16 * self.multiple_of and full % (4 * self.multiple_of) == 0 else []
        return tuple(dict.fromkeys((self.multiple_of, *quarter, full)))


@dataclass(frozen=True)
class Packed:
    """A batch: the texts of its rows, and for each text its place, (row, first column, rank in the row)."""

    shape: tuple[int, int]
    texts: Integer[np.ndarray, " texts"]
    places: Integer[np.ndarray, "texts 3"]

    def arrays(self, ids: Sequence[Integer[np.ndarray, " _"]], pad_token_id: int) -> dict[str, np.ndarray]:
        """What a program is given, int32 [rows, width]: ids, positions, and the number of each token's text in its row."""
        input_ids = np.full(self.shape, pad_token_id, np.int32)
        position_ids = np.zeros(self.shape, np.int32)
        segment_ids = np.zeros(self.shape, np.int32)
        for text, (row, begin, rank) in zip(self.texts, self.places, strict=True):
            end = begin + len(ids[text])
            input_ids[row, begin:end] = ids[text]
            position_ids[row, begin:end] = np.arange(end - begin)
            segment_ids[row, begin:end] = rank + 1
        return {"input_ids": input_ids, "position_ids": position_ids, "segment_ids": segment_ids}


def most_texts(width: int) -> int:
    """How many texts a row of this width may hold."""
    return max(1, width // SHORTEST)


def pack(lengths: Sequence[int], shapes: Shapes) -> Iterator[Packed]:
    """Batches that hold every text once, full ones first. No length may be above `shapes.longest`."""
    rows: dict[int, list[list[int]]] = {width: [] for width in shapes.widths}
    if len(lengths) == 1 and lengths[0] <= LONE_WIDTH < shapes.widths[0]:
        rows = {LONE_WIDTH: [[0]]}
    else:
        _fill(lengths, rows)
    for width, of_width in rows.items():
        heights = shapes.heights(width)
        begin = 0
        while begin < len(of_width):
            left = len(of_width) - begin
            # What is left over goes into the largest batch that it fills at least to the half.
            height = next((height for height in reversed(heights) if 2 * left > height), heights[0])
            yield _packed(of_width[begin : begin + height], lengths, (height, width))
            begin += height


def _fill(lengths: Sequence[int], rows: dict[int, list[list[int]]]) -> None:
    # `room` has a list of rows for each number of tokens that are still free, `bits` a one for each list that is not empty.
    room: list[list[list[int]]] = [[] for _ in range(max(rows) + 1)]
    bits = 0
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        length = max(lengths[text], SHORTEST)
        enough = bits >> length
        if enough:
            free = length + (enough & -enough).bit_length() - 1
            row = room[free].pop()
            if not room[free]:
                bits &= ~(1 << free)
        else:
            free = next(width for width in rows if width >= lengths[text])
            row = []
            rows[free].append(row)
        row.append(text)
        free -= length
        if free >= SHORTEST:
            room[free].append(row)
            bits |= 1 << free


def _packed(rows: Sequence[Sequence[int]], lengths: Sequence[int], shape: tuple[int, int]) -> Packed:
    texts, places = [], []
    for number, row in enumerate(rows):
        begin = 0
        for rank, text in enumerate(row):
            texts.append(text)
            places.append((number, begin, rank))
            begin += lengths[text]
    return Packed(shape, np.array(texts, np.int64), np.array(places, np.int64).reshape(-1, 3))
