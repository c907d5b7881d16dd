"""What all sources of texts have in common: the protocol, the limits, and one way to refuse what is no file."""

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from minibert.errors import InputError

LONGEST_LINE = 1 << 26
"""In bytes: a file without line ends, /dev/zero for one, must not fill the memory."""


@runtime_checkable
class Source(Protocol):
    """Texts, one after the other, that can be read again from a place behind any of them."""

    name: str
    """What errors and receipts call it."""

    def fingerprint(self) -> Mapping[str, Any]:
        """What tells these texts from others, as JSON: kind, sizes, sha256."""
        ...

    def texts(self, start: Mapping[str, Any] | None = None) -> Iterator[str]:
        """The texts behind `start`, as `position` gave it, or all of them. Raises InputError where one cannot be read."""
        ...

    def position(self) -> Mapping[str, Any]:
        """The place behind the text that came last, as JSON."""
        ...

    def done(self) -> tuple[int, int | None]:
        """How much was read, and of how much (None: not known), in whatever unit is at hand."""
        ...

    def check_unchanged(self) -> None:
        """Raises InputError where the input changed while it was read."""
        ...


def regular_size(path: str, otherwise: str = ", or - for the lines of standard input") -> int:
    """The size of a regular file in bytes; InputError for anything else, which could not be read twice or would never end.

    `otherwise`: what may be given in place of a file, as the message says it.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; expected a file of texts") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise InputError(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path} is a folder; expected a file of texts")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is no regular file; expected one{otherwise}")
    return status.st_size
