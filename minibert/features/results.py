"""What `Features` gives: vectors with what belongs to them, and how many texts were cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

import numpy as np
from jaxtyping import Bool, Float, Int32

OUTPUT_DTYPES = ("float32", "float16")
"""Of the vectors that `Features` gives."""


class SentenceVectors(np.ndarray):
    """An array [texts, width] with two counts of the call that gave it.

    `truncated` of the texts were cut, and `number_of_tokens` were computed, padding left out.
    """

    truncated: int
    number_of_tokens: int

    def __new__(cls, vectors: Float[np.ndarray, "texts width"], truncated: int, number_of_tokens: int) -> "SentenceVectors":
        """A view of `vectors`."""
        result = vectors.view(cls)
        result.truncated, result.number_of_tokens = truncated, number_of_tokens
        return result

    def __array_finalize__(self, source: object) -> None:
        self.truncated = getattr(source, "truncated", 0)
        self.number_of_tokens = getattr(source, "number_of_tokens", 0)

    def __reduce__(self) -> tuple[type["SentenceVectors"], tuple[np.ndarray, int, int]]:
        return SentenceVectors, (np.asarray(self), self.truncated, self.number_of_tokens)


@dataclass(frozen=True)
class TokenVectors:
    """One text's tokens, [CLS] and [SEP] included, each with where it stands in the text and its vector."""

    text: str
    tokens: list[str]
    spans: Int32[np.ndarray, "tokens 2"]
    """A token's first character in the text, and the one behind its last; (0, 0) for [CLS] and [SEP]."""
    is_special: Bool[np.ndarray, " tokens"]
    """Which tokens are [CLS] and [SEP], put there by the tokenizer."""
    vectors: Float[np.ndarray, "tokens width"]


@dataclass(frozen=True)
class WordVectors:
    """One text's words, every occurrence for itself, each with where it stands in the text and its vector."""

    text: str
    words: list[str]
    """As they are written in the text."""
    spans: Int32[np.ndarray, "words 2"]
    vectors: Float[np.ndarray, "words width"]


OfText = TypeVar("OfText", TokenVectors, WordVectors)


class TextSequence(Sequence[OfText], Generic[OfText]):
    """One entry for each text, in their order; `truncated` of the texts were cut, `number_of_tokens` were computed."""

    def __init__(self, entries: list[OfText], truncated: int, number_of_tokens: int):
        self._entries: list[OfText] = entries
        self.truncated = truncated
        self.number_of_tokens = number_of_tokens

    @overload
    def __getitem__(self, place: int) -> OfText: ...
    @overload
    def __getitem__(self, place: slice) -> list[OfText]: ...
    def __getitem__(self, place: int | slice) -> OfText | list[OfText]:
        """The entry of a text, or a list of entries."""
        return self._entries[place]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[OfText]:
        return iter(self._entries)

    def padded(self) -> tuple[Float[np.ndarray, "texts longest width"], Bool[np.ndarray, "texts longest"]]:
        """All vectors as one array, zeros behind the shorter texts, and the mask that says which are there."""
        lengths = [len(entry.vectors) for entry in self._entries]
        width = self._entries[0].vectors.shape[1] if self._entries else 0
        dtype = self._entries[0].vectors.dtype if self._entries else np.dtype(np.float32)
        vectors = np.zeros((len(lengths), max(lengths, default=0), width), dtype)
        mask = np.zeros(vectors.shape[:2], bool)
        for row, entry in enumerate(self._entries):
            vectors[row, : lengths[row]] = entry.vectors
            mask[row, : lengths[row]] = True
        return vectors, mask
