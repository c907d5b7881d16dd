"""Checks what a caller hands the tokenizer: texts, pairs of texts, words, and the options for a batch."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.errors import TokenizerError, shown
from minibert.tokenizer.settings import SIDES, TokenizerSettings
from minibert.tokenizer.truncation import TRUNCATIONS

PADDINGS = ("longest", "max_length")

# The names of transformers for what False says as well.
NO_PADDING, NO_TRUNCATION = "do_not_pad", "do_not_truncate"

MOST_TOKENS = 1 << 20
"""No row is padded to more; no BertConfig has as many positions."""


@dataclass(frozen=True)
class BatchOptions:
    """The options of `Tokenizer.__call__` under their names and in their order, with their defaults."""

    padding: bool | str = "longest"
    truncation: bool | str | None = False
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    add_special_tokens: bool = True
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    truncation_side: str | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_word_ids: bool = False
    return_token_type_ids: bool | None = True
    return_attention_mask: bool | None = True
    return_tensors: str | None = "np"


YES_OR_NO = tuple(name for name, value in vars(BatchOptions()).items() if isinstance(value, bool) and name != "truncation")
"""The options that are either True or False."""


def checked_options(options: BatchOptions, settings: TokenizerSettings) -> BatchOptions:
    """The options with padding and truncation by their names, or False, and with what the settings say where they are silent.

    `max_length` stays None where neither padding nor truncation needs it. Raises TokenizerError for values that do not
    exist and for options that contradict each other.
    """
    padding = _choice("padding", options.padding, PADDINGS, default="longest", none=NO_PADDING)
    truncation = options.truncation is not None and _choice(
        "truncation", options.truncation, TRUNCATIONS, default="longest_first", none=NO_TRUNCATION
    )
    switches = {name: checked_switch(name, getattr(options, name)) for name in YES_OR_NO}
    for name, side in (("padding_side", options.padding_side), ("truncation_side", options.truncation_side)):
        if side is not None and not _is_one_of(side, SIDES):
            raise TokenizerError(f"{name} is {side!r}; expected 'right' or 'left'")
    if options.return_tensors is not None and not _is_one_of(options.return_tensors, ("np",)):
        raise TokenizerError(
            f"return_tensors is {options.return_tensors!r}; expected 'np' for NumPy arrays, which every framework takes, or "
            "None for lists"
        )
    for name, number in (("max_length", options.max_length), ("pad_to_multiple_of", options.pad_to_multiple_of)):
        if number is not None and (type(number) is not int or not 1 <= number <= MOST_TOKENS):
            raise TokenizerError(f"{name} is {shown(number)}; expected a whole number of tokens from 1 to {MOST_TOKENS:,}")
    if type(options.stride) is not int or options.stride < 0:
        raise TokenizerError(f"stride is {shown(options.stride)}; expected a whole number of tokens from 0 upwards")
    if options.stride and not (truncation and switches["return_overflowing_tokens"]):
        raise TokenizerError(
            f"stride={options.stride} has no effect by itself; add truncation=True and return_overflowing_tokens=True"
        )
    if options.pad_to_multiple_of is not None and not padding:
        raise TokenizerError("pad_to_multiple_of has no effect without padding; add padding='longest'")
    checked: dict[str, Any] = vars(options) | switches
    checked |= {
        "padding": padding,
        "truncation": truncation,
        "padding_side": options.padding_side or settings.padding_side,
        "truncation_side": options.truncation_side or settings.truncation_side,
    }
    if not truncation and padding != "max_length":
        if options.max_length is not None:
            raise TokenizerError(
                f"max_length={options.max_length} has no effect by itself; add truncation=True or padding='max_length'"
            )
        return BatchOptions(**checked)
    length = settings.model_max_length if options.max_length is None else options.max_length
    if length is None:
        raise TokenizerError("no length to cut or pad to is known: the model states no maximum; give max_length")
    if padding == "max_length" and length > MOST_TOKENS:
        raise TokenizerError(
            f"padding='max_length' would pad to the model's maximum of {shown(length)} tokens; give a max_length of at most "
            f"{MOST_TOKENS:,}"
        )
    if truncation and options.pad_to_multiple_of is not None and length % options.pad_to_multiple_of:
        raise TokenizerError(
            f"texts are cut to {length} tokens, which is no multiple of pad_to_multiple_of={options.pad_to_multiple_of}, so "
            "that padding could exceed that length; choose a max_length that is a multiple"
        )
    return BatchOptions(**(checked | {"max_length": length}))


def texts_and_pairs(text: object, text_pair: object) -> tuple[list[str], list[str] | None]:
    """The first texts of a batch and, where there are any, the second ones; `Tokenizer.__call__` has the forms.

    Raises TokenizerError for an empty batch, for counts that differ, and for anything that is no text, naming its
    place.
    """
    if isinstance(text, str):
        first = [checked_text(text, "the text")]
        return first, None if text_pair is None else [checked_text(text_pair, "the second text")]
    items = _items(text, "text")
    if text_pair is None and isinstance(items[0], tuple) and all(isinstance(item, tuple) for item in items):
        for place, pair in enumerate(items):
            if len(pair) != 2:
                raise TokenizerError(f"text[{place}] is a tuple of {len(pair)}; expected a text, or a pair of texts")
        first, second = ([pair[side] for pair in items] for side in (0, 1))
        return _checked_texts(first, "text", "[0]"), _checked_texts(second, "text", "[1]")
    first = _checked_texts(items, "text")
    if text_pair is None:
        return first, None
    if isinstance(text_pair, str):
        raise TokenizerError("text_pair is one string where text is a sequence; expected a second text for each first one")
    second = _checked_texts(_items(text_pair, "text_pair"), "text_pair")
    _check_counts(first, second)
    return first, second


def words_and_pairs(text: object, text_pair: object) -> tuple[list[list[str]], list[list[str]] | None]:
    """The words of the first texts of a batch and, where there are any, of the second ones.

    Each text is a sequence of strings; a single one is a batch of one. Raises TokenizerError as `texts_and_pairs` does.
    """
    first, is_batch = _lists_of_words(text, "text")
    if text_pair is None:
        return first, None
    second, pair_is_batch = _lists_of_words(text_pair, "text_pair")
    if is_batch != pair_is_batch:
        raise TokenizerError("one of text and text_pair is the words of one text, the other of several; expected the same form")
    _check_counts(first, second)
    return first, second


def checked_text(text: object, where: str) -> str:
    """`text` as a plain string, if it is one that UTF-8 can hold; else a TokenizerError that names it by `where`."""
    if not isinstance(text, str):
        raise TokenizerError(f"{where} is of the type {type(text).__name__}; expected a string")
    if type(text) is not str:
        # A class of the caller's may compare, hash or split its strings in another way.
        text = str.__str__(text)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as problem:
            raise TokenizerError(
                f"{where} has half of a surrogate pair, U+{ord(text[problem.start]):04X}, at position {problem.start}; "
                "decode it from its bytes as what it is, or replace that character"
            ) from None
    return text


def checked_folder(folder: object) -> Path:
    """`folder` as a path, if it can be one; else a TokenizerError."""
    try:
        path = Path(folder)  # type: ignore[arg-type]
        path.exists()
        if "\0" not in os.fsencode(path).decode(errors="replace"):
            return path
    except (TypeError, ValueError, OSError):
        pass
    raise TokenizerError(f"{shown(folder)} is no path of a folder; expected a string or a Path")


def listed(items: object) -> list[Any] | None:
    """The items of a sequence, an array, a column of a table; None for what has no items or other ones than it seems."""
    # Bytes are a sequence of numbers, and an array without axes only looks like one.
    if isinstance(items, bytes | bytearray | dict) or not isinstance(items, Iterable) or getattr(items, "shape", None) == ():
        return None
    return list(items)


def _lists_of_words(texts: object, name: str) -> tuple[list[list[str]], bool]:
    if isinstance(texts, str):
        raise TokenizerError(f"{name} is one string where is_split_into_words=True; expected its words, a sequence of strings")
    items = _items(texts, name)
    if all(isinstance(item, str) for item in items):
        return [_checked_texts(items, name)], False
    texts_of_words: list[list[str]] = []
    for place, item in enumerate(items):
        words = None if isinstance(item, str) else listed(item)
        if words is None:
            raise TokenizerError(f"{name}[{place}] is of the type {type(item).__name__}; expected the words of a text, a list")
        texts_of_words.append(_checked_texts(words, f"{name}[{place}]"))
    return texts_of_words, True


def _check_counts(first: Sequence[object], second: Sequence[object]) -> None:
    if len(first) != len(second):
        raise TokenizerError(f"text has {len(first)} texts and text_pair {len(second)}; expected one for each")


def _checked_texts(items: list[Any], name: str, part: str = "") -> list[str]:
    # Most texts are ASCII, and asking that takes less time than naming each for an error that few make.
    if {str}.issuperset(map(type, items)) and all(map(str.isascii, items)):
        return items
    return [checked_text(item, f"{name}[{place}]{part}") for place, item in enumerate(items)]


def _items(texts: object, name: str) -> list[Any]:
    items = listed(texts)
    if items is None:
        kind = type(texts).__name__ + (" without axes" if isinstance(texts, np.ndarray) else "")
        raise TokenizerError(f"{name} is of the type {kind}; expected a string or a sequence of strings")
    if not items:
        raise TokenizerError(f"{name} is an empty batch; expected at least one text")
    return items


def _choice(name: str, value: bool | str, choices: tuple[str, ...], default: str, none: str) -> str | bool:
    if isinstance(value, bool):
        return default if value else False
    if not _is_one_of(value, (*choices, none)):
        raise TokenizerError(f"{name} is {value!r}; expected True, False, {' or '.join(map(repr, choices))}")
    return value != none and value


def checked_switch(name: str, value: object) -> bool:
    """`value` as a bool, if it is True or False; else a TokenizerError that names it."""
    # transformers has None for its default here, which is to return them.
    if value is None and name in ("return_token_type_ids", "return_attention_mask"):
        return True
    if not isinstance(value, bool | np.bool_):
        raise TokenizerError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def _is_one_of(value: object, choices: Sequence[str]) -> bool:
    # Arrays cannot be asked whether they are in a sequence.
    return isinstance(value, str) and value in choices
