"""`minibert fill-mask`: the likeliest words behind the masks of texts."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from minibert.cli.console import console
from minibert.cli.texts import add_texts, texts_given
from minibert.cli.vector_options import COMPUTE_DTYPES
from minibert.errors import InputError
from minibert.features import FilledText, MaskedWords
from minibert.features.masked_words import DEFAULT_TOP, MaskedTextError
from minibert.printable import printable

if TYPE_CHECKING:
    from rich.text import Text

DEFAULT_MODEL = "bert-base-uncased"
"""The default of other commands, minilm-l6, has no head that fills masks."""


def add_parser(subparsers: Any) -> None:
    """Register the command `fill-mask`."""
    parser = subparsers.add_parser(
        "fill-mask",
        help="find the words behind [MASK]",
        description="Show the likeliest words behind each [MASK] of texts, or however the model's tokenizer calls its mask. Of "
        "several masks in a text each is filled by itself. The model needs the head that was trained for this, as BERT's own "
        "checkpoints have it.",
    )
    add_texts(parser)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a fetched name or a folder (default: %(default)s)")
    parser.add_argument(
        "--top", type=int, metavar="N", help=f"how many words for each mask (default: {DEFAULT_TOP}, of --targets all)"
    )
    parser.add_argument(
        "--targets",
        metavar="WORD,WORD",
        help="show only these words, with their probabilities among all; each is one piece of the vocabulary",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object a text in place of tables")
    parser.add_argument("--dtype", choices=COMPUTE_DTYPES, help="what the products are computed in (default: the model's)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fill, then print."""
    texts = texts_given(arguments.texts, arguments.files, "fill")
    words = MaskedWords(arguments.model, **({} if arguments.dtype is None else {"dtype": arguments.dtype}))
    targets = None if arguments.targets is None else [word.strip() for word in arguments.targets.split(",")]
    try:
        for filled in words.fill_each(texts, arguments.top, targets=targets):
            if arguments.json:
                # In ASCII, so that no terminal obeys a character, and no reader of lines ends one at U+2028.
                print(json.dumps(dataclasses.asdict(filled)))
            else:
                _show(filled)
    except MaskedTextError as problem:
        raise InputError(f"text {problem.index + 1:,} {problem.problem}") from None
    return 0


def _show(filled: FilledText) -> None:
    from rich.table import Table

    several = len(filled.masks) > 1
    table = Table(title=_in_a_line(filled.text), title_justify="left")
    for name in ("mask", "word", "probability", "id", "text")[not several :]:
        table.add_column(name, justify="left" if name in ("word", "text") else "right")
    for number, mask in enumerate(filled.masks, start=1):
        for word in mask.words:
            cells = (_in_a_line(word.word), _rounded(word.probability), str(word.token_id), _in_a_line(word.text))
            table.add_row(*([str(number)] if several else []), *cells)
        table.add_section()
    console().print(table)


def _rounded(probability: float) -> str:
    return f"{probability:.4f}" if probability >= 1e-4 else f"{probability:.1e}"


def _in_a_line(text: str) -> "Text":
    from rich.text import Text

    return Text(" ".join(printable(text).split()), overflow="ellipsis", no_wrap=True)
