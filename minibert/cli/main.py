"""The command `minibert`: parse, call one subcommand, and turn errors into one sentence and an exit status.

Exit status: 0 done; 1 `verify` found that the model parts from its references, `doctor` that it is sick, or `inspect` that it
cannot be loaded; 2 bad input or usage; 3 a bug of minibert's.
"""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import jax

import minibert
from minibert.cli import (
    convert,
    doctor,
    embed,
    fetch,
    fill_mask,
    finetune,
    inspect,
    plot,
    predict,
    pretrain,
    record,
    similar,
    tokenize,
    verify,
)
from minibert.cli.compilation_cache import keep_compiled_programs
from minibert.errors import MinibertError


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without all that could have been right."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"minibert: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (the process's own by default) and return the exit status."""
    parser = _Parser(prog="minibert", description="BERT in JAX, proved equal to the references.")
    parser.add_argument("--version", action="version", version=f"minibert {minibert.__version__}, jax {jax.__version__}")
    parser.add_argument(
        "--no-compilation-cache",
        action="store_true",
        help="keep no compiled programs; else they lie in compilation/ beside the fetched checkpoints, 512 MB at most",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        fetch,
        verify,
        record,
        doctor,
        embed,
        similar,
        fill_mask,
        plot,
        pretrain,
        finetune,
        predict,
        tokenize,
        inspect,
        convert,
    ):
        command.add_parser(subparsers)
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of few characters shows ? for those that it lacks.
        sys.stdout.reconfigure(errors="replace")
    parsed, surplus = parser.parse_known_args(arguments)
    if surplus:
        # Older Pythons look for all of a command's arguments before its first option.
        hint = "" if any(each.startswith("-") for each in surplus) else "; what is no option belongs before the options"
        parser.error(f"unrecognized arguments: {' '.join(surplus)}{hint}")
    try:
        if parsed.no_compilation_cache:
            jax.config.update("jax_enable_compilation_cache", False)
        else:
            keep_compiled_programs()
        status = parsed.run(parsed)
        sys.stdout.flush()
        return status
    except MinibertError as problem:
        print(f"minibert: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        # A reader that went away, as `head` does, needs no word; in any case what Python still holds must go nowhere.
        if not isinstance(problem, BrokenPipeError):
            print(f"minibert: the system refused: {problem}; check the disk and where the output goes", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except KeyboardInterrupt:
        print("minibert: interrupted", file=sys.stderr)
        return 130
    except Exception as problem:
        if os.environ.get("MINIBERT_DEBUG"):
            traceback.print_exc()
        print(
            f"minibert: a bug in minibert, or something it did not foresee: {type(problem).__name__}: {problem}; "
            "set MINIBERT_DEBUG=1 to see where, and please report it",
            file=sys.stderr,
        )
        return 3


if __name__ == "__main__":
    sys.exit(main())
