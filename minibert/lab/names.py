"""Names of intermediates, and patterns for several of them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from minibert.errors import InputError, shown


def fits(name: str, pattern: str) -> bool:
    """Whether a name is of a pattern, in which * stands for anything without a dot: "layers.*.output" is no attention's."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.]*"), name) is not None


def names_like(patterns: str | Iterable[str], names: Mapping[str, Any]) -> tuple[str, ...]:
    """The names, in their order, that fit one of the patterns at least. Raises InputError for a pattern that fits none."""
    patterns = list(patterns) if isinstance(patterns, Iterable) and not isinstance(patterns, str) else [patterns]
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise InputError(f"a name is {shown(pattern)}; expected a text, such as layers.*.output")
        if not any(fits(name, pattern) for name in names):
            raise InputError(
                f"this model has no intermediate {shown(pattern)}; it has {in_short(names)}; * stands for nothing "
                "with a dot in it"
            )
    return tuple(name for name in names if any(fits(name, pattern) for pattern in patterns))


def in_short(names: Mapping[str, Any]) -> str:
    """The names of a model for a message: with * for the number of a layer."""
    return ", ".join(dict.fromkeys(re.sub(r"^layers\.\d+", "layers.*", name) for name in names))
