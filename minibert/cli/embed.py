"""`minibert embed`: texts to vectors of sentences, words or tokens; a few are shown, files of any size are written."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from minibert.cli.console import console
from minibert.cli.fetch import DEFAULT_NAME
from minibert.cli.progress_of_texts import progress_bar
from minibert.cli.texts import add_texts, check_given, standard_input
from minibert.errors import InputError
from minibert.features import Features, cosine_similarity
from minibert.features.corpus import CorpusOptions, Outcome, Step, Stream, TextFiles, TextList, embed_corpus
from minibert.features.corpus.engine import embed_chunk
from minibert.features.corpus.job import check_target
from minibert.features.corpus.options import LEVELS
from minibert.features.corpus.outputs import output_of
from minibert.features.corpus.sources import Source
from minibert.features.documents import ON_LONG
from minibert.features.features import OUTPUT_DTYPES
from minibert.features.pooling import POOLINGS
from minibert.features.words import MERGES
from minibert.features.workers import cores
from minibert.printable import counted

LARGEST_TABLE = 12
COMPUTE_DTYPES = ("float32", "bfloat16")
WORTH_WORKERS = 1 << 20
"""Bytes of text from which on worker processes make up for the seconds that they take to begin."""


def add_parser(subparsers: Any) -> None:
    """Register the command `embed`."""
    parser = subparsers.add_parser(
        "embed",
        help="turn texts into vectors",
        description="Turn texts into vectors, of sentences by the checkpoint's own recipe unless told otherwise. With two or "
        f"more texts, show how similar they are (a table of {LARGEST_TABLE} at most). With --output the texts may be of any "
        "number: they are read and written bit by bit, and after a kill the same command goes on where it was.",
    )
    add_texts(
        parser,
        "read texts from a file: .jsonl (see --field), .csv, .tsv or .parquet (see --column), or of any other name a UTF-8 text "
        "a line",
    )
    parser.add_argument("--field", metavar="NAME", help="the key of the text in a .jsonl (default: text)")
    parser.add_argument("--column", metavar="NAME", help="the column of the text in a .csv, .tsv or .parquet (default: text)")
    parser.add_argument("--model", default=DEFAULT_NAME, help="a fetched name or a folder (default: %(default)s)")
    what = parser.add_argument_group("what is computed")
    what.add_argument("--level", choices=LEVELS, default="sentences", help="what has a vector each (default: %(default)s)")
    what.add_argument(
        "--layers", type=_layers, default="last", help="which layers, by name or as numbers with commas (default: %(default)s)"
    )
    what.add_argument("--pool", choices=POOLINGS, help="how a sentence's vector is made of its tokens' (default: the recipe's)")
    what.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="scale a sentence's vector to length 1, or not (default: the recipe's)",
    )
    what.add_argument("--merge", choices=MERGES, default="mean", help="how a word's vector is made of its parts'")
    what.add_argument("--dim", type=int, metavar="N", help="keep the first N dimensions only")
    what.add_argument("--on-long", choices=ON_LONG, default="truncate", help="for texts over the limit (default: %(default)s)")
    what.add_argument("--dtype", choices=COMPUTE_DTYPES, help="what the products are computed in (default: the model's)")
    what.add_argument("--device", metavar="PLATFORM", help="cpu, gpu or tpu (default: the best that JAX finds)")
    what.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that share the work, 0 for none (default: one for each core for files of a megabyte and more on a CPU)",
    )
    where = parser.add_argument_group("where it goes")
    where.add_argument(
        "--output",
        metavar="FILE",
        help="write to FILE.npy (an array [texts, width], sentences only), .npz, .jsonl or .parquet, with a receipt of how it "
        "was made, in it or in FILE.receipt.json",
    )
    where.add_argument(
        "--output-dtype", choices=OUTPUT_DTYPES, default="float32", help="of what is written (default: %(default)s)"
    )
    where.add_argument("--restart", action="store_true", help="begin anew, whatever an interrupted run left")
    where.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Embed, then write or show. What can be refused is refused before the model is loaded."""
    options = CorpusOptions(
        level=arguments.level,
        layers=arguments.layers,
        pooling=arguments.pool,
        normalize=arguments.normalize,
        merge=arguments.merge,
        dim=arguments.dim,
        on_long=arguments.on_long,
        output_dtype=arguments.output_dtype,
    )
    source = _source(arguments)
    output = Path(arguments.output) if arguments.output else None
    if output is not None:
        output_of(output, options)
        check_target(output)
    elif arguments.restart or options.level != "sentences":
        reason = "--restart" if arguments.restart else f"--level {options.level}"
        raise InputError(f"{reason} needs a file to write to; give --output FILE")
    if arguments.device is not None:
        _use_device(arguments.device)
    overrides = {} if arguments.dtype is None else {"dtype": arguments.dtype}
    features = Features(arguments.model, workers=_workers(arguments, source), **overrides)
    try:
        if output is not None:
            _write(features, source, output, options, arguments)
        else:
            _show(features, list(source.texts()), options)
    finally:
        features.close()
    return 0


