"""Text -> the text that is split into words: the first half of BERT's "basic tokenization".

In order, as `BertNormalizer` of the `tokenizers` library does it (the original is `BasicTokenizer` in
google-research/bert, tokenization.py):

1. delete control characters, make every whitespace character a space;
2. put spaces round every CJK ideograph (Chinese is written without them; Japanese and Korean syllables stay together);
3. decompose (NFD) and delete nonspacing marks, which strips accents;
4. lower-case, one character at a time: a capital sigma always becomes σ, never the ς of a word's end.

The character classes are frozen (`unicode_tables`), so that the ids are the same under every Python version.
Decompositions and combining classes do come from `unicodedata`, but only for characters where Unicode promises never
to change them.
"""

import re
import unicodedata
from dataclasses import dataclass

from minibert.tokenizer import unicode_tables
from minibert.tokenizer.code_points import CharacterTable, CodePoints, read_case_table

DROPPED = CodePoints(unicode_tables.DROPPED)
WHITESPACE = CodePoints(unicode_tables.WHITESPACE)
CJK = CodePoints(unicode_tables.CJK)
DECOMPOSED = CodePoints(unicode_tables.DECOMPOSED)
ORDERED = CodePoints(unicode_tables.ORDERED)
NONSPACING_MARKS = CodePoints(unicode_tables.NONSPACING_MARKS)
LOWER_CASE = read_case_table(unicode_tables.LOWER_CASE) | unicode_tables.LOWER_CASE_SEQUENCES


@dataclass(frozen=True)
class Normalizer:
    """The normalisation of one checkpoint: which of the steps 2 to 4 it takes. `normalizer(text)` applies them.

    `space_cjk` is `tokenize_chinese_chars` of tokenizer_config.json, `lower_case` its `do_lower_case`.
    """

    space_cjk: bool
    strip_accents: bool
    lower_case: bool

    def __call__(self, text: str) -> str:
        """The normalised text, whose only whitespace is the space; takes time linear in the text's length."""
        text = clean(text)
        if self.space_cjk:
            text = put_spaces_round_cjk(text)
        if self.strip_accents:
            text = strip_accents(text)
        if self.lower_case:
            text = lower_case(text)
        return text


def clean(text: str) -> str:
    """`text` without control, format and private characters, U+0000 and U+FFFD, and with spaces for all whitespace."""
    return text.translate(_CLEANED)


def put_spaces_round_cjk(text: str) -> str:
    """`text` with a space before and after every CJK ideograph."""
    return text if text.isascii() else text.translate(_SPACED)


def strip_accents(text: str) -> str:
    """`text` decomposed, without its nonspacing marks."""
    return text if text.isascii() else decompose(text).translate(_WITHOUT_MARKS)


def lower_case(text: str) -> str:
    """`text` with each character lower-cased by itself."""
    return text.translate(_LOWER_CASE)


def decompose(text: str) -> str:
    """Unicode normalisation form D of `text`, in linear time.

    `unicodedata.normalize` orders marks by insertion, which takes quadratic time on long runs of them: 80,000 marks
    on one letter stop a program for seconds. Here characters are decomposed one at a time and the runs sorted.
    """
    return _RUN_OF_MARKS.sub(_in_canonical_order, text.translate(_DECOMPOSITIONS))


def _in_canonical_order(run: re.Match[str]) -> str:
    # The sort is stable: marks of the same class stay in the order of the text, as the standard demands.
    return "".join(sorted(run.group(), key=unicodedata.combining))


def _cleaned(character: str) -> str:
    # Several control characters, such as the form feed, are whitespace too: being dropped goes first.
    if ord(character) in DROPPED:
        return ""
    return " " if ord(character) in WHITESPACE else character


def _spaced(character: str) -> str:
    return f" {character} " if ord(character) in CJK else character


def _decomposition(character: str) -> str:
    return unicodedata.normalize("NFD", character) if ord(character) in DECOMPOSED else character


def _without_marks(character: str) -> str:
    return "" if ord(character) in NONSPACING_MARKS else character


def _lower_cased(character: str) -> str:
    return LOWER_CASE.get(ord(character), character)


_CLEANED = CharacterTable(_cleaned)
_SPACED = CharacterTable(_spaced)
_DECOMPOSITIONS = CharacterTable(_decomposition)
_WITHOUT_MARKS = CharacterTable(_without_marks)
_LOWER_CASE = CharacterTable(_lower_cased)
_RUN_OF_MARKS = re.compile(f"[{ORDERED.in_brackets()}]{{2,}}")
