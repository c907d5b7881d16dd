"""What a field or a JSON value says as a label: a class, a number, or the names of several labels.

Spaces around a label are none of it: at the end of a line nobody sees that they make a second class.
"""

import re
from typing import Any

import numpy as np

from minibert.errors import InputError, shown
from minibert.training.data.examples import Label

KINDS = ("class", "number", "labels", "none")
"""What labels are: one class a row, a finite number, any number of names, or not there because they are to be predicted."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LARGEST = float(np.finfo(np.float32).max)


def label_of(value: Any, kind: str, separator: str, place: str) -> Label | None:
    """The label in `value`, a field or a JSON value, of one of KINDS; `place` is named in the InputError for any other value."""
    if kind == "none":
        return None
    if kind == "number":
        return _number(value, place)
    return _class(value, place) if kind == "class" else _names(value, separator, place)


def _class(value: Any, place: str) -> str:
    """JSON's whole numbers and booleans become their text: `3`, `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{place}: the label is {shown(value)}; expected the name of a class: a string, or a whole number")
    name = value.strip()
    if not name:
        raise InputError(f"{place}: the label is empty; expected the name of a class")
    return name


def _number(value: Any, place: str) -> float:
    number: int | float | None = None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
    elif type(value) in (int, float):
        number = value
    # Rows hold it as float32, where what is larger would be infinite. A whole number of JSON may be too large for any float.
    if number is None or not -_LARGEST <= number <= _LARGEST:
        raise InputError(f"{place}: the label is {shown(value)}; expected a finite number, written as 2.5")
    return float(number)


def _names(value: Any, separator: str, place: str) -> tuple[str, ...]:
    """Each name once, in the order in which they stand."""
    if isinstance(value, str):
        value = value.split(separator) if value.strip() else []
    if not isinstance(value, list):
        raise InputError(
            f"{place}: the labels are {shown(value)}; expected a list of names, or names parted by {shown(separator)}"
        )
    return tuple(dict.fromkeys(_class(each, place) for each in value))
