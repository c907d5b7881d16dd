"""`Finding`: what one check has to say, and the words that all checks use."""

import dataclasses
from collections.abc import Mapping, Sequence

from minibert.printable import printable

GOOD, NOTE, WARNING, BAD = "good", "note", "warning", "bad"

NOT_CHECKED = "Not checked"

Fact = str | int | float | None | Sequence[str] | Mapping[str, str]

LONGEST = 600
"""How many characters of a message are shown: some list a thousand tensors."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found. Both texts can be shown anywhere: they hold no control characters."""

    status: str
    """"good", "note" (to be known, nothing to be done), "warning" (usable, with care) or "bad" (not to be used)."""
    found: str
    """A sentence or a few."""
    advice: str = ""
    """What to do; there is always something to be done about a warning and about what is bad."""
    facts: Mapping[str, Fact] = dataclasses.field(default_factory=dict)
    """The same for a program: numbers and names, all of which JSON can hold."""

    def __post_init__(self) -> None:
        for name in ("found", "advice"):
            object.__setattr__(self, name, printable(getattr(self, name)))


def good(found: str, **facts: Fact) -> Finding:
    """Nothing to be done."""
    return Finding(GOOD, found, facts=facts)


def note(found: str, advice: str = "", **facts: Fact) -> Finding:
    """Something to be known."""
    return Finding(NOTE, found, advice, facts)


def warning(found: str, advice: str, **facts: Fact) -> Finding:
    """The checkpoint can be used, with care."""
    return Finding(WARNING, found, advice, facts)


def bad(found: str, advice: str, **facts: Fact) -> Finding:
    """The checkpoint must not be used as it is."""
    return Finding(BAD, found, advice, facts)


def not_checked(reason: str) -> Finding:
    """What a check says that needs what could not be read."""
    return note(f"{NOT_CHECKED}: {reason}.")


def in_short(problem: object) -> str:
    """The first line of a message, cut where it is very long."""
    first = str(problem).partition("\n")[0].rstrip(":")
    return first if len(first) <= LONGEST else f"{first[:LONGEST]}…"


def size(number_of_bytes: int) -> str:
    """A number of bytes as people read it: 612 B, 90.9 MB."""
    if number_of_bytes < 1000:
        return f"{number_of_bytes} B"
    power = min((len(str(number_of_bytes)) - 1) // 3, 5)
    return f"{number_of_bytes / 1000**power:,.1f} {'kMGTP'[power - 1]}B"
