"""Texts, vocabularies and corpora that the tests of pre-training make for themselves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import minibert
from minibert.training.pretraining.corpus import Corpus
from minibert.training.pretraining.examples import Example, ExampleMaker
from minibert.training.pretraining.masking import Masking

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(5)
WORDS, PIECES = 4000, 1000
FIRST_WORD, FIRST_PIECE = len(SPECIAL), len(SPECIAL) + WORDS
TOKENIZER = minibert.Tokenizer(
    [*SPECIAL, *(f"w{number}" for number in range(WORDS)), *(f"##p{number}" for number in range(PIECES))]
)
"""Words and pieces that go on with a word."""


def masking(*, share: float = 0.15, most: int = 20, whole_word: bool = False) -> Masking:
    return Masking.of(TOKENIZER, share=share, most=most, whole_word=whole_word)


def corpus_of(folder: Path, documents: Sequence[Sequence[Sequence[int]]]) -> Corpus:
    """A corpus of these tokens, by document and sentence."""
    folder.mkdir(exist_ok=True)
    found = [sentence for document in documents for sentence in document]
    np.array([token for sentence in found for token in sentence], np.int32).tofile(folder / "tokens")
    np.cumsum([0, *map(len, found)], dtype=np.int64).tofile(folder / "sentences")
    np.cumsum([0, *map(len, documents)], dtype=np.int64).tofile(folder / "documents")
    return Corpus(folder)


def counted_documents(lengths: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    """Documents of sentences of these lengths in which every token is another word: its id says where it stands."""
    token, documents = FIRST_WORD, []
    for of_document in lengths:
        document = []
        for length in of_document:
            document.append(list(range(token, token + length)))
            token += length
        documents.append(document)
    assert token <= FIRST_PIECE
    return documents


def maker_of(
    corpus: Corpus, max_length: int = 32, *, pairs: bool = True, short_share: float = 0.1, seed: int = 0
) -> ExampleMaker:
    return ExampleMaker(
        corpus, TOKENIZER, masking(), max_length=max_length, short_share=short_share, next_sentence=pairs, seed=seed
    )


def unmasked(example: Example) -> list[int]:
    """The row as it was before it was masked."""
    ids = example.input_ids.copy()
    ids[example.positions] = example.originals
    return ids.tolist()


def segments_of(example: Example) -> tuple[list[int], list[int]]:
    """The tokens of both segments, without [CLS] and [SEP]; of a single one the second is empty."""
    ids = unmasked(example)
    return ids[1 : example.first_length - 1], ids[example.first_length : -1]


def within(found: float, of: int, share: float) -> bool:
    """Whether so many of so many are what chance gives; it gives others once in 15,000 times."""
    return abs(found - of * share) <= 4.0 * (of * share * (1.0 - share)) ** 0.5


COLOURS = ("red", "green", "blue", "black")
THINGS = ("house", "river", "bank", "tree")


def story(number: int, sentences: int = 6) -> list[str]:
    """A document in which every sentence is of one thing in one colour."""
    thing, colour = THINGS[number % 4], COLOURS[(number // 4) % 4]
    verbs = ("is", "was", "stays", "seems", "becomes", "looks")
    return [
        f"The {thing} {verbs[each % 6]} {colour} and the {thing} {verbs[(each + 1) % 6]} {colour}." for each in range(sentences)
    ]


def write_documents(path: Path, documents: Sequence[Sequence[str]]) -> Path:
    path.write_text("\n\n".join("\n".join(document) for document in documents) + "\n", encoding="utf-8")
    return path
