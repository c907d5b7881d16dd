"""Normalised text -> words: the second half of BERT's "basic tokenization".

This is `BertPreTokenizer` of the `tokenizers` library; the original is `_run_split_on_punc` in google-research/bert.
"""

import re

from minibert.tokenizer import unicode_tables
from minibert.tokenizer.code_points import CodePoints

PUNCTUATION = CodePoints(unicode_tables.PUNCTUATION)

_WORD = re.compile("[{0}]|[^ {0}]+".format(PUNCTUATION.in_brackets()))


def split_words(text: str) -> list[str]:
    """The words of normalised `text`: runs between spaces, where each punctuation character is a word of its own."""
    return _WORD.findall(text)
