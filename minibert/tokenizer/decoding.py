"""Tokens -> text again, as far as that goes: case, accents and most spaces are gone for good."""

from collections.abc import Iterable

import numpy as np

from minibert.errors import TokenizerError
from minibert.tokenizer.word_piece import CONTINUATION

# English that reads better without its space: `cleanup` in the WordPiece decoder of the `tokenizers` library, and
# `clean_up_tokenization` of transformers, which leaves one out.
WITHOUT_SPACE = {
    " .": ".",
    " ?": "?",
    " !": "!",
    " ,": ",",
    " ' ": "'",
    " n't": "n't",
    " 'm": "'m",
    " do not": " don't",
    " 's": "'s",
    " 've": "'ve",
    " 're": "'re",
}


def joined_tokens(tokens: Iterable[str], clean_up_tokenization_spaces: bool | None) -> str:
    """The tokens with spaces between words and the "##" pieces joined to theirs.

    None leaves out the space before a token of punctuation, as the `tokenizers` library does; True also those that
    stand between tokens, as in "it ' s", as transformers does; False keeps every space.
    """
    parts: list[str] = []
    for token in tokens:
        part = token if not parts else token.removeprefix(CONTINUATION) if token.startswith(CONTINUATION) else " " + token
        parts.append(part if clean_up_tokenization_spaces is False else _cleaned_up(part))
    text = "".join(parts)
    return _cleaned_up(text, besides=(" do not",)) if clean_up_tokenization_spaces else text


def covered_text(text: str, offset_mapping: object) -> str:
    """The part of `text` from the first to the last character that tokens with these offsets come from.

    `offset_mapping` holds pairs of whole numbers, [tokens, 2]. Offsets (0, 0) of special tokens and padding are passed
    over; of nothing else the result is "". Raises TokenizerError for offsets that are no pairs of places in the text.
    """
    try:
        offsets = np.asarray(offset_mapping)
    except ValueError:
        raise TokenizerError("offset_mapping has rows of different lengths; expected whole numbers [tokens, 2]") from None
    if offsets.size == 0:
        return ""
    if offsets.ndim != 2 or offsets.shape[1] != 2 or offsets.dtype.kind not in "iu":
        raise TokenizerError(
            f"offset_mapping is an array of {offsets.dtype} with the shape {list(offsets.shape)}; expected whole numbers "
            "[tokens, 2]"
        )
    starts, ends = offsets[offsets.any(axis=1)].T
    if not len(starts):
        return ""
    if starts.min() < 0 or (ends < starts).any() or ends.max() > len(text):
        raise TokenizerError(
            f"offset_mapping reaches from {starts.min()} to {ends.max()} in a text of {len(text)} characters; expected the "
            "offsets of this text's tokens"
        )
    return text[int(starts.min()) : int(ends.max())]


def _cleaned_up(text: str, besides: tuple[str, ...] = ()) -> str:
    for spaced, joined in WITHOUT_SPACE.items():
        if spaced not in besides:
            text = text.replace(spaced, joined)
    return text
