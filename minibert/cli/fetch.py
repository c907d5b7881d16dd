"""`minibert fetch`: bring an official checkpoint onto this machine, or check the one that is here."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minibert.checkpoints.download import FetchResult, Progress, fetch
from minibert.checkpoints.registry import Entry, checkpoint_folder, lookup, registry
from minibert.cli.console import console
from minibert.printable import counted

DEFAULT_NAME = "minilm-l6"


def add_parser(subparsers: Any) -> None:
    """Register the command `fetch`."""
    parser = subparsers.add_parser(
        "fetch",
        help="download an official checkpoint, checked file by file",
        description="Download an official checkpoint, or check the one that is already here.",
    )
    parser.add_argument("name", nargs="?", default=DEFAULT_NAME, help="a name from --list (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="show what can be fetched, and what is here")
    parser.add_argument("--original", action="store_true", help="Google's own zip, in place of the hub's conversion of it")
    parser.add_argument("--force", action="store_true", help="download again even if the files here are sound")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch one checkpoint and say where it landed, or list them all; raises FetchError."""
    if arguments.list:
        _print_list()
        return 0
    entry = lookup(arguments.name)
    with _progress_bar(entry) as progress:
        result = fetch(entry.name, original=arguments.original, progress=progress, force=arguments.force)
    _print_result(entry, result)
    return 0


def _print_list() -> None:
    from rich.table import Table

    table = Table("name", "description", "size", "licence", "original", "here")
    for entry in registry().values():
        names = " or ".join([entry.name, *entry.aliases])
        here = "yes" if checkpoint_folder(entry).is_dir() else ""
        table.add_row(names, entry.description, _in_megabytes(entry.size), entry.licence, "zip" if entry.original else "", here)
    # A pipe or a file gets whole lines, whatever the width that its environment claims.
    console(200).print(table)


def _print_result(entry: Entry, result: FetchResult) -> None:
    for note in result.notes:
        print(f"warning: {note}", file=sys.stderr)
    for verdict in result.verdicts:
        mark = "warning: " if verdict.suspect else ""
        print(f"  {verdict.name}: {mark}{verdict.text}", file=sys.stderr if verdict.suspect else sys.stdout)
    verified, number = sum(verdict.verified for verdict in result.verdicts), len(result.verdicts)
    how = "verified" if verified == number else f"{verified} of {number} verified by a registered hash"
    said = "already here" if result.already_here else "fetched"
    print(f"{entry.name}: {said}, {how}, {counted(number, 'file')} in {result.folder}")


@contextmanager
def _progress_bar(entry: Entry) -> Iterator[Progress | None]:
    """A bar on a terminal; elsewhere nothing, as a log needs no animation."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as parts
    from rich.console import Console

    columns = (
        parts.TextColumn("{task.description}"),
        parts.BarColumn(),
        parts.DownloadColumn(),
        parts.TransferSpeedColumn(),
        parts.TimeRemainingColumn(),
    )
    with parts.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(f"fetching {entry.name}", total=entry.size)
        yield lambda done, total: bars.update(task, completed=min(done, total or done), total=total)


def _in_megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:,.0f} MB"
