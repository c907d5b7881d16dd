"""Compares ids, offsets and words with the `tokenizers` library on COUNT random texts; prints what differs.

    python many_random_texts.py FOLDER COUNT

FOLDER holds a vocab.txt; a vocabulary that spells most scripts is tried besides. A program of its own, started by
test_against_tokenizers.py, so that the run-time checks of annotations do not slow it down.
"""

import sys
from itertools import product
from pathlib import Path

from hostile_texts import SETTINGS, hostile_vocabulary, random_texts
from reference_tokenizer import different_texts, reference_tokenizer

from minibert.tokenizer import Tokenizer, TokenizerSettings
from minibert.tokenizer.vocabulary import Vocabulary, read_vocabulary


def main() -> None:
    """Prints a line for each text with a difference, and at the end how many were compared."""
    texts = random_texts(int(sys.argv[2]))
    vocabularies = [read_vocabulary(Path(sys.argv[1]) / "vocab.txt"), Vocabulary(hostile_vocabulary())]
    compared = 0
    for vocabulary, settings in product(vocabularies, SETTINGS):
        ours = Tokenizer(vocabulary, TokenizerSettings(**settings))
        reference = reference_tokenizer(
            vocabulary.ids,
            lower_case=settings["do_lower_case"],
            strip_accents=settings.get("strip_accents"),
            space_cjk=settings.get("tokenize_chinese_chars", True),
        )
        for place in different_texts(ours, reference, texts):
            print(f"{settings}: {texts[place]!a}")
        compared += len(texts)
    print(f"{compared} compared")


if __name__ == "__main__":
    main()
