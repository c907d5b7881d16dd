"""Compares normalisation and word splitting with the `tokenizers` library on every code point; prints what differs.

A program of its own, started by test_against_tokenizers.py: the run-time checks of annotations that the tests switch on
would make millions of calls take many minutes.
"""

from itertools import product

from tokenizers import normalizers, pre_tokenizers

from minibert.tokenizer.normalization import Normalizer
from minibert.tokenizer.word_splitting import split_words

CODE_POINTS = [code_point for code_point in range(0x110000) if not 0xD800 <= code_point < 0xE000]
# Alone, between letters, and between marks of classes 230 and 1, which show its own combining class.
FORMS = ["{}", "a{}b", "a\u0301{}\u0334"]
# Spaces keep the characters of one text apart, and few long texts take less time than millions of short ones.
CHUNK = 256


def main() -> None:
    """Prints a line for each block of code points with a difference, and at the end how many were compared."""
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    compared = 0
    for lower_case, strip_accents, form in product((True, False), (True, False), FORMS):
        reference = normalizers.BertNormalizer(strip_accents=strip_accents, lowercase=lower_case)
        ours = Normalizer(space_cjk=True, strip_accents=strip_accents, lower_case=lower_case)
        for start in range(0, len(CODE_POINTS), CHUNK):
            chunk = CODE_POINTS[start : start + CHUNK]
            text = " ".join(form.replace("{}", chr(code_point)) for code_point in chunk)
            expected = reference.normalize_str(text)
            words = [word for word, _ in pre_tokenizer.pre_tokenize_str(expected)]
            found = ours(text)
            if (found, split_words(found)) != (expected, words):
                print(f"U+{chunk[0]:04X} to U+{chunk[-1]:04X} differ: {lower_case=} {strip_accents=} {form!a}")
            compared += len(chunk)
    print(f"{compared} compared")


if __name__ == "__main__":
    main()
