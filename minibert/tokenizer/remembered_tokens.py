"""The tokens of texts, with a memory for the chunks between whitespace: what makes the tokenizer fast.

What stands between two runs of whitespace has the same tokens wherever it stands, for no step of BERT's tokenization
looks across whitespace. Natural text repeats its chunks, so most of them are looked up, and never normalised or split
again. `chunk_spelling` has what happens to those that are new.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from minibert.tokenizer.bounded_memory import BoundedMemory
from minibert.tokenizer.chunk_spelling import ChunkSpelling
from minibert.tokenizer.rows import Tokens
from minibert.tokenizer.text_tokens import TextTokens

# Python's str.split() cuts at these, where BERT deletes them, which joins what stands on both sides.
DELETED_WHITESPACE = "\v\f\x1c\x1d\x1e\x1f\x85"

CHUNKS_KEPT, SPANS_KEPT = 1 << 17, 3 << 15
"""So many chunks are remembered with their ids, and with their offsets: up to 25 MB each, of astral characters 40 MB."""

SEGMENT = 1 << 16
"""Longer texts, in characters, are split bit by bit, since a list of their chunks takes ten times their own memory."""

CHARACTERS_A_TOKEN = 6
"""So much of a text is looked at first when only so many tokens of it are wanted."""

BLOCK = 1 << 15
"""So many characters of short texts are taken together when arrays are made."""

LAST_WHITESPACE = 0x3000
"""No code point above it is whitespace."""


class RememberedTokens:
    """What `text_tokens(text)` gives, for every text; several threads may share it."""

    def __init__(self, text_tokens: TextTokens) -> None:
        self._text_tokens = text_tokens
        spelling = ChunkSpelling(text_tokens)
        self._ids = BoundedMemory(spelling.ids, CHUNKS_KEPT)
        self._spans = BoundedMemory(spelling.spans, SPANS_KEPT)
        # A special token with whitespace inside reaches over chunks.
        self._chunks_stand_alone = all(token.split() == [token] for token in text_tokens.special_tokens)
        self._is_whitespace = np.zeros(LAST_WHITESPACE + 2, np.bool_)
        for table, is_whitespace in ((text_tokens.flavor.whitespace, True), (text_tokens.flavor.dropped, False)):
            for first, last in table.ranges:
                self._is_whitespace[first : last + 1] = is_whitespace
        whitespace = "".join(map(chr, np.flatnonzero(self._is_whitespace)))
        self._whitespace = re.compile(f"[{whitespace}]")
        self._chunk = re.compile(f"[^{whitespace}]+")

    def ids(self, text: str, enough: int | None = None) -> list[int]:
        """The ids of `text`; where it has more than `enough`, at least the first `enough` of them."""
        if not self._chunks_stand_alone:
            return [token.id for token in self._text_tokens(text)]
        known = self._ids
        ids: list[int] = []
        size = SEGMENT if enough is None else min(SEGMENT, CHARACTERS_A_TOKEN * enough)
        for segment in (text,) if len(text) <= size else self._segments(text, size):
            for chunk in self._chunks(segment):
                ids += known[chunk]
            if enough is not None and len(ids) >= enough:
                break
        return ids

    def columns(self, texts: Sequence[str]) -> list[Tokens]:
        """For every text its ids, the raw characters of every token, and the number of its word, as arrays."""
        if not self._chunks_stand_alone:
            return [self._defined_columns(text) for text in texts]
        columns: list[Tokens] = []
        block: list[str] = []
        size = 0
        for text in texts:
            if block and size + len(text) > BLOCK:
                columns += self._block_columns(block)
                block, size = [], 0
            if len(text) > BLOCK:
                columns.append(self._long_columns(text))
            else:
                block.append(text)
                size += len(text)
        return columns + self._block_columns(block) if block else columns

    def _defined_columns(self, text: str) -> Tokens:
        tokens = np.array(self._text_tokens(text), np.int32).reshape(-1, 4)
        return Tokens(tokens[:, 0], tokens[:, 1], tokens[:, 2], tokens[:, 3])

    def _long_columns(self, text: str) -> Tokens:
        parts: list[Tokens] = []
        place, word_count = 0, 0
        for segment in self._segments(text, BLOCK):
            ids, starts, ends, words = map(np.asarray, self._block_columns([segment])[0])
            parts.append(Tokens(ids, starts + place, ends + place, words + word_count))
            place += len(segment)
            word_count += int(words[-1]) + 1 if len(words) else 0
        return Tokens(*map(np.concatenate, zip(*parts, strict=True)))

    def _block_columns(self, texts: Sequence[str]) -> list[Tokens]:
        # The texts become one, with whitespace between, whose chunks and characters are counted by NumPy.
        joined = "\n".join(texts)
        text_starts = np.cumsum([0] + [len(text) + 1 for text in texts[:-1]])
        codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
        solid = ~self._is_whitespace[np.minimum(codes, LAST_WHITESPACE + 1)]
        chunk_starts = np.flatnonzero(solid & ~np.concatenate([[False], solid[:-1]]))
        spans = list(map(self._spans.__getitem__, self._chunks(joined)))
        tokens = np.frombuffer(b"".join(spans), np.int32).reshape(-1, 4)
        token_counts = np.fromiter(map(len, spans), np.int64, len(spans)) // tokens.strides[0]
        # A text's tokens begin with those of the first chunk in it.
        first_chunks = np.append(np.searchsorted(chunk_starts, text_starts), len(spans))
        edges = np.concatenate([[0], np.cumsum(token_counts)])[first_chunks]
        chunk_places = chunk_starts - np.repeat(text_starts, np.diff(first_chunks))
        places = np.repeat(chunk_places, token_counts).astype(np.int32)
        words_before = np.concatenate([[0], np.cumsum(tokens[:, 3])])
        words = (words_before[1:] - 1 - np.repeat(words_before[edges[:-1]], np.diff(edges))).astype(np.int32)
        ids, starts, ends = tokens[:, 0], tokens[:, 1] + places, tokens[:, 2] + places
        return [
            Tokens(ids[first:end], starts[first:end], ends[first:end], words[first:end])
            for first, end in pairwise(edges.tolist())
        ]

    def _chunks(self, text: str) -> list[str]:
        # Nearly all text is printable but for line ends and tabs, and asking is faster than looking for seven characters.
        if not text.isprintable() and any(character in text for character in DELETED_WHITESPACE):
            return self._chunk.findall(text)
        return text.split()

    def _segments(self, text: str, size: int) -> Iterator[str]:
        """Parts of `text` of about `size` characters, cut at whitespace only."""
        start = 0
        while start < len(text):
            space = self._whitespace.search(text, start + size)
            end = space.start() if space else len(text)
            yield text[start:end]
            start = end
