"""The texts that a command is given: on the command line, a line each in files, or on standard input; and their ids."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minibert.checkpoints.registry import folder_of
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.features.corpus.sources.lines import decoded, numbered_lines, without_end
from minibert.tokenizer import Tokenizer


def add_texts(parser: argparse.ArgumentParser, file_help: str = "read a text a line from a UTF-8 file") -> None:
    """Register the arguments that `texts_given` reads, `texts` and `files`; `file_help` says what the files may be."""
    texts = parser.add_argument(
        "texts", nargs="+", default=[], metavar="TEXT", help="a text each; - reads a text a line from standard input"
    )
    # With --file there are none. Not by nargs="*", which Python 3.11 takes for none before an option and never looks again.
    texts.required = False
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        dest="files",
        metavar="PATH",
        help=f"{file_help}; may be given several times",
    )


def texts_given(texts: Sequence[str], files: Sequence[str], purpose: str) -> Iterator[str]:
    """The texts, or with - for the only one the lines of standard input, or else the lines of the files.

    `purpose` says in errors what they are for. Raises InputError where there are none, for more than one of these, and for a
    file that cannot be read as UTF-8.
    """
    check_given(texts, files, purpose)
    if files:
        return _lines_of_files(files)
    return _some(_lines(standard_input().readline, "standard input"), "standard input") if "-" in texts else iter(texts)


def check_given(texts: Sequence[str], files: Sequence[str], purpose: str) -> None:
    """InputError where there are no texts, or more than one of: texts, - for standard input, files."""
    if not texts and not files:
        raise InputError(f"there is no text to {purpose}; give one, - for standard input, or --file PATH")
    if texts and files:
        raise InputError("--file was given beside other texts; give either")
    check_stream_alone(texts)


def check_stream_alone(texts: Sequence[str]) -> None:
    """InputError where - for standard input stands beside other texts."""
    if "-" in texts and len(texts) > 1:
        raise InputError("- (standard input) was given beside other texts; give either")


def standard_input() -> BinaryIO:
    """The bytes of standard input; InputError where whoever started us closed it."""
    if sys.stdin is None:
        raise InputError("standard input is closed; expected a text a line")
    return sys.stdin.buffer


def tokenized(folder: Path, texts: Sequence[str], config: BertConfig) -> dict[str, np.ndarray]:
    """The texts as one batch, cut where the model ends, which standard error then says. Raises TokenizerError as `Tokenizer`."""
    tokenizer = Tokenizer.from_folder(folder_of(folder))
    longest = min(tokenizer.model_max_length or config.max_position_embeddings, config.max_position_embeddings)
    batch = tokenizer(texts, truncation=True, max_length=longest)
    full = np.flatnonzero(batch["attention_mask"].sum(axis=1) == longest)
    cut = sum(len(tokenizer.encode(texts[int(place)])) > longest for place in full)
    if cut:
        print(f"warning: {cut} of {len(texts)} texts were cut at {longest} tokens", file=sys.stderr)
    return batch


def _lines_of_files(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        # os.path.exists takes an impossible path (too long, unreadable) for an absent one, where Path.exists would raise.
        if not os.path.exists(path):
            raise InputError(f"{path} does not exist; expected a UTF-8 file with a text a line")
        if os.path.isdir(path):
            raise InputError(f"{path} is a folder; expected a UTF-8 file with a text a line")
    return _some(chain.from_iterable(map(_lines_of_file, paths)), ", ".join(paths))


def _lines_of_file(path: str) -> Iterator[str]:
    try:
        with open(path, "rb") as file:
            yield from _lines(file.readline, path)
    except OSError as problem:
        raise InputError(f"{path} cannot be read: {problem.strerror or problem}") from None


def _lines(read_line: Callable[[int], bytes], name: str) -> Iterator[str]:
    for line in numbered_lines(read_line, name):
        yield without_end(decoded(line, name))


def _some(lines: Iterator[str], name: str) -> Iterator[str]:
    for first in lines:
        return chain([first], lines)
    raise InputError(f"{name} is empty; expected a text a line")
