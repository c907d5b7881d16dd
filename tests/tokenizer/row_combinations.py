"""The combinations of lengths, strategies, sides, strides and padding that are compared, and our rows for them."""

from itertools import product
from typing import Any

from hostile_texts import SPECIAL_TOKENS

from minibert.errors import TokenizerError
from minibert.tokenizer import Tokenizer, TokenizerSettings

LONGEST = 20
WORDS = [f"w{chr(97 + place)}" for place in range(LONGEST)]
FIRSTS = [" ".join(WORDS[:length]) for length in range(LONGEST + 1)]
SINGLES = [(first, None) for first in FIRSTS]
PAIRS = list(product(FIRSTS, FIRSTS))
MAX_LENGTHS = (2, 3, 4, 5, 6, 7, 9, 12, 16, 20, 23)
STRIDES = (0, 1, 2, 7)
PADDINGS: list[dict[str, Any]] = [
    {"padding": False},
    {"padding": "longest", "padding_side": "left"},
    {"padding": "max_length", "padding_side": "right"},
]


def small_tokenizer() -> Tokenizer:
    """Ours for a vocabulary of the words alone."""
    return Tokenizer([*SPECIAL_TOKENS, *WORDS], TokenizerSettings(model_max_length=512))


def our_rows(ours: Tokenizer, samples: list[tuple[str, str | None]], options: dict[str, Any]) -> dict[str, Any] | None:
    """Our rows; None for an error."""
    firsts = [first for first, _ in samples]
    seconds = None if samples[0][1] is None else [second for _, second in samples]
    wanted = ("special_tokens_mask", "offsets_mapping", "word_ids", "overflowing_tokens")
    try:
        return ours(firsts, seconds, return_tensors=None, **dict.fromkeys((f"return_{key}" for key in wanted), True), **options)
    except TokenizerError:
        return None
