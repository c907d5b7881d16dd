"""Where the commands print their tables, and how they pass on warnings."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(width_elsewhere: int = 120) -> "Console":
    """A rich Console on standard output: as wide as the terminal, or `width_elsewhere` characters in a file or a pipe."""
    # Imported here, for rich is slow to import and most commands print a table at their end only.
    from rich.console import Console

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            """Leave a reader that went away to the command: rich itself would end the process with status 1."""
            raise BrokenPipeError

    return PlainConsole(width=None if sys.stdout.isatty() else width_elsewhere)


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """What warns within is said on standard error as it happens, a line each, without the place in the code."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        # Not those of the libraries below, which are for their developers.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
