"""One word -> the ids of its pieces: `WordpieceTokenizer` in google-research/bert, tokenization.py."""

from collections.abc import Mapping
from typing import NamedTuple

CONTINUATION = "##"


class Piece(NamedTuple):
    """One token's part of a word: its id, and the word's characters from `start` up to `end`."""

    id: int
    start: int
    end: int


def split_into_pieces(word: str, ids: Mapping[str, int], *, unknown_id: int, longest_word: int) -> list[Piece]:
    """The pieces of `word`, found greedily from the left: the longest token that begins what is left.

    A piece that does not begin the word stands in the vocabulary with `##` before it. A word with more than
    `longest_word` characters, or with a rest that no token begins, is unknown as a whole: one piece `unknown_id`.
    """
    unknown = [Piece(unknown_id, 0, len(word))]
    if len(word) > longest_word:
        return unknown
    pieces: list[Piece] = []
    start = 0
    while start < len(word):
        for end in range(len(word), start, -1):
            token = word[start:end] if start == 0 else CONTINUATION + word[start:end]
            if token in ids:
                pieces.append(Piece(ids[token], start, end))
                start = end
                break
        else:
            return unknown
    return pieces
