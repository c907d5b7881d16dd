"""Checks what a caller hands the tokenizer: texts, pairs of texts, and the options for a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from minibert.errors import TokenizerError
from minibert.tokenizer.sequences import TRUNCATIONS

PADDINGS = ("longest", "max_length")


@dataclass(frozen=True)
class BatchOptions:
    """Checked options: None means no padding, no truncation, and no `max_length` where neither needs one."""

    padding: str | None
    truncation: str | None
    max_length: int | None
    width_multiple: int


def batch_options(
    padding: bool | str,
    truncation: bool | str,
    max_length: int | None,
    pad_to_multiple_of: int | None,
    model_maximum: int | None,
) -> BatchOptions:
    """The options of `Tokenizer.__call__`, checked one by one and together; `model_maximum` is the default length.

    Raises TokenizerError for values that do not exist and for options that contradict each other.
    """
    padding_name = _choice("padding", padding, PADDINGS, default="longest")
    truncation_name = _choice("truncation", truncation, TRUNCATIONS, default="longest_first")
    for name, number in (("max_length", max_length), ("pad_to_multiple_of", pad_to_multiple_of)):
        if number is not None and (type(number) is not int or number < 1):
            raise TokenizerError(f"{name} is {number!r}; expected a whole number of tokens from 1 upwards")
    if pad_to_multiple_of is not None and padding_name is None:
        raise TokenizerError("pad_to_multiple_of has no effect without padding; add padding='longest'")
    if truncation_name is None and padding_name != "max_length":
        if max_length is not None:
            raise TokenizerError(f"max_length={max_length} has no effect by itself; add truncation=True or padding='max_length'")
        return BatchOptions(padding_name, None, None, pad_to_multiple_of or 1)
    length = model_maximum if max_length is None else max_length
    if length is None:
        raise TokenizerError("no length to cut or pad to is known: the model states no maximum; give max_length")
    if truncation_name is not None and pad_to_multiple_of is not None and length % pad_to_multiple_of:
        raise TokenizerError(
            f"texts are cut to {length} tokens, which is no multiple of pad_to_multiple_of={pad_to_multiple_of}, so "
            "that padding could exceed that length; choose a max_length that is a multiple"
        )
    return BatchOptions(padding_name, truncation_name, length, pad_to_multiple_of or 1)


def texts_and_pairs(texts: object, text_pairs: object) -> tuple[list[str], list[str] | None]:
    """The first texts of a batch and, where there are any, the second ones; `Tokenizer.__call__` has the forms.

    Raises TokenizerError for an empty batch, for counts that differ, and for anything that is no text, naming its
    place.
    """
    if isinstance(texts, str):
        first = [checked_text(texts, "the text")]
        return first, None if text_pairs is None else [checked_text(text_pairs, "the second text")]
    items = _items(texts, "texts")
    if not items:
        raise TokenizerError("texts is an empty batch; expected at least one text")
    pairs = [item for item in items if isinstance(item, tuple)]
    if text_pairs is None and len(pairs) == len(items):
        for place, pair in enumerate(pairs):
            if len(pair) != 2:
                raise TokenizerError(f"texts[{place}] is a tuple of {len(pair)}; expected a text, or a pair of texts")
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        return _checked_texts(first, "texts", "[0]"), _checked_texts(second, "texts", "[1]")
    first = _checked_texts(items, "texts")
    if text_pairs is None:
        return first, None
    if isinstance(text_pairs, str):
        raise TokenizerError("text_pairs is one string where texts is a sequence; expected a second text for each first one")
    second = _checked_texts(_items(text_pairs, "text_pairs"), "text_pairs")
    if len(first) != len(second):
        raise TokenizerError(f"texts has {len(first)} texts and text_pairs {len(second)}; expected one for each")
    return first, second


def checked_text(text: object, where: str) -> str:
    """`text`, if it is a string that UTF-8 can hold; else a TokenizerError that names it by `where`."""
    if not isinstance(text, str):
        raise TokenizerError(f"{where} is of the type {type(text).__name__}; expected a string")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as problem:
            raise TokenizerError(
                f"{where} has half of a surrogate pair, U+{ord(text[problem.start]):04X}, at position {problem.start}; "
                "decode it from its bytes as what it is, or replace that character"
            ) from None
    return text


def _checked_texts(items: Sequence[object], name: str, part: str = "") -> list[str]:
    return [checked_text(item, f"{name}[{place}]{part}") for place, item in enumerate(items)]


def _items(texts: object, name: str) -> Sequence[object]:
    # Bytes are a sequence too, of numbers; arrays and columns of tables can be listed.
    if texts is None or isinstance(texts, bytes | bytearray | dict) or not hasattr(texts, "__iter__"):
        raise TokenizerError(f"{name} is of the type {type(texts).__name__}; expected a string or a sequence of strings")
    return list(texts)


def _choice(name: str, value: bool | str, choices: tuple[str, ...], default: str) -> str | None:
    if isinstance(value, bool):
        return default if value else None
    if value not in choices:
        raise TokenizerError(f"{name} is {value!r}; expected True, False, {' or '.join(map(repr, choices))}")
    return value
