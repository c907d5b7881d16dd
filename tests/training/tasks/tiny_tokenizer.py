"""A tokenizer of a few words and pieces, whose words all begin with a letter of their own."""

from minibert.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, "cat", "##s", "dog", "##gy", "sat", "mat", "on", "the", ".", "un", "##aff", "##able", "who", "?"]
TOKENIZER = Tokenizer(TOKENS)

WORDS = ("cat", "cats", "dog", "doggy", "sat", "unaffable", "catssss", "the.", "Mat", "zebra")
"""Of one piece up to five; the last one is unknown."""


def tokens_of(ids: object) -> str:
    """A row of ids as its tokens with spaces between."""
    return " ".join(TOKENIZER.convert_ids_to_tokens(ids))  # type: ignore[arg-type]
