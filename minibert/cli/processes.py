"""Several machines: the arguments by which each process is told of the others, and the time in which they work together."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

import jax

from minibert.errors import InputError


def add_processes(machine: Any) -> None:
    """Register in a group where the processes of several machines meet."""
    machine.add_argument("--coordinator", metavar="HOST:PORT", help="of several machines: where the first one listens")
    machine.add_argument("--processes", type=int, metavar="N", help="of several machines: how many processes there are")
    machine.add_argument("--process", type=int, metavar="I", help="of several machines: which one this is, from 0")


@contextlib.contextmanager
def joined_processes(arguments: argparse.Namespace) -> Iterator[None]:
    """Join the other processes, where there are some, and leave them at the end.

    Raises InputError for arguments of `add_processes` that do not belong together, and where the others cannot be reached.
    """
    given = [arguments.coordinator, arguments.processes, arguments.process]
    if all(each is None for each in given):
        yield
        return
    if any(each is None for each in given):
        raise InputError("--coordinator, --processes and --process belong together; give all three, or none")
    if not 0 <= arguments.process < arguments.processes:
        raise InputError(f"--process is {arguments.process}; expected 0 to {arguments.processes - 1}, as --processes says")
    try:
        jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
    except (RuntimeError, ValueError) as problem:
        reason = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise InputError(f"the processes at {arguments.coordinator} could not be joined: {reason}; start all of them") from None
    try:
        yield
    finally:
        jax.distributed.shutdown()
