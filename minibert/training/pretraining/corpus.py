"""The tokens of all documents in three files, of which any sentence is found at once while hardly anything is in memory.

`tokens` has the ids of all sentences one behind the other, `sentences` where each sentence ends among them, `documents` where
each document ends among the sentences; both begin with a 0.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.errors import InputError
from minibert.tokenizer import Tokenizer
from minibert.training.pretraining.documents import Sentence, sentences

CHARACTERS_TOGETHER, SENTENCES_TOGETHER = 1 << 20, 1024
"""So much text is given to the tokenizer at a time."""


class Corpus:
    """The tokens in a folder where `tokenised` has put them, read as they are needed.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._tokens = mapped(folder / "tokens", np.int32)
        self._sentence_ends = mapped(folder / "sentences", np.int64)
        self._document_ends = mapped(folder / "documents", np.int64)

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self._document_ends) - 1

    def sentences_of(self, document: int) -> tuple[int, int]:
        """The number of a document's first sentence, and that behind its last, counted over all documents."""
        return int(self._document_ends[document]), int(self._document_ends[document + 1])

    def tokens_before(self, sentence: int) -> int:
        """How many tokens all sentences before this one have."""
        return int(self._sentence_ends[sentence])

    def tokens_of(self, first: int, last: int) -> np.ndarray:
        """int32 [tokens]: of the sentences from the first up to the last, which is not among them."""
        return self.tokens_between(self.tokens_before(first), self.tokens_before(last))

    def tokens_between(self, first: int, last: int) -> np.ndarray:
        """int32 [tokens]: those of these places among all tokens."""
        return self._tokens[first:last]


class Counts(NamedTuple):
    """What there is in a corpus."""

    documents: int
    sentences: int
    tokens: int
    unknown: int
    """Tokens that are [UNK]."""


def tokenised(paths: Sequence[Path], tokenizer: Tokenizer, folder: Path) -> Counts:
    """Write the tokens of text files into an empty folder.

    A sentence without a token, of control characters only, is left out, and a document of such ones too. Raises InputError as
    `sentences` does, and where nothing is left.
    """
    documents = sentence_count = tokens = unknown = 0
    last = -1
    zero = np.zeros(1, np.int64).tobytes()
    with (
        open(folder / "tokens", "wb") as token_file,
        open(folder / "sentences", "wb") as sentence_file,
        open(folder / "documents", "wb") as document_file,
    ):
        sentence_file.write(zero)
        for together in _portions(sentences(paths)):
            for sentence, ids in zip(together, _ids_of(tokenizer, together), strict=True):
                if not len(ids):
                    continue
                if sentence.document != last:
                    # Where the document before this one ends, or the first one begins.
                    document_file.write(np.int64(sentence_count).tobytes())
                    documents, last = documents + 1, sentence.document
                token_file.write(ids.tobytes())
                tokens += len(ids)
                unknown += int(np.count_nonzero(ids == tokenizer.unk_token_id))
                sentence_count += 1
                sentence_file.write(np.int64(tokens).tobytes())
        document_file.write(np.int64(sentence_count).tobytes())
    if not tokens:
        raise InputError(f"{paths[0]} has no word in it; expected sentences, not control characters alone")
    return Counts(documents, sentence_count, tokens, unknown)


def mapped(path: Path, dtype: type[np.generic]) -> np.ndarray:
    """The numbers in a file, which the system reads as they are looked at; one that is empty has none."""
    if not path.stat().st_size:
        return np.empty(0, dtype)
    # As a plain array, whose slices take a tenth of the time.
    return np.memmap(path, dtype, "r").view(np.ndarray)


def _portions(found: Iterable[Sentence]) -> Iterator[list[Sentence]]:
    together: list[Sentence] = []
    characters = 0
    for sentence in found:
        together.append(sentence)
        characters += len(sentence.text)
        if characters >= CHARACTERS_TOGETHER or len(together) == SENTENCES_TOGETHER:
            yield together
            together, characters = [], 0
    if together:
        yield together


def _ids_of(tokenizer: Tokenizer, together: Sequence[Sentence]) -> list[np.ndarray]:
    encoded = tokenizer(
        [sentence.text for sentence in together],
        add_special_tokens=False,
        padding=False,
        return_tensors=None,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return [np.array(ids, np.int32) for ids in encoded["input_ids"]]
