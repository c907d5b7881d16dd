"""Texts from a column of a Parquet file, batch by batch (extra: pyarrow)."""

from collections.abc import Iterator
from typing import Any

from minibert.errors import InputError, shown
from minibert.features.corpus.sources.readers import checked_text
from minibert.printable import listed

ROWS_AT_A_TIME = 1024


def import_pyarrow() -> Any:
    """pyarrow with its Parquet part; InputError that says how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("Parquet files need pyarrow; install it: pip install 'minibert[parquet]'") from None
    return pyarrow


def read_parquet(path: str, column: str, start: int) -> Iterator[tuple[str, int]]:
    """The texts of a column from the row `start` on, each with the number of the row behind it."""
    pyarrow = import_pyarrow()
    try:
        # Small buffers: a column of a row group need not fit into the memory.
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            _check_column(pyarrow, file.schema_arrow, column, path)
            row, groups = 0, list(range(file.metadata.num_row_groups))
            while groups and row + file.metadata.row_group(groups[0]).num_rows <= start:
                row += file.metadata.row_group(groups.pop(0)).num_rows
            for batch in file.iter_batches(ROWS_AT_A_TIME, row_groups=groups, columns=[column], use_threads=False):
                if row + len(batch) > start:
                    for number, text in enumerate(_texts(batch, path, column, row), start=row):
                        if number >= start:
                            yield text, number + 1
                row += len(batch)
    except (pyarrow.ArrowException, OSError) as problem:
        reason = " ".join(str(problem).split())[:300]
        raise InputError(f"{path} cannot be read as Parquet: {reason}; expected a whole Parquet file") from None


def _check_column(pyarrow: Any, schema: Any, column: str, path: str) -> None:
    if schema.names.count(column) != 1:
        found = "no column" if column not in schema.names else "several columns"
        columns = listed([shown(name) for name in schema.names], most=20)
        raise InputError(f"{path} has {found} {shown(column)}; its columns are {columns}; name one by --column")
    kind = schema.field(column).type
    value = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if not (pyarrow.types.is_string(value) or pyarrow.types.is_large_string(value) or pyarrow.types.is_string_view(value)):
        raise InputError(f"the column {shown(column)} of {path} is of the type {kind}; expected strings")


def _texts(batch: Any, path: str, column: str, first: int) -> list[str]:
    values: list[Any] = []
    for number, value in enumerate(batch.column(0), start=first + 1):
        where = f"the column {shown(column)} in row {number:,} of {path}"
        try:
            values.append(checked_text(value.as_py(), where))
        except UnicodeDecodeError:
            raise InputError(f"{where} is not UTF-8; write the file again from strings in UTF-8") from None
    return values
