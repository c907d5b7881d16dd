"""`.npy`: the vectors alone, [rows, width]. What a job appends to is the file itself, which gets its header at the end."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minibert.features.corpus.engine import EmbeddedChunk
from minibert.features.corpus.outputs.output import Pieces, little_endian, vector_dtype
from minibert.features.corpus.storage import overwrite_start
from minibert.features.corpus.work import Work


class NpyOutput:
    """Vectors of texts as np.load and np.memmap take them."""

    holds_receipt = False

    def __init__(self, output_dtype: str) -> None:
        self.dtype = vector_dtype(output_dtype)
        # NumPy leaves room for any number of rows, so that the header's length is known before it.
        self.starts = {"vectors": npy_header((0, 1), self.dtype)}

    def pieces(self, chunk: EmbeddedChunk) -> Pieces:
        """The rows."""
        return {"vectors": little_endian(chunk.vectors, self.dtype)}

    def finish(self, work: Work, totals: Mapping[str, int], receipt: str) -> Path:
        """Write the header over the room that was left for it."""
        header = npy_header((totals["rows"], totals["width"]), self.dtype)
        if len(header) != len(self.starts["vectors"]):
            raise ValueError(f"the header of .npy takes {len(header)} bytes; expected {len(self.starts['vectors'])}")
        overwrite_start(work.stream("vectors"), header)
        return work.stream("vectors")


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """What an .npy of that shape, in C order, begins with."""
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()
