"""`minibert plot`: heat maps of similarities and of attention, as PNG, SVG or PDF."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.loading import load
from minibert.checkpoints.registry import folder_of, resolve
from minibert.cli.console import warnings_as_lines
from minibert.cli.fetch import DEFAULT_NAME
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
from minibert.features import cosine_similarity
from minibert.features.corpus import CorpusOptions
from minibert.features.corpus.engine import embed_chunk
from minibert.plots import attention_maps, check_figure_path, save_figure, similarity_map
from minibert.printable import counted
from minibert.tokenizer import Tokenizer
from minibert.verification import record

MOST_TEXTS = 2000
"""Their cosines fill a picture of as many points; of more, nothing can be seen."""
MOST_TOKENS = 160


def add_parser(subparsers: Any) -> None:
    """Register the command `plot` and what it draws."""
    parser = subparsers.add_parser("plot", help="draw heat maps of similarity or attention")
    kinds = parser.add_subparsers(title="what is drawn", metavar="KIND", required=True)
    similarity = kinds.add_parser(
        "similarity",
        help="how similar texts are",
        description=f"A heat map of the cosines between texts, {MOST_TEXTS:,} at most.",
    )
    add_texts(similarity, f"read texts from a file: {FILES}")
    add_columns(similarity)
    add_vector_options(similarity)
    attention = kinds.add_parser(
        "attention",
        help="who attends to whom in a layer",
        description="A heat map for each head of a layer: every row is a token, and says of which tokens it is a mixture.",
    )
    attention.add_argument("text", metavar="TEXT", help="the text")
    attention.add_argument("pair", metavar="SECOND", nargs="?", help="a second text, for a model of pairs")
    attention.add_argument("--model", default=DEFAULT_NAME, help="a fetched name or a folder (default: %(default)s)")
    attention.add_argument("--layer", type=int, default=-1, metavar="N", help="counted from 0, or -1 from the last (the default)")
    attention.add_argument(
        "--head", type=int, action="append", metavar="N", help="from 0; may be given several times (default: all)"
    )
    for kind, run in ((similarity, run_similarity), (attention, run_attention)):
        kind.add_argument("--output", required=True, metavar="FILE", help="the picture to write: .png, .svg or .pdf")
        kind.set_defaults(run=run)


def run_similarity(arguments: argparse.Namespace) -> int:
    """Embed, draw, write."""
    source = source_given(arguments, "compare")
    output = _output(arguments)
    texts: list[str] = []
    for text in source.texts():
        texts.append(text)
        if len(texts) > MOST_TEXTS:
            raise InputError(f"{source.name} are more than {MOST_TEXTS:,} texts, of which a heat map shows nothing; give fewer")
    features = features_given(arguments, arguments.model, source)
    try:
        chunk = embed_chunk(features, texts, 0, CorpusOptions(**options_given(arguments)))
    finally:
        features.close()
    warn_of_cut(chunk.truncated, len(texts), features)
    title = f"cosine similarity of {counted(len(texts), 'text')} by {arguments.model}"
    _write(similarity_map(cosine_similarity(chunk.vectors, chunk.vectors), texts, title=title), output)
    return 0


def run_attention(arguments: argparse.Namespace) -> int:
    """Record the probabilities of a layer, draw, write."""
    output = _output(arguments)
    folder = resolve(arguments.model)
    model = load(folder)
    layer = _checked("--layer", arguments.layer, model.config.num_hidden_layers, from_the_end=True)
    heads = arguments.head or range(model.config.num_attention_heads)
    heads = [_checked("--head", head, model.config.num_attention_heads) for head in heads]
    tokenizer = Tokenizer.from_folder(folder_of(folder))
    batch = tokenizer(arguments.text, arguments.pair)
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
    most = min(MOST_TOKENS, model.config.max_position_embeddings)
    if len(tokens) > most:
        raise InputError(f"the text has {len(tokens)} tokens; a heat map of this model shows {most} at most: give a shorter text")
    name = f"layers.{layer}.attention.probabilities"
    probabilities = np.asarray(record(model, batch, [name])[name][0, heads])
    title = f"{arguments.model}: attention of layer {layer}"
    _write(attention_maps(probabilities, tokens, [f"head {head}" for head in heads], title), output)
    return 0


def _checked(option: str, number: int, count: int, from_the_end: bool = False) -> int:
    lowest = -count if from_the_end else 0
    if not lowest <= number < count:
        raise InputError(f"{option} is {number}; the model has {count}: expected {lowest} to {count - 1}")
    return number % count


def _output(arguments: argparse.Namespace) -> Path:
    output = Path(arguments.output)
    check_figure_path(output)
    return output


def _write(figure: Any, output: Path) -> None:
    with warnings_as_lines():
        save_figure(figure, output)
    print(f"wrote {output}")
