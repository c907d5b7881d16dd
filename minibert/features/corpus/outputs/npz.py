"""`.npz`: an array for every column, and the receipt; made member by member from the streams.

The strings are a NumPy array of strings, `texts`, `words` or `tokens`, in which all take as much room as the longest. Where that
would be over 1 GB, and where one ends in NUL, which such an array loses, they are `texts_utf8` [bytes] and `texts_ends` [rows]
instead: the text i is `texts_utf8[texts_ends[i - 1]:texts_ends[i]].tobytes().decode()`, the first one beginning at 0.
"""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from minibert.features.corpus.outputs.columns import STRING_NAMES, Columns, strings
from minibert.features.corpus.outputs.npy import npy_header
from minibert.features.corpus.outputs.output import little_endian
from minibert.features.corpus.storage import created
from minibert.features.corpus.work import Work

LARGEST_STRINGS = 1 << 30
STRINGS_AT_A_TIME = 1 << 24
RECEIPT_MEMBER = "receipt"


class NpzOutput(Columns):
    """Arrays by their names, as np.load takes them."""

    holds_receipt = True

    def finish(self, work: Work, totals: Mapping[str, int], receipt: str) -> Path:
        """Write the archive."""
        path, rows = work.folder / "result.npz", totals["rows"]
        shapes: dict[str, tuple[int, ...]] = {"vectors": (rows, totals["width"]), "spans": (rows, 2)}
        with created(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, dtype in self.dtypes.items():
                if name != "lengths":
                    _write(archive, name, shapes.get(name, (rows,)), dtype, work.pieces(name))
            self._write_strings(archive, work, totals)
            letters = np.array(receipt)
            _write(
                archive, RECEIPT_MEMBER, (), letters.dtype.newbyteorder("<").str, [little_endian(letters, f"<U{len(receipt)}")]
            )
        return path

    def _write_strings(self, archive: zipfile.ZipFile, work: Work, totals: Mapping[str, int]) -> None:
        name, rows, longest = STRING_NAMES[self.level], totals["rows"], max(1, totals["longest"])
        if rows * longest * 4 <= LARGEST_STRINGS and not totals["ends_in_nul"]:
            # Mostly zeros, that take no room once they are compressed.
            _write(archive, name, (rows,), f"<U{longest}", self._padded(work, longest), zipfile.ZIP_DEFLATED)
        else:
            _write(archive, f"{name}_utf8", (totals["string_bytes"],), "|u1", work.pieces("strings"))
            _write(archive, f"{name}_ends", (rows,), "<i8", self._ends(work))

    def _padded(self, work: Work, longest: int) -> Iterator[memoryview]:
        for data, lengths in zip(work.pieces("strings"), self.arrays(work, "lengths"), strict=True):
            texts = strings(data, lengths)
            while some := list(islice(texts, max(1, STRINGS_AT_A_TIME // (4 * longest)))):
                yield little_endian(np.array(some, f"<U{longest}"), f"<U{longest}")

    def _ends(self, work: Work) -> Iterator[memoryview]:
        before = 0
        for lengths in self.arrays(work, "lengths"):
            ends = before + np.cumsum(lengths)
            before = int(ends[-1]) if len(ends) else before
            yield little_endian(ends, "<i8")


def _write(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    pieces: Iterable[bytes | memoryview],
    compression: int = zipfile.ZIP_STORED,
) -> None:
    # The same time for all, so that the same vectors are the same file.
    member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    member.compress_type = compression
    with archive.open(member, "w", force_zip64=True) as file:
        file.write(npy_header(shape, dtype))
        for piece in pieces:
            file.write(piece)
