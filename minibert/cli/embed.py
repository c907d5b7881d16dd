"""`minibert embed`: texts to vectors of sentences, words or tokens; a few are shown, files of any size are written."""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from minibert.cli.console import console
from minibert.cli.progress_of_texts import progress_bar
from minibert.cli.texts import add_texts
from minibert.cli.vector_options import (
    FILES,
    add_columns,
    add_vector_options,
    features_given,
    options_given,
    source_given,
    warn_of_cut,
)
from minibert.errors import InputError
from minibert.features import Features, cosine_similarity
from minibert.features.corpus import CorpusOptions, Outcome, Step, embed_corpus
from minibert.features.corpus.engine import embed_chunk
from minibert.features.corpus.job import check_target
from minibert.features.corpus.options import LEVELS
from minibert.features.corpus.outputs import output_of
from minibert.features.corpus.sources import Source
from minibert.features.results import OUTPUT_DTYPES
from minibert.features.words import MERGES
from minibert.printable import counted

LARGEST_TABLE = 12


def add_parser(subparsers: Any) -> None:
    """Register the command `embed`."""
    parser = subparsers.add_parser(
        "embed",
        help="turn texts into vectors",
        description="Turn texts into vectors, of sentences by the checkpoint's own recipe unless told otherwise. With two or "
        f"more texts, show how similar they are (a table of {LARGEST_TABLE} at most). With --output the texts may be of any "
        "number: they are read and written bit by bit, and after a kill the same command goes on where it was.",
    )
    add_texts(parser, f"read texts from a file: {FILES}")
    add_columns(parser)
    what = add_vector_options(parser)
    what.add_argument("--level", choices=LEVELS, default="sentences", help="what has a vector each (default: %(default)s)")
    what.add_argument("--merge", choices=MERGES, default="mean", help="how a word's vector is made of its parts'")
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
        level=arguments.level, merge=arguments.merge, output_dtype=arguments.output_dtype, **options_given(arguments)
    )
    source = source_given(arguments, "embed")
    output = Path(arguments.output) if arguments.output is not None else None
    if output is not None:
        output_of(output, options)
        check_target(output)
    elif arguments.restart or options.level != "sentences":
        reason = "--restart" if arguments.restart else f"--level {options.level}"
        raise InputError(f"{reason} needs a file to write to; give --output FILE")
    features = features_given(arguments, arguments.model, source)
    try:
        if output is not None:
            _write(features, source, output, options, arguments)
        else:
            _show(features, list(source.texts()), options)
    finally:
        features.close()
    return 0


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
    warn_of_cut(outcome.truncated, outcome.texts, features)
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
    warn_of_cut(chunk.truncated, len(texts), features)
    _show_vectors(texts, chunk.vectors)
    if len(texts) > LARGEST_TABLE:
        console().print(f"(the similarity table is shown for at most {LARGEST_TABLE} texts; use --output to keep the vectors)")
    _show_similarity(chunk.vectors)


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
