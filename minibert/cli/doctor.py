"""`minibert doctor`: one verdict on a checkpoint folder from anywhere."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minibert.atomic_write import write_atomically
from minibert.cli.console import console
from minibert.errors import InputError
from minibert.printable import printable
from minibert.verification.doctor import examine


def add_parser(subparsers: Any) -> None:
    """Register the command `doctor`."""
    parser = subparsers.add_parser(
        "doctor",
        help="examine a checkpoint folder from anywhere, and give one verdict",
        description="Examine the files, the configuration, the weights, the vocabulary and the tokenizer of a checkpoint, hold "
        "what it computes against the float64 oracle, and measure what a call costs. Exit status 0 if it is healthy or usable, "
        "1 if it is sick.",
    )
    parser.add_argument("name", help="a fetched name or any folder")
    parser.add_argument("--html", metavar="FILE", help="write the findings into a page as well")
    parser.add_argument("--json", metavar="FILE", help="write the findings for a program as well")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine, print and write; status 0 or 1."""
    for given in (arguments.html, arguments.json):
        # Before the examination, which takes a while.
        if given and not Path(given).absolute().parent.is_dir():
            raise InputError(f"{given} cannot be written: its folder does not exist")
        if given and Path(given).exists() and not Path(given).is_file():
            raise InputError(f"{given} is no regular file; give the name of a file to write")
    if arguments.html and arguments.json and Path(arguments.html).resolve() == Path(arguments.json).resolve():
        raise InputError(f"--html and --json both name {arguments.html}; give two files")
    with _progress() as progress:
        checkup = examine(arguments.name, progress)
    print(f"{printable(arguments.name)}: {checkup.verdict}")
    console().print(checkup)
    for given, form in ((arguments.html, checkup.to_html), (arguments.json, checkup.to_json)):
        if given:
            with write_atomically(Path(given)) as file:
                file.write(form().encode())
            print(f"wrote {given}")
    return 1 if checkup.state == "sick" else 0


@contextmanager
def _progress() -> Iterator[Callable[[str], None] | None]:
    """A line on a terminal that says what is looked at; elsewhere nothing, as a log needs no animation."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("examining") as line:
        yield lambda what: line.update(f"examining {what}")
