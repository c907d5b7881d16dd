"""What may be sent to a terminal or written into a file: text without control characters, JSON without NaN, short lists."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NOT_PRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """`text` with � for control characters, halves of surrogate pairs and code points that are no characters."""
    return _NOT_PRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def printable_json(value: Any) -> str:
    """Strict JSON of dicts, sequences, texts and numbers: null for the numbers that it has not, infinity and NaN."""
    return json.dumps(_strict(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    shown = [name if len(name) <= 200 else f"{name[:200]}…" for name in names[:most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def counted(number: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {name: _strict(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return value
