"""The arguments by which commands are told of texts and of what is made of them, and the `Features` that they ask for."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import jax

from minibert.cli.fetch import DEFAULT_NAME
from minibert.cli.texts import check_given, check_stream_alone, standard_input
from minibert.cores import cores
from minibert.errors import InputError
from minibert.features import Features
from minibert.features.corpus import Stream, TextFiles, TextList
from minibert.features.corpus.sources import Source
from minibert.features.documents import ON_LONG
from minibert.features.pooling import POOLINGS

COMPUTE_DTYPES = ("float32", "bfloat16")
WORTH_WORKERS = 1 << 20
"""Bytes of text from which on worker processes make up for the seconds that they take to begin."""
FILES = ".jsonl (see --field), .csv, .tsv or .parquet (see --column), or of any other name a UTF-8 text a line"


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Register `--field` and `--column`, which say where in a file its texts are."""
    parser.add_argument("--field", metavar="NAME", help="the key of the text in a .jsonl (default: text)")
    parser.add_argument("--column", metavar="NAME", help="the column of the text in a .csv, .tsv or .parquet (default: text)")


def add_vector_options(parser: argparse.ArgumentParser, model: str | None = DEFAULT_NAME) -> Any:
    """Register the model, what it is asked for and what computes it; gives the group, for what a command has besides."""
    default = "%(default)s" if model else "what made the stored vectors, or minilm-l6"
    parser.add_argument("--model", default=model, help=f"a fetched name or a folder (default: {default})")
    what = parser.add_argument_group("what is computed")
    what.add_argument(
        "--layers",
        type=_layers,
        help="which hidden states: last, second-to-last, first, sum-last-4, concat-last-4, numbers with commas, or "
        "weights such as 0.25*-2+0.75*-1; one that begins with - as --layers=-2 (default: last)",
    )
    what.add_argument("--pool", choices=POOLINGS, help="how a sentence's vector is made of its tokens' (default: the recipe's)")
    what.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="scale a sentence's vector to length 1, or not (default: the recipe's)",
    )
    what.add_argument("--dim", type=int, metavar="N", help="keep the first N dimensions only")
    what.add_argument("--on-long", choices=ON_LONG, help="for texts over the limit (default: truncate)")
    what.add_argument("--dtype", choices=COMPUTE_DTYPES, help="what the products are computed in (default: the model's)")
    what.add_argument("--device", metavar="PLATFORM", help="cpu, gpu or tpu (default: the best that JAX finds)")
    what.add_argument(
        "--workers",
        type=_number_of_workers,
        metavar="N",
        help="processes that share the work, 0 for none, cores for one each (default: cores for files of a megabyte and more on "
        "a CPU, else 0)",
    )
    return what


def options_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those of the options of `Features.sentences` that were given."""
    given = {
        "layers": arguments.layers,
        "pooling": arguments.pool,
        "normalize": arguments.normalize,
        "dim": arguments.dim,
        "on_long": arguments.on_long,
    }
    return {name: value for name, value in given.items() if value is not None}


def source_given(arguments: argparse.Namespace, purpose: str) -> Source:
    """The texts of the command line, of files, or of standard input; InputError unless it is one of these."""
    check_given(arguments.texts, arguments.files, purpose)
    if arguments.files:
        return TextFiles(arguments.files, arguments.field, arguments.column)
    check_no_columns(arguments)
    return stream_or_list(arguments.texts)


def stream_or_list(texts: Sequence[str]) -> Source:
    """The texts of the command line, or where - stands for them those of standard input."""
    check_stream_alone(texts)
    return Stream(standard_input()) if "-" in texts else TextList(texts)


def check_no_columns(arguments: argparse.Namespace) -> None:
    """InputError for `--field` or `--column` without the file that they belong to."""
    for name, value in (("--field", arguments.field), ("--column", arguments.column)):
        if value is not None:
            raise InputError(f"{name} belongs to files; give one by --file, or leave {name} out")


def features_given(arguments: argparse.Namespace, name_or_path: str, source: Source | None = None) -> Features:
    """`Features` of a model on the device and with the workers that were asked for; `source` is all that they will embed."""
    if arguments.device is not None:
        _use_device(arguments.device)
    overrides = {} if arguments.dtype is None else {"dtype": arguments.dtype}
    return Features(name_or_path, workers=_workers(arguments, source), **overrides)


def warn_of_cut(truncated: int, texts: int, features: Features) -> None:
    """Say on standard error how many texts were cut, if any were."""
    if truncated:
        print(f"warning: {truncated} of {texts} texts were cut at {features.max_length} tokens", file=sys.stderr)


def _workers(arguments: argparse.Namespace, source: Source | None) -> int:
    """As many as asked for; else one a core where a CPU has so much to do that they make up for their start."""
    if arguments.workers is not None:
        if arguments.workers and jax.default_backend() != "cpu":
            raise InputError("--workers share a CPU's cores; give --device cpu with it, or leave it out")
        return arguments.workers
    much = isinstance(source, TextFiles) and sum(source.sizes) >= WORTH_WORKERS
    return cores() if much and cores() > 1 and jax.default_backend() == "cpu" else 0


def _number_of_workers(text: str) -> int:
    """A number, or `cores`."""
    if text == "cores":
        return cores()
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; expected 0 for none, 1 and more, or cores")
    return number


def _layers(text: str) -> str | int | list[int]:
    """`last` as it is, `3` and `-2` as a number, `1,-1` as numbers."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        return text
    return numbers if len(numbers) > 1 else numbers[0]


def _use_device(platform: str) -> None:
    """Let JAX compute on that platform alone; InputError where this machine or this JAX has none."""
    before = jax.config.jax_platforms  # type: ignore[attr-defined]
    jax.config.update("jax_platforms", platform)
    try:
        jax.devices(platform)
    except RuntimeError as problem:
        jax.config.update("jax_platforms", before)
        reason = " ".join(str(problem).split())[:200]
        raise InputError(f"--device {platform} cannot be used: {reason}; give cpu, or install JAX for that device") from None
