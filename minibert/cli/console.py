"""Where the commands print their tables."""

import sys
from typing import TYPE_CHECKING

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
