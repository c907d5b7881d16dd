"""`minibert embed`: texts to sentence vectors."""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from minibert.atomic_write import write_atomically
from minibert.cli.console import console
from minibert.cli.fetch import DEFAULT_NAME
from minibert.cli.texts import add_texts, texts_given
from minibert.errors import InputError, TruncationWarning
from minibert.features import Features, cosine_similarity

OUTPUTS = (".npy", ".npz", ".jsonl")
LARGEST_TABLE = 12


def add_parser(subparsers: Any) -> None:
    """Register the command `embed`."""
    parser = subparsers.add_parser(
        "embed",
        help="turn texts into sentence vectors",
        description="Turn texts into sentence vectors by the checkpoint's own recipe. With two or more texts, show how "
        f"similar they are (a table of {LARGEST_TABLE} at most).",
    )
    add_texts(parser)
    parser.add_argument("--model", default=DEFAULT_NAME, help="a fetched name or a folder (default: %(default)s)")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the vectors to FILE.npy (a float32 array [texts, hidden]), FILE.npz (`vectors` and `texts`) or "
        "FILE.jsonl (a text and its vector a line)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Embed, then write or show."""
    output = Path(arguments.output) if arguments.output else None
    if output is not None and output.suffix not in OUTPUTS:
        raise InputError(f"--output {output} ends in {output.suffix!r}; expected one of {', '.join(OUTPUTS)}")
    texts = list(texts_given(arguments.texts, arguments.files, "embed"))
    features = Features(arguments.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # said below
        vectors = features.sentences(texts)
    if vectors.truncated:
        print(
            f"warning: {vectors.truncated} of {len(texts)} texts were cut at {features.max_length} tokens",
            file=sys.stderr,
        )
    if output is not None:
        _write(output, texts, vectors)
        print(f"wrote {vectors.shape[0]} vectors of {vectors.shape[1]} dimensions to {output}")
    else:
        _show_vectors(texts, vectors)
    _show_similarity(vectors)
    return 0


def _write(path: Path, texts: list[str], vectors: np.ndarray) -> None:
    with write_atomically(path) as file:
        if path.suffix == ".npy":
            np.save(file, vectors)
        elif path.suffix == ".npz":
            np.savez(file, vectors=vectors, texts=np.array(texts))
        else:
            for text, vector in zip(texts, vectors, strict=True):
                row = {"text": text, "vector": [float(f"{value:.9g}") for value in vector]}
                file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


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
    elif len(vectors) > LARGEST_TABLE:
        console().print(f"(the similarity table is shown for at most {LARGEST_TABLE} texts; use --output to keep the vectors)")
