"""Compares ids, offsets and words with the `tokenizers` library on every code point; prints what differs.

    python every_code_point.py FOLDER [blocks]

FOLDER holds a vocab.txt. With `blocks` it compares the scripts and a sixteenth of the ideographs, of Hangul and of the
private code points, in seconds. A program of its own, started by test_against_tokenizers.py: the run-time checks of annotations
that the tests switch on would make millions of calls take many minutes.
"""

import sys
from itertools import chain, product
from pathlib import Path

from hostile_texts import BLOCKS, CODE_POINTS, code_point_texts
from reference_tokenizer import different_texts, reference_tokenizer
from tokenizers import normalizers, pre_tokenizers

from minibert.tokenizer import Tokenizer
from minibert.tokenizer.flavors import flavor_named
from minibert.tokenizer.normalization import Normalizer
from minibert.tokenizer.word_splitting import word_pattern

# Between marks of classes 230 and 1, which show its own combining class.
BETWEEN_MARKS = "a\u0301{}\u0334"
CHUNK = 256


def main() -> None:
    """Prints a line for each block of code points with a difference, and at the end how many were compared."""
    code_points = list(chain.from_iterable(BLOCKS)) if "blocks" in sys.argv else CODE_POINTS
    compared = compare_normalisation(code_points) + compare_tokens(code_points, Path(sys.argv[1]))
    print(f"{compared} compared")


def compare_normalisation(code_points: list[int]) -> int:
    """Step by step, in four settings: an id could hide a difference, as [UNK] does."""
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pattern = word_pattern(flavor_named("hf").punctuation)
    compared = 0
    for lower_case, strip_accents in product((True, False), (True, False)):
        reference = normalizers.BertNormalizer(strip_accents=strip_accents, lowercase=lower_case)
        ours = Normalizer(flavor_named("hf"), space_cjk=True, strip_accents=strip_accents, lower_case=lower_case)
        for start in range(0, len(code_points), CHUNK):
            chunk = code_points[start : start + CHUNK]
            text = " ".join(BETWEEN_MARKS.replace("{}", chr(code_point)) for code_point in chunk)
            expected = reference.normalize_str(text)
            words = [word for word, _ in pre_tokenizer.pre_tokenize_str(expected)]
            found = ours(text)
            if (found, pattern.findall(found)) != (expected, words):
                print(f"U+{chunk[0]:04X} to U+{chunk[-1]:04X} differ: {lower_case=} {strip_accents=}")
            compared += len(chunk)
    return compared


def compare_tokens(code_points: list[int], folder: Path) -> int:
    """Each code point alone, between letters and doubled, cased and uncased."""
    for do_lower_case in (True, False):
        ours = Tokenizer.from_folder(folder, do_lower_case=do_lower_case)
        reference = reference_tokenizer(ours.vocabulary.ids, lower_case=do_lower_case)
        for start in range(0, len(code_points), CHUNK):
            chunk = code_points[start : start + CHUNK]
            for place in different_texts(ours, reference, code_point_texts(chunk)):
                print(f"U+{chunk[0]:04X} to U+{chunk[-1]:04X} differ: {do_lower_case=} in text {place}")
    return 2 * len(code_points)


if __name__ == "__main__":
    main()
