"""What all kinds of output have in common: what is kept while a job runs, and how the file is made of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minibert.features.corpus.engine import EmbeddedChunk
from minibert.features.corpus.work import Work

Pieces = Mapping[str, bytes | memoryview]


@runtime_checkable
class Output(Protocol):
    """A kind of file. A job keeps its streams in the work folder; at the end the file is made there, and then renamed."""

    holds_receipt: bool
    """Whether the receipt goes into the file, or beside it."""

    @property
    def starts(self) -> Mapping[str, bytes]:
        """The streams, and the bytes that each begins with."""
        ...

    def pieces(self, chunk: EmbeddedChunk) -> Pieces:
        """The chunk's part of every stream."""
        ...

    def finish(self, work: Work, totals: Mapping[str, int], receipt: str) -> Path:
        """Make the file in the work folder, synced, of the streams; the receipt is JSON. InputError for damaged streams."""
        ...


def little_endian(array: np.ndarray, dtype: str) -> memoryview:
    """The bytes of an array's values in a dtype, in order."""
    return np.ascontiguousarray(array, np.dtype(dtype)).reshape(-1).view(np.uint8).data


def vector_dtype(output_dtype: Any) -> str:
    """How NumPy calls the numbers of the vectors as they are stored."""
    return {"float32": "<f4", "float16": "<f2"}[output_dtype]