def _source(arguments: argparse.Namespace) -> Source:
    check_given(arguments.texts, arguments.files, "embed")
    if arguments.files:
        return TextFiles(arguments.files, arguments.field, arguments.column)
    for name, value in (("--field", arguments.field), ("--column", arguments.column)):
        if value is not None:
            raise InputError(f"{name} belongs to files; give one by --file, or leave {name} out")
    return Stream(standard_input()) if "-" in arguments.texts else TextList(arguments.texts)


def _workers(arguments: argparse.Namespace, source: Source) -> int:
    """As many as asked for; else one a core where a CPU has so much to do that they make up for their start."""
    if arguments.workers is not None:
        if arguments.workers and jax.default_backend() != "cpu":
            raise InputError("--workers share a CPU's cores; give --device cpu with it, or leave it out")
        return arguments.workers
    much = isinstance(source, TextFiles) and sum(source.sizes) >= WORTH_WORKERS
    return cores() if much and cores() > 1 and jax.default_backend() == "cpu" else 0


def _write(features: Features, source: Source, output: Path, options: CorpusOptions, arguments: argparse.Namespace) -> None:
    first: list[Step] = []
    started = time.monotonic()
    with progress_bar(arguments.quiet) as bar:

        def report(step: Step) -> None:
            first.append(step) if not first else None
            if bar is not None:
                bar(step)

        outcome = embed_corpus(
            features, source, output, options, name_or_path=arguments.model, restart=arguments.restart, report=report
        )
    _warn_of_cut(outcome.truncated, outcome.texts, features)
    if not arguments.quiet:
        print(_summary(outcome, arguments.output, time.monotonic() - started))
        if first and first[0].chunk is not None and options.level == "sentences" and outcome.texts <= LARGEST_TABLE:
            _show_similarity(first[0].chunk.vectors)


def _summary(outcome: Outcome, output: str, seconds: float) -> str:
    new = outcome.texts - outcome.kept
    kept = f", {counted(outcome.kept, 'text')} of them kept from an earlier run" if outcome.kept else ""
    rows = f"wrote {counted(outcome.rows, 'vector')} of {outcome.width} dimensions to {output}"
    return f"{rows} ({counted(outcome.texts, 'text')}{kept}; {seconds:.1f} s, {new / max(seconds, 1e-9):,.0f} texts/s)"


def _show(features: Features, texts: list[str], options: CorpusOptions) -> None:
    chunk = embed_chunk(features, texts, 0, options)
    _warn_of_cut(chunk.truncated, len(texts), features)
    _show_vectors(texts, chunk.vectors)
    if len(texts) > LARGEST_TABLE:
        console().print(f"(the similarity table is shown for at most {LARGEST_TABLE} texts; use --output to keep the vectors)")
    _show_similarity(chunk.vectors)


def _warn_of_cut(truncated: int, texts: int, features: Features) -> None:
    if truncated:
        print(f"warning: {truncated} of {texts} texts were cut at {features.max_length} tokens", file=sys.stderr)


def _show_vectors(texts: list[str], vectors: np.ndarray) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("", "text", f"vector (first 4 of {vectors.shape[1]})", "length")
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True), start=1):
        start = "  ".join(f"{value:+.4f}" for value in vector[:4])
        table.add_row(
            str(number), Text(" ".join(text.split()), overflow="ellipsis", no_wrap=True), start, f"{np.linalg.norm(vector):.3f}"
        )
    console().print(table)


def _show_similarity(vectors: np.ndarray) -> None:
    from rich.table import Table

    if 2 <= len(vectors) <= LARGEST_TABLE:
        similarity = Table("cosine", *(str(number) for number in range(1, len(vectors) + 1)))
        for number, row in enumerate(cosine_similarity(vectors, vectors), start=1):
            similarity.add_row(str(number), *(f"{value:.2f}" for value in row))
        console().print(similarity)


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
