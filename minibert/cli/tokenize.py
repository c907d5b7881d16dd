"""`minibert tokenize`: texts to tokens, and where in the text each of them comes from."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from minibert.cli.console import console
from minibert.cli.fetch import DEFAULT_NAME
from minibert.cli.texts import add_texts, texts_given
from minibert.errors import InputError
from minibert.tokenizer.flavors import FLAVORS
from minibert.tokenizer.tokenizer import Tokenizer

FORMATS = ("table", "ids", "tokens", "jsonl")
MOST_TABLES = 12
BLOCK_TEXTS = 1000
BLOCK_CHARACTERS = 1 << 20


def add_parser(subparsers: Any) -> None:
    """Register the command `tokenize`."""
    parser = subparsers.add_parser(
        "tokenize",
        help="show the tokens of texts, and where they come from",
        description="Show the tokens of texts: their ids, the characters of the text that they come from, and the numbers of "
        f"their words. Of standard input and files, tables show {MOST_TABLES} texts at most.",
    )
    add_texts(parser)
    parser.add_argument("--pair", metavar="TEXT", help="a second text, beside a single first one")
    parser.add_argument("--model", default=DEFAULT_NAME, help="a fetched name or a folder (default: %(default)s)")
    parser.add_argument("--flavor", choices=FLAVORS, help="which of BERT's two tokenizers (default: the checkpoint's)")
    case = parser.add_mutually_exclusive_group()
    for option, action, effect in (
        ("--cased", "store_false", "keep case and accents"),
        ("--uncased", "store_true", "lower-case the texts"),
    ):
        help_text = f"{effect}, whatever the checkpoint says"
        case.add_argument(option, action=action, dest="do_lower_case", default=None, help=help_text)
    parser.add_argument("--no-special-tokens", action="store_true", help="leave out [CLS] and [SEP]")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="a table for each text; or a line for each: its ids, its tokens, or a JSON object of all (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tokenize, then print."""
    texts = _texts(arguments)
    settings = {name: getattr(arguments, name) for name in ("flavor", "do_lower_case")}
    tokenizer = Tokenizer.load(arguments.model, **{name: value for name, value in settings.items() if value is not None})
    if arguments.format == "table":
        _show_tables(tokenizer, texts, arguments)
    else:
        _print_lines(tokenizer, texts, arguments)
    return 0


def _texts(arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.pair is not None and (arguments.files or len(arguments.texts) > 1 or "-" in arguments.texts):
        raise InputError("--pair goes with a single TEXT, neither with several nor with - or --file")
    return texts_given(arguments.texts, arguments.files, "tokenize")


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists that fit into memory, however many there are."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if len(block) == BLOCK_TEXTS or size >= BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _rows(tokenizer: Tokenizer, texts: list[str], arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is known of each text, under the names of the tokenizer's batch."""
    pair = arguments.pair
    places = arguments.format in ("table", "jsonl")
    batch = tokenizer(
        texts,
        None if pair is None else [pair],
        padding=False,
        add_special_tokens=not arguments.no_special_tokens,
        return_offsets_mapping=places,
        return_word_ids=places,
        return_tensors=None,
    )
    keys = ["input_ids", "offset_mapping", "word_ids"] if places else ["input_ids"]
    if pair is not None:
        keys.append("token_type_ids")
    for number, text in enumerate(texts):
        row: dict[str, Any] = {"text": text} if pair is None else {"text": text, "text_pair": pair}
        row["tokens"] = tokenizer.convert_ids_to_tokens(batch["input_ids"][number])
        yield row | {key: batch[key][number] for key in keys}


def _print_lines(tokenizer: Tokenizer, texts: Iterator[str], arguments: argparse.Namespace) -> None:
    for block in _blocks(texts):
        for row in _rows(tokenizer, block, arguments):
            if arguments.format == "ids":
                print(" ".join(map(str, row["input_ids"])))
            elif arguments.format == "tokens":
                # A special token may have spaces inside.
                print(_printable(" ".join(token.replace(" ", r"\x20") for token in row["tokens"])))
            else:
                # In ASCII, so that no terminal obeys or lacks a character, and no reader of lines ends one at U+2028.
                print(json.dumps(row))


def _show_tables(tokenizer: Tokenizer, texts: Iterator[str], arguments: argparse.Namespace) -> None:
    most = MOST_TABLES if arguments.files or arguments.texts == ["-"] else len(arguments.texts)
    shown = list(islice(texts, most))
    for number, row in enumerate(_rows(tokenizer, shown, arguments), start=1):
        _show_table(row, f"{number}: {row['text']}" if len(shown) > 1 else None)
    left_out = sum(1 for _ in texts)
    if left_out:
        print(f"({left_out:,} more text{'s'[: left_out > 1]} left out; --format ids prints them all)")


def _show_table(row: dict[str, Any], title: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    heading = None if title is None else Text(_printable(title), overflow="ellipsis", no_wrap=True)
    table = Table(title=heading, title_justify="left")
    for name in ("", "token", "id", "offsets", "from the text", "word", *(["token type"] if "text_pair" in row else [])):
        table.add_column(name, justify="left" if name in ("token", "from the text") else "right", overflow="fold")
    sources = (row["text"], row.get("text_pair", ""))
    token_types = row.get("token_type_ids", [0] * len(row["tokens"]))
    columns = (row["tokens"], row["input_ids"], row["offset_mapping"], row["word_ids"], token_types)
    for number, (token, token_id, (start, end), word, token_type) in enumerate(zip(*columns, strict=True)):
        # [CLS] and [SEP] come from no characters.
        places = ("", "", "") if word is None else (f"{start}-{end}", sources[token_type][start:end], str(word))
        cells = (str(number), token, str(token_id), *places, str(token_type))
        table.add_row(*(Text(_printable(cell)) for cell in cells[: len(table.columns)]))
    console().print(table)


def _printable(text: str) -> str:
    """`text` with escapes as of repr() in place of what a terminal would obey, hide or lack."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
