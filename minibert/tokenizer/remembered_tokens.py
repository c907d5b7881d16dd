"""The tokens of texts, with a memory for the chunks between whitespace: what makes the tokenizer fast.

What stands between two runs of whitespace has the same tokens wherever it stands, for no step of BERT's tokenization
looks across whitespace. Natural text repeats its chunks, so most of them are looked up, and never normalised or split
again. `chunk_spelling` has what happens to those that are new. Whole texts that come again are looked up too.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int32, Int64, UInt

from minibert.tokenizer.bounded_memory import BoundedMemory, TextMemory
from minibert.tokenizer.chunk_spelling import ChunkSpelling, spans_of_tokens
from minibert.tokenizer.int32_bytes import INT32_SIZE, counts, int32_bytes
from minibert.tokenizer.text_tokens import TextTokens
from minibert.tokenizer.token_table import TokenTable, edges_between, joined

# Python's str.split() cuts at these, where BERT deletes them, which joins what stands on both sides.
DELETED_WHITESPACE = "\v\f\x1c\x1d\x1e\x1f\x85"

CHUNKS_KEPT, SPANS_KEPT = 1 << 16, 7 << 13
"""So many chunks are remembered with their ids, and with their offsets. All memories together stay below 100 MB, also
where every chunk is as long as can be, of astral characters, and each of these a token."""

TEXT_BYTES_KEPT, SHORTEST_TEXT, LONGEST_TEXT = 16 << 20, 32, 1 << 13
"""So many bytes of whole texts are remembered with their ids, of texts with more and up to so many characters."""

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
        self._ids_of_chunk = self._ids.__getitem__
        self._texts = TextMemory(TEXT_BYTES_KEPT)
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

    def ids(self, text: str, enough: int | None = None) -> bytes:
        """The ids of `text` as int32; where it has more than `enough`, at least the first `enough` of them."""
        size = self._first_look(enough)
        if len(text) <= size and not _has_deleted_whitespace(text):
            return b"".join(map(self._ids_of_chunk, text.split()))
        if not self._chunks_stand_alone:
            return int32_bytes([token.id for token in self._text_tokens(text)])
        ids = bytearray()
        for segment in self._segments(text, size):
            ids += b"".join(map(self._ids_of_chunk, self._chunks(segment)))
            if enough is not None and len(ids) >= enough * INT32_SIZE:
                break
        return bytes(ids)

    def ids_of_all(self, texts: Sequence[str], enough: int | None = None) -> list[bytes]:
        """`ids` of every text, which remembers the texts themselves as well: they come again in every epoch of training."""
        known = list(map(self._texts.get, texts))
        new = [text for text, ids in zip(texts, known, strict=True) if ids is None]
        found = iter(self._ids_of_new(new, enough) if new else ())
        return [next(found) if ids is None else ids for ids in known]

    def _ids_of_new(self, texts: Sequence[str], enough: int | None) -> list[bytes]:
        size = self._first_look(enough)
        # The same short way for all of them takes less time than a call for each.
        if _has_deleted_whitespace("".join(texts)):
            ids_of_texts = [self.ids(text, enough) for text in texts]
        else:
            known = self._ids_of_chunk
            ids_of_texts = [b"".join(map(known, text.split())) if len(text) <= size else self.ids(text, enough) for text in texts]
        # Of longer texts these may not be all the ids; the chunks of shorter ones are found as fast.
        longest = min(size, LONGEST_TEXT)
        pairs = zip(texts, ids_of_texts, strict=True)
        self._texts.keep({text: ids for text, ids in pairs if SHORTEST_TEXT < len(text) <= longest})
        return ids_of_texts

    def table(self, texts: Sequence[str]) -> TokenTable:
        """The ids of the tokens of all texts."""
        rows = self.ids_of_all(texts)
        return TokenTable(edges_between(counts(rows)), {"input_ids": np.frombuffer(b"".join(rows), np.int32)})

    def table_with_places(self, texts: Sequence[str]) -> TokenTable:
        """The ids, the offsets and the words of the tokens of all texts."""
        tables: list[TokenTable] = []
        block: list[str] = []
        size = 0
        for text in texts:
            if block and size + len(text) > BLOCK:
                tables.append(self._block_table(block))
                block, size = [], 0
            if len(text) > BLOCK:
                tables.append(self._long_table(text))
            else:
                block.append(text)
                size += len(text)
        if block or not tables:
            tables.append(self._block_table(block))
        return joined(tables)

    def _long_table(self, text: str) -> TokenTable:
        """The table of one text, made of those of its segments."""
        if not self._chunks_stand_alone:
            return self._block_table([text])
        tables: list[TokenTable] = []
        place, word_count = 0, 0
        for segment in self._segments(text, BLOCK):
            table = self._block_table([segment])
            table.columns["offset_mapping"] += np.int32(place)
            table.columns["word_ids"] += np.int32(word_count)
            tables.append(table)
            place += len(segment)
            if table.edges[-1]:
                word_count = int(table.columns["word_ids"][-1]) + 1
        whole = joined(tables)
        return TokenTable(whole.edges[[0, -1]], whole.columns)

    def _block_table(self, texts: Sequence[str]) -> TokenTable:
        if self._chunks_stand_alone:
            tokens, edges = self._tokens_by_chunks(texts)
        else:
            spans = [spans_of_tokens(self._text_tokens(text)) for text in texts]
            tokens, token_counts = _joined_spans(spans)
            edges = edges_between(token_counts)
        words_before = edges_between(tokens[:, 3])
        words = words_before[1:] - 1 - np.repeat(words_before[edges[:-1]], np.diff(edges))
        return TokenTable(
            edges, {"input_ids": tokens[:, 0], "offset_mapping": tokens[:, 1:3], "word_ids": words.astype(np.int32)}
        )

    def _tokens_by_chunks(self, texts: Sequence[str]) -> tuple[Int32[np.ndarray, "tokens 4"], Int64[np.ndarray, " edges"]]:
        # The texts become one, with whitespace between, whose chunks and characters are counted by NumPy.
        joined_text = "\n".join(texts)
        text_starts = edges_between(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))[:-1]
        is_solid = ~self._is_whitespace[_code_points(joined_text)]
        begins_chunk = is_solid.copy()
        begins_chunk[1:] &= ~is_solid[:-1]
        chunk_starts = np.flatnonzero(begins_chunk)
        tokens, token_counts = _joined_spans(list(map(self._spans.__getitem__, self._chunks(joined_text))))
        # A text's tokens begin with those of the first chunk in it.
        first_chunks = np.append(np.searchsorted(chunk_starts, text_starts), len(chunk_starts))
        edges = edges_between(token_counts)[first_chunks]
        chunk_places = chunk_starts - np.repeat(text_starts, np.diff(first_chunks))
        tokens = tokens.copy()
        tokens[:, 1:3] += np.repeat(chunk_places.astype(np.int32), token_counts)[:, None]
        return tokens, edges

    def _first_look(self, enough: int | None) -> int:
        """How many characters of a text are taken together; none where a special token may reach over chunks."""
        if not self._chunks_stand_alone:
            return -1
        return SEGMENT if enough is None else min(SEGMENT, CHARACTERS_A_TOKEN * enough)

    def _chunks(self, text: str) -> list[str]:
        return self._chunk.findall(text) if _has_deleted_whitespace(text) else text.split()

    def _segments(self, text: str, size: int) -> Iterator[str]:
        """Parts of `text` of about `size` characters, cut at whitespace only."""
        start = 0
        while start < len(text):
            space = self._whitespace.search(text, start + size)
            end = space.start() if space else len(text)
            yield text[start:end]
            start = end


def _has_deleted_whitespace(text: str) -> bool:
    # Each question is one fast search of the text, and a loop over DELETED_WHITESPACE takes longer than all of them.
    return "\v" in text or "\f" in text or "\x1c" in text or "\x1d" in text or "\x1e" in text or "\x1f" in text or "\x85" in text


def _code_points(text: str) -> UInt[np.ndarray, " characters"]:
    """The code points of the text, but those above whitespace all alike."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.minimum(np.frombuffer(text.encode("utf-32-le"), np.uint32), LAST_WHITESPACE + 1)


def _joined_spans(spans: Sequence[bytes]) -> tuple[Int32[np.ndarray, "tokens 4"], Int64[np.ndarray, " parts"]]:
    """The tokens of all parts, and how many each part has."""
    tokens = np.frombuffer(b"".join(spans), np.int32).reshape(-1, 4)
    return tokens, counts(spans, width=4)
