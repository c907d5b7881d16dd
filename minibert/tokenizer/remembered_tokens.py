"""The ids of texts, with a memory for the chunks between whitespace: what makes the tokenizer fast.

What stands between two runs of whitespace has the same ids wherever it stands, for no step of BERT's tokenization looks
across whitespace. Natural text repeats its chunks, so most of them are looked up, and never normalised or split again.
"""

import re
from itertools import chain

from minibert.tokenizer.text_ids import TextIds

# Python's str.split() cuts at these, where BERT deletes them, which joins what stands on both sides.
DELETED_WHITESPACE = "\v\f\x1c\x1d\x1e\x1f\x85"

CHUNKS_KEPT = 100_000
"""When so many are known the memory starts afresh; full, it takes about 30 MB."""

LONGEST_KEPT = 64
"""Longer chunks, in characters, are rarely met again and would take up the memory."""

PLAIN_WORD = re.compile("[0-9A-Za-z]+|[^ ]")
"""The words of printable ASCII, where everything but letters and digits is punctuation."""


class RememberedIds:
    """`remembered_ids(text)` equals `text_ids(text)` for every text; several threads may share it."""

    def __init__(self, text_ids: TextIds) -> None:
        self._text_ids = text_ids
        self._chunks = _Chunks(text_ids)
        # A special token with whitespace inside reaches over chunks.
        self._chunks_stand_alone = all(token.split() == [token] for token in text_ids.special_tokens)

    def __call__(self, text: str) -> list[int]:
        """The ids of `text`, as `TextIds` defines them."""
        if not self._chunks_stand_alone or any(character in text for character in DELETED_WHITESPACE):
            return self._text_ids(text)
        return list(chain.from_iterable(map(self._chunks.__getitem__, text.split())))


class _Chunks(dict[str, tuple[int, ...]]):
    """Chunk -> ids. Single operations on a dict are safe across threads; what one of them forgets, another recomputes."""

    def __init__(self, text_ids: TextIds) -> None:
        super().__init__()
        self._text_ids = text_ids
        self._lower_case = text_ids.settings.do_lower_case
        # A chunk without any of these holds no special token.
        self._first_characters = {token[0] for token in text_ids.special_tokens}

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        ids = self._ids_of_plain(chunk)
        if ids is None:
            ids = tuple(self._text_ids(chunk))
        if len(chunk) <= LONGEST_KEPT:
            if len(self) >= CHUNKS_KEPT:
                self.clear()
            self[chunk] = ids
        return ids

    def _ids_of_plain(self, chunk: str) -> tuple[int, ...] | None:
        """The ids of printable ASCII without special tokens, the common case; None of anything else."""
        if not (chunk.isascii() and chunk.isprintable()) or any(map(chunk.__contains__, self._first_characters)):
            return None
        ids: list[int] = []
        for word in PLAIN_WORD.findall(chunk.lower() if self._lower_case else chunk):
            ids += self._text_ids.ids_of_word(word)
        return tuple(ids)
