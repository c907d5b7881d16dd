"""`.parquet`: a row for every text, word or token, with its vector as a list of fixed size (extra: pyarrow).

Columns: `text`, `vector`; or `text_index`, `word` or `token`, `start`, `end` (and for tokens `is_special`), `vector`. The receipt
is in the metadata of the schema. A row group is as many whole chunks as fill 64 MB.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minibert.features.corpus.outputs.columns import STRING_NAMES, Columns
from minibert.features.corpus.sources.parquet import import_pyarrow
from minibert.features.corpus.storage import created
from minibert.features.corpus.work import Work

ROW_GROUP_BYTES = 1 << 26
RECEIPT_KEY = b"minibert.receipt"


class ParquetOutput(Columns):
    """Rows with their vectors; InputError where pyarrow is missing."""

    holds_receipt = True

    def __init__(self, level: str, output_dtype: str) -> None:
        super().__init__(level, output_dtype)
        self.pyarrow = import_pyarrow()

    def finish(self, work: Work, totals: Mapping[str, int], receipt: str) -> Path:
        """Write the file, a row group after the other."""
        path, width = work.folder / "result.parquet", totals["width"]
        schema = self._schema(width).with_metadata({RECEIPT_KEY: receipt.encode()})
        strings = [name for name in schema.names if name in ("text", "word", "token")]
        with (
            created(path) as file,
            self.pyarrow.parquet.ParquetWriter(
                file, schema, use_dictionary=[] if self.level == "sentences" else strings, write_page_checksum=True
            ) as writer,
        ):
            for group in self._groups(work):
                batches = [self._batch(chunk, schema, width) for chunk in group]
                writer.write_table(self.pyarrow.Table.from_batches(batches, schema), row_group_size=1 << 62)
        return path

    def _schema(self, width: int) -> Any:
        pa = self.pyarrow
        number = pa.float32() if self.dtypes["vectors"] == "<f4" else pa.float16()
        fields = [(STRING_NAMES[self.level].removesuffix("s"), pa.string())]
        if self.level != "sentences":
            fields = [("text_index", pa.int64()), *fields, ("start", pa.int32()), ("end", pa.int32())]
        if self.level == "tokens":
            fields.append(("is_special", pa.bool_()))
        fields.append(("vector", pa.list_(number, width)))
        return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])

    def _groups(self, work: Work) -> Iterator[list[dict[str, bytes]]]:
        names = list(self.starts)
        group: list[dict[str, bytes]] = []
        size = 0
        for pieces in zip(*(work.pieces(name) for name in names), strict=True):
            group.append(dict(zip(names, pieces, strict=True)))
            size += sum(map(len, pieces))
            if size >= ROW_GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _batch(self, chunk: Mapping[str, bytes], schema: Any, width: int) -> Any:
        pa = self.pyarrow
        arrays = {name: np.frombuffer(chunk[name], dtype) for name, dtype in self.dtypes.items()}
        rows = len(arrays["lengths"])
        ends = np.concatenate([[0], np.cumsum(arrays["lengths"])]).astype(np.int32)
        columns = {
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(arrays["vectors"]), type=schema.field("vector").type),
            STRING_NAMES[self.level].removesuffix("s"): pa.StringArray.from_buffers(
                rows, pa.py_buffer(ends), pa.py_buffer(chunk["strings"])
            ),
        }
        if self.level != "sentences":
            spans = arrays["spans"].reshape(rows, 2)
            columns["text_index"] = pa.array(arrays["text_index"])
            columns["start"], columns["end"] = (pa.array(np.ascontiguousarray(spans[:, side])) for side in (0, 1))
        if self.level == "tokens":
            columns["is_special"] = pa.array(arrays["is_special"])
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
