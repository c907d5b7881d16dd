"""Reading files of texts with labels: .tsv, .csv, .jsonl."""

import os
import warnings
from pathlib import Path
from typing import Any

from minibert.errors import InputError, shown
from minibert.printable import counted
from minibert.training.data.columns import Columns
from minibert.training.data.data_warning import DataWarning
from minibert.training.data.examples import TextExample
from minibert.training.data.label_values import KINDS, label_of
from minibert.training.data.records import TABLES, Table
from minibert.training.data.task_files import opened, place_of

DISAGREEMENT = {"gold_label": "-"}
"""By the label's column, the label that means none: SNLI's and MultiNLI's annotators did not agree."""


def read_texts(path: str | Path, columns: Columns | None = None, kind: str = "class") -> list[TextExample]:
    """The rows of a .tsv (or .txt, with tabs), .csv or .jsonl (.ndjson) as examples.

    Args:
        path: a regular file of UTF-8; a byte order mark at its start is left out.
        columns: where the texts and the label are; None to find them by their names.
        kind: what the labels are, one of KINDS: `class`, `number`, `labels`, or `none` for a file without.

    Texts stay as they are, spaces included; labels are stripped. Rows whose label is one of DISAGREEMENT are left out, with a
    DataWarning. Raises InputError, naming the file and the line, for whatever is no row, no text or no label of this kind.
    """
    name, columns = str(path), Columns() if columns is None else columns
    if kind not in KINDS:
        raise InputError(f"kind is {shown(kind)}; expected one of {', '.join(KINDS)}")
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in TABLES:
        raise InputError(f"{name} ends in {shown(suffix)}; expected a file that ends in {', '.join(TABLES)}")
    with opened(path) as file:
        table = TABLES[suffix](file, name, columns, kind != "none")
        examples, disagreed = _examples(table, name, columns, kind)
    if disagreed:
        warnings.warn(
            f"{name}: {counted(len(disagreed), 'row')} of {len(examples) + len(disagreed):,} left out, the first at line "
            f"{disagreed[0]:,}: their {table.label_name} is '-', for their annotators did not agree",
            DataWarning,
            stacklevel=2,
        )
    if not examples:
        raise InputError(f"{name} has no row {'with a label' if disagreed else 'behind its header'}; expected at least one")
    return examples


def _examples(table: Table, name: str, columns: Columns, kind: str) -> tuple[list[TextExample], list[int]]:
    """All rows with a label, and the lines of those that are left out."""
    missing = DISAGREEMENT.get(table.label_name or "") if kind == "class" else None
    has_pair = columns.text_pair is not None or columns.wants_pair
    examples: list[TextExample] = []
    disagreed: list[int] = []
    for record in table.records:
        if missing is not None and record.label == missing:
            disagreed.append(record.line)
            continue
        place = place_of(name, record.line)
        text = _text(record.text, "text", place)
        pair = _text(record.text_pair, "second text", place) if has_pair else None
        examples.append(TextExample(place, text, pair, label_of(record.label, kind, columns.separator, place)))
    return examples, disagreed


def _text(value: Any, what: str, place: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place}: the {what} is {shown(value)}; expected a string")
    return value
