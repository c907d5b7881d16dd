"""Which columns of a table hold the text, the second text and the label: given, or found by the names of published files."""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minibert.errors import InputError, shown
from minibert.printable import counted, listed
from minibert.training.data.data_warning import DataWarning

Column = str | int
"""By its name, or by its number, from 1."""

ROLES = {"text": "the text", "text_pair": "the second text", "label": "the label"}
KNOWN_NAMES = {
    "text": ("text", "sentence", "sentence1", "#1 String", "premise"),
    "text_pair": ("text_pair", "sentence2", "#2 String", "hypothesis"),
    "label": ("label", "labels", "gold_label", "Quality", "score"),
}
"""What published files call them: GLUE, MRPC as Microsoft published it, SNLI and MultiNLI."""
# A header may have any number of columns of any length.
_COMPARED_COLUMNS, _COMPARED_LENGTH = 200, 100


@dataclass(frozen=True)
class Columns:
    """Where the columns are, in a file of texts and labels.

    Args:
        text, text_pair, label: the name of each in the header (of JSONL: its key), or its number, from 1 (of JSONL never). None
            for the one that is called by one of KNOWN_NAMES; a `text_pair` of None is looked for only if `wants_pair`.
        wants_pair: whether there are two texts.
        has_header: whether the first line of a table names the columns; without, all are given by their numbers.
        separator: what parts several labels in one field.

    Raises InputError for a column that is neither a name nor a number from 1 up, and for no separator.
    """

    text: Column | None = None
    text_pair: Column | None = None
    label: Column | None = None
    wants_pair: bool = False
    has_header: bool = True
    separator: str = "|"

    def __post_init__(self) -> None:
        for role in ROLES:
            column = getattr(self, role)
            if column is not None and not ((type(column) is str and column) or (type(column) is int and column >= 1)):
                raise InputError(
                    f"the column {role} is {shown(column)}; expected a name, or a number counted from 1, or None to find it"
                )
        if not isinstance(self.separator, str) or not self.separator:
            raise InputError(f"separator is {shown(self.separator)}; expected what parts the labels in a field, such as '|'")


GLUE = {
    "cola": Columns(text=4, label=2, has_header=False),
    "mnli": Columns(text="sentence1", text_pair="sentence2", label="gold_label"),
    "mrpc": Columns(text="#1 String", text_pair="#2 String", label="Quality"),
    "qnli": Columns(text="question", text_pair="sentence", label="label"),
    "rte": Columns(text="sentence1", text_pair="sentence2", label="label"),
    "sst-2": Columns(text="sentence", label="label"),
    "sts-b": Columns(text="sentence1", text_pair="sentence2", label="score"),
    "wnli": Columns(text="sentence1", text_pair="sentence2", label="label"),
}
"""The columns of GLUE's tasks as published (Wang et al. 2019), of the files to train on and to evaluate with."""


class Chosen(NamedTuple):
    """Where in a row the columns are, from 0; None for one that is not wanted."""

    text: int
    text_pair: int | None
    label: int | None


def choose(columns: Columns, names: Sequence[str] | None, width: int, wants_label: bool, where: str) -> Chosen:
    """The places of the wanted columns in rows of `width` fields, which the header calls `names`; None for no header.

    Raises InputError, naming `where` the columns are listed, for one that is not there or there twice, and for two that are one.
    """
    wanted = ["text"]
    if columns.text_pair is not None or columns.wants_pair:
        wanted.append("text_pair")
    if wants_label:
        wanted.append("label")
    places: dict[str, int] = {}
    for role in wanted:
        place = _place(role, getattr(columns, role), names, width, where)
        for other, taken in places.items():
            if place == taken:
                raise InputError(
                    f"{where}: column {place + 1} is to be both {ROLES[other]} and {ROLES[role]}; name another one by {role}"
                )
        places[role] = place
    if names is not None and "text_pair" not in wanted and wants_label and columns.text is None:
        second = [name for name in KNOWN_NAMES["text_pair"] if name in names]
        if second:
            warnings.warn(
                f"{where}: the column {shown(second[0])} is left aside, for this task reads one text; if it counts, name it as "
                "the second, or train on pairs",
                DataWarning,
                stacklevel=2,
            )
    return Chosen(places["text"], places.get("text_pair"), places.get("label"))


def looks_like_header(chosen: Chosen, fields: Sequence[str]) -> bool:
    """Whether the fields of a first row are what headers call them, every one that is wanted."""
    return all(place is None or fields[place].strip() in KNOWN_NAMES[role] for role, place in chosen._asdict().items())


def _place(role: str, column: Column | None, names: Sequence[str] | None, width: int, where: str) -> int:
    if isinstance(column, int):
        if column > width:
            raise InputError(f"{where}: {role} is column {column:,}, but there are {counted(width, 'column')}; count them from 1")
        return column - 1
    if names is None:
        named = "no column" if column is None else f"the column {shown(column)}"
        raise InputError(f"{where}: {named} is given for {ROLES[role]} and the file has no header; give its number by {role}")
    there = f"its columns are {listed([shown(name) for name in names], most=20)}"
    if column is None:
        found = [name for name in KNOWN_NAMES[role] if name in names]
        if not found:
            known = ", ".join(KNOWN_NAMES[role])
            raise InputError(f"{where}: no column is called as {ROLES[role]} is ({known}); {there}; name one by {role}")
        if len(found) > 1:
            raise InputError(f"{where}: {listed([shown(name) for name in found])} may all be {ROLES[role]}; name one by {role}")
        column = found[0]
    if column not in names:
        raise InputError(f"{where}: no column is called {shown(column)}{closest(column, names)}; {there}; name one by {role}")
    if names.count(column) > 1:
        raise InputError(f"{where}: several columns are called {shown(column)}; give its number by {role}, or rename them")
    return names.index(column)


def closest(name: str, names: Sequence[str]) -> str:
    """`, but 'sentence' is`: the one of `names` that is most like a wrong one, in whatever case; nothing where none is."""
    folded = {each.casefold(): each for each in reversed(names[:_COMPARED_COLUMNS]) if len(each) <= _COMPARED_LENGTH}
    matches = difflib.get_close_matches(name[:_COMPARED_LENGTH].casefold(), list(folded), n=1)
    return f", but {shown(folded[matches[0]])} is" if matches else ""
