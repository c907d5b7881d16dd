"""`minibert similar`: the texts of a corpus that are nearest to others, from its texts or from vectors that were stored."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.cli.console import console, warnings_as_lines
from minibert.cli.fetch import DEFAULT_NAME
from minibert.cli.progress_of_texts import progress_bar
from minibert.cli.texts import add_texts
from minibert.cli.vector_options import (
    FILES,
    add_columns,
    add_vector_options,
    check_no_columns,
    features_given,
    options_given,
    stream_or_list,
    warn_of_cut,
)
from minibert.errors import CheckpointError, InputError
from minibert.features import Features, Hits, StoredVectors, nearest
from minibert.features.corpus import CorpusOptions, Step, TextFiles
from minibert.features.corpus.engine import embed_chunk
from minibert.features.corpus.job import chunks
from minibert.features.corpus.options import CHUNK_SIZES
from minibert.features.corpus.receipt import differences
from minibert.features.corpus.sources import Source
from minibert.printable import listed, printable

if TYPE_CHECKING:
    from rich.text import Text


def add_parser(subparsers: Any) -> None:
    """Register the command `similar`."""
    parser = subparsers.add_parser(
        "similar",
        help="find the nearest texts",
        description="Find the texts of a corpus nearest to each TEXT, by the cosine of their vectors. The corpus is a file of "
        "texts, or the vectors that `minibert embed --output` made of one. Without a corpus the texts given are compared with "
        "each other, and without texts those of the file.",
    )
    add_texts(parser, f"the corpus: {FILES}; with --vectors the file that these were made of, to show its texts")
    add_columns(parser)
    parser.add_argument(
        "--vectors", metavar="FILE", help="the corpus as `minibert embed` wrote it: .npy, .npz, .jsonl or .parquet"
    )
    parser.add_argument("-k", type=int, default=5, metavar="N", help="how many nearest texts (default: %(default)s)")
    parser.add_argument(
        "--format", choices=("table", "jsonl"), default="table", help="tables, or a JSON object a text (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_vector_options(parser, model=None)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Embed what has no vectors yet, search, and print."""
    if arguments.k < 1:
        raise InputError(f"-k is {arguments.k}; expected a whole number of at least 1")
    if not arguments.files:
        check_no_columns(arguments)
    texts = stream_or_list(arguments.texts)
    if arguments.vectors is None and not arguments.files and len(arguments.texts) < 2 and arguments.texts != ["-"]:
        raise InputError("there is nothing to compare; give --file or --vectors with a text, or two texts and more")
    corpus = TextFiles(arguments.files, arguments.field, arguments.column) if arguments.files else None
    if arguments.vectors is not None:
        return _among_stored(arguments, texts, corpus)
    features = features_given(arguments, arguments.model or DEFAULT_NAME, corpus)
    try:
        options = CorpusOptions(**options_given(arguments))
        of_corpus, vectors = _embedded(features, texts if corpus is None else corpus, options, arguments.quiet)
        if corpus is None or not arguments.texts:
            if len(of_corpus) < 2:
                raise InputError("there is a single text; give two and more to compare, or --file or --vectors besides")
            queries, hits = of_corpus, _others(vectors, arguments.k)
        else:
            queries, of_queries = _embedded(features, texts, options, quiet=True)
            hits = nearest(of_queries, vectors, arguments.k)
    finally:
        features.close()
    _print(queries, hits, dict(enumerate(of_corpus)), arguments.format)
    return 0


def _among_stored(arguments: argparse.Namespace, texts: Source, corpus: TextFiles | None) -> int:
    if not arguments.texts:
        raise InputError("--vectors needs a text to compare them with; give one, or - for the lines of standard input")
    stored = StoredVectors.read(arguments.vectors)
    if corpus is not None:
        _check_corpus(stored, corpus)
    try:
        features = features_given(arguments, arguments.model or stored.model, None)
    except CheckpointError as problem:
        named = "" if arguments.model else f"; the receipt of {stored.path} names that model: say where it is now by --model"
        raise InputError(f"{problem}{named}") from None
    try:
        queries = list(texts.texts())
        with warnings_as_lines():
            hits = features.search(queries, stored, arguments.k, **options_given(arguments))
    finally:
        features.close()
    wanted = set(hits.indices.ravel().tolist())
    rows = stored.texts if corpus is None else corpus.texts()
    shown = {} if rows is None else {number: text for number, text in enumerate(rows) if number in wanted}
    _print(queries, hits, shown, arguments.format)
    if rows is None and arguments.format == "table":
        console().print("(rows are counted from 0; give the file of texts by --file to see what they say)")
    return 0


def _check_corpus(stored: StoredVectors, corpus: TextFiles) -> None:
    """InputError unless the vectors were made of these very files."""

    def contents(source: Mapping[str, Any]) -> dict[str, Any]:
        files = [{"bytes": file.get("bytes"), "sha256": file.get("sha256")} for file in source.get("files", [])]
        return {"kind": source.get("kind"), "files": files, "columns": source.get("columns")}

    found = differences(contents(stored.receipt.get("input") or {}), contents(corpus.fingerprint()))
    if found:
        raise InputError(
            f"{stored.path} was made of other texts than {corpus.name} holds: {listed(found)}; give the file that they were made "
            "of, or leave --file out"
        )


def _embedded(features: Features, source: Source, options: CorpusOptions, quiet: bool) -> tuple[list[str], np.ndarray]:
    """All texts of a source, and their vectors."""
    texts: list[str] = []
    vectors: list[np.ndarray] = []
    truncated = 0
    with progress_bar(quiet) as bar:
        for some, _ in chunks(source, None, CHUNK_SIZES["sentences"]):
            chunk = embed_chunk(features, some, len(texts), options)
            texts += some
            vectors.append(chunk.vectors)
            truncated += chunk.truncated
            if bar is not None:
                bar(Step(len(texts), 0, chunk, *source.done()))
    warn_of_cut(truncated, len(texts), features)
    return texts, np.concatenate(vectors)


def _others(vectors: np.ndarray, k: int) -> Hits:
    """For every vector the nearest of the others."""
    found = nearest(vectors, vectors, k + 1)
    itself = found.indices == np.arange(len(vectors))[:, None]
    # Among many equal texts it may not be one of its own nearest.
    itself[~itself.any(axis=1), -1] = True
    shape = (len(vectors), found.indices.shape[1] - 1)
    return Hits(found.indices[~itself].reshape(shape), found.scores[~itself].reshape(shape))


def _print(queries: Sequence[str], hits: Hits, texts: Mapping[int, str], form: str) -> None:
    from rich.table import Table

    out = console()
    for query, rows, scores in zip(queries, hits.indices.tolist(), hits.scores.tolist(), strict=True):
        if form == "jsonl":
            found = [
                {"row": row, "cosine": round(score, 6), "text": texts.get(row)} for row, score in zip(rows, scores, strict=True)
            ]
            print(json.dumps({"text": query, "nearest": found}, ensure_ascii=False))
            continue
        columns = ("cosine", "row", "text") if texts else ("cosine", "row")
        table = Table(*columns, title=_in_a_line(query), title_justify="left")
        for row, score in zip(rows, scores, strict=True):
            table.add_row(f"{score:.3f}", f"{row:,}", *([_in_a_line(texts.get(row, ""))] if texts else []))
        out.print(table)


def _in_a_line(text: str) -> "Text":
    from rich.text import Text

    return Text(" ".join(printable(text).split()), overflow="ellipsis", no_wrap=True)
