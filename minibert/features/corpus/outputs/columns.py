"""The streams of outputs that have columns, .npz and .parquet: vectors, strings, and where words and tokens are in a text.

vectors      [rows, width]  in the output's dtype
strings      the UTF-8 of the texts, or of the words or tokens, one after the other
lengths      [rows] int64   the length of each string in bytes
text_index   [rows] int64   words and tokens: which text, from 0
spans        [rows, 2] int32        in code points of the text
is_special   [rows] bool    tokens: whether it stands for no part of the text
"""

from collections.abc import Iterator, Mapping

import numpy as np

from minibert.features.corpus.engine import EmbeddedChunk
from minibert.features.corpus.outputs.output import Pieces, little_endian, vector_dtype
from minibert.features.corpus.work import Work

STRING_NAMES = {"sentences": "texts", "words": "words", "tokens": "tokens"}


class Columns:
    """The streams of one level, written and read back chunk by chunk."""

    def __init__(self, level: str, output_dtype: str) -> None:
        self.level = level
        self.dtypes = {"vectors": vector_dtype(output_dtype), "lengths": "<i8"}
        if level != "sentences":
            self.dtypes |= {"text_index": "<i8", "spans": "<i4"}
        if level == "tokens":
            self.dtypes["is_special"] = "|b1"
        self.starts: Mapping[str, bytes] = dict.fromkeys((*self.dtypes, "strings"), b"")

    def pieces(self, chunk: EmbeddedChunk) -> Pieces:
        """The chunk's part of every stream."""
        encoded = [text.encode("utf-8") for text in strings_of(chunk)]
        arrays = {"vectors": chunk.vectors, "lengths": np.array([len(data) for data in encoded], np.int64)}
        for name in ("text_index", "spans", "is_special"):
            if name in self.dtypes:
                arrays[name] = getattr(chunk, name)
        result: dict[str, bytes | memoryview] = {"strings": b"".join(encoded)}
        return result | {name: little_endian(array, self.dtypes[name]) for name, array in arrays.items()}

    def arrays(self, work: Work, name: str) -> Iterator[np.ndarray]:
        """A column's chunks, flat."""
        for data in work.pieces(name):
            yield np.frombuffer(data, np.dtype(self.dtypes[name]))


def strings_of(chunk: EmbeddedChunk) -> list[str]:
    """What each row belongs to: its text, word or token."""
    return chunk.texts if chunk.pieces is None else chunk.pieces


def strings(data: bytes, lengths: np.ndarray) -> Iterator[str]:
    """The strings of a chunk, from their UTF-8 and their lengths in bytes."""
    begin = 0
    for length in lengths.tolist():
        yield data[begin : begin + length].decode("utf-8")
        begin += length
