"""Whether a vocabulary is one of texts with capitals, which the files of Google's zips say nowhere but in the tokens."""

import re
from collections.abc import Collection, Iterable

FEW_CAPITALS = 0.01
"""The share of capitalised tokens, of those with letters, up to which a vocabulary is one of lower case: a third of them are
capitalised in BERT's cased vocabularies, none in the others. A few may have been added to one by hand, or are letters that
have had a small form only in later versions of Unicode."""

_IN_BRACKETS = re.compile(r"\[.*\]", re.DOTALL)


def capitals_and_letters(tokens: Iterable[str], special_tokens: Collection[str]) -> tuple[int, int]:
    """How many tokens have capitals, and how many have letters with case; special tokens and those in [] do not count."""
    capitals = letters = 0
    for token in tokens:
        small = token.lower()
        if small == token.upper() or token in special_tokens or _IN_BRACKETS.fullmatch(token):
            continue
        letters += 1
        capitals += small != token
    return capitals, letters


def has_capitals(tokens: Iterable[str], special_tokens: Collection[str]) -> bool:
    """Whether more than a few tokens have capitals, so that lower-casing the texts would lose them."""
    capitals, letters = capitals_and_letters(tokens, special_tokens)
    return capitals > FEW_CAPITALS * letters
