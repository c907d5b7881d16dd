"""Normalised text -> words: the second half of BERT's "basic tokenization".

This is `BertPreTokenizer` of the `tokenizers` library; the original is `_run_split_on_punc` in google-research/bert.
"""

import re

from minibert.tokenizer.code_points import CodePoints


def word_pattern(punctuation: CodePoints) -> re.Pattern[str]:
    """Finds the words of normalised text: runs between spaces, where each punctuation character is a word of its own."""
    return re.compile("[{0}]|[^ {0}]+".format(punctuation.in_brackets()))
