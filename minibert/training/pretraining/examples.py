"""Rows of two segments as google-research/bert makes them (create_pretraining_data.py, create_instances_from_document).

Sentences of a document are gathered until they reach the wanted length, and divided at a random one into segments A and B. In
half of the cases B is dropped, its sentences begin the next row, and a piece of another document takes its place: label 1,
else 0 (Devlin et al. 2018, section 3.1, task 2). The wanted length is the whole row, or for one document of ten any shorter one.

A last sentence that stands alone has nothing behind it: its B is always another document's. So short documents give more ones
than zeros, in Google's code too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from minibert.tokenizer import Tokenizer
from minibert.training.losses import IGNORED
from minibert.training.pretraining.corpus import Corpus
from minibert.training.pretraining.masking import Masking

IS_NEXT, IS_RANDOM = 0, 1
STREAM = 1
"""Tells these random numbers from others of the same seed."""


class Example(NamedTuple):
    """A row to learn from."""

    input_ids: np.ndarray
    """int32 [tokens]: what the model sees, [CLS] and [SEP] included."""
    first_length: int
    """So many of them belong to the first segment, with [CLS] and the first [SEP]."""
    next_sentence: int
    """IS_NEXT, IS_RANDOM, or IGNORED for a row of one segment."""
    positions: np.ndarray
    """int32 [masked], rising: which tokens are to be predicted."""
    originals: np.ndarray
    """int32 [masked]: what they are."""


class Segments(NamedTuple):
    """What a row is made of."""

    first: np.ndarray
    second: np.ndarray | None
    is_random: bool


@dataclass(frozen=True)
class ExampleMaker:
    """Rows of documents.

    Args:
        corpus: where the documents are.
        tokenizer: for [CLS] and [SEP].
        masking: what is hidden in a row.
        max_length: of a row in tokens.
        short_share: of the documents give rows of a shorter length, drawn for each.
        next_sentence: whether rows have two segments.
        seed: of all that is drawn.
    """

    corpus: Corpus
    tokenizer: Tokenizer
    masking: Masking
    max_length: int
    short_share: float
    next_sentence: bool
    seed: int

    def examples(self, documents: Sequence[int] | np.ndarray, number: int = 0) -> Iterator[Example]:
        """The rows of these documents, one after the other; second segments come from among them only.

        Of each document they depend on the seed and on `number`, that of the pass, and not on what was made before.
        """
        for place, document in enumerate(documents):
            random = np.random.default_rng([self.seed, number, int(document), STREAM])
            found = self._pairs(documents, place, random) if self.next_sentence else self._singles(int(document), random)
            for segments in found:
                yield self._example(segments, random)

    def _example(self, segments: Segments, random: Generator) -> Example:
        classification, separator = self._special_ids
        parts = [classification, segments.first, separator]
        first_length = len(segments.first) + 2
        label = IGNORED
        if segments.second is not None:
            parts += [segments.second, separator]
            label = IS_RANDOM if segments.is_random else IS_NEXT
        masked = self.masking(np.concatenate(parts), random)
        return Example(masked.input_ids, first_length, label, masked.positions, masked.originals)

    @cached_property
    def _special_ids(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([self.tokenizer.cls_token_id], np.int32), np.array([self.tokenizer.sep_token_id], np.int32)

    def _wanted(self, room: int, random: Generator) -> int:
        """How many tokens the rows of a document are to have, of at most `room`."""
        return int(random.integers(2, room + 1)) if random.random() < self.short_share else room

    def _pairs(self, documents: Sequence[int] | np.ndarray, place: int, random: Generator) -> Iterator[Segments]:
        corpus, room = self.corpus, self.max_length - 3
        wanted = self._wanted(room, random)
        begin, last = corpus.sentences_of(int(documents[place]))
        end = begin
        while end < last:
            end += 1
            if end < last and corpus.tokens_before(end) - corpus.tokens_before(begin) < wanted:
                continue
            middle = begin + (int(random.integers(1, end - begin)) if end - begin > 1 else 1)
            first = corpus.tokens_of(begin, middle)
            is_random = end - begin == 1 or random.random() < 0.5
            if is_random:
                second = self._elsewhere(documents, place, wanted - len(first), random)
                end = middle
            else:
                second = corpus.tokens_of(middle, end)
            yield Segments(*_cut(first, second, room, random), is_random)
            begin = end

    def _elsewhere(self, documents: Sequence[int] | np.ndarray, place: int, wanted: int, random: Generator) -> np.ndarray:
        """Sentences from a random one of another document on, until they have so many tokens or the document ends."""
        other = int(random.integers(0, len(documents) - 1))
        begin, last = self.corpus.sentences_of(int(documents[other + (other >= place)]))
        begin = int(random.integers(begin, last))
        start, end = self.corpus.tokens_before(begin), begin + 1
        while end < last and self.corpus.tokens_before(end) - start < wanted:
            end += 1
        return self.corpus.tokens_of(begin, end)

    def _singles(self, document: int, random: Generator) -> Iterator[Segments]:
        """As many whole sentences as fit; a longer one is divided. Nothing is left out, and nothing comes twice."""
        wanted = self._wanted(self.max_length - 2, random)
        sentence, last = self.corpus.sentences_of(document)
        begin, end = self.corpus.tokens_before(sentence), self.corpus.tokens_before(last)
        while begin < end:
            while sentence < last and self.corpus.tokens_before(sentence + 1) <= begin + wanted:
                sentence += 1
            whole = self.corpus.tokens_before(sentence)
            stop = whole if whole > begin else begin + wanted
            yield Segments(self.corpus.tokens_between(begin, stop), None, False)
            begin = stop


def _cut(first: np.ndarray, second: np.ndarray, room: int, random: Generator) -> tuple[np.ndarray, np.ndarray]:
    """The two with at most `room` tokens together: one by one from the longer one, at its front or back by chance.

    Of two that are as long the second one loses a token.
    """
    long, short = max(len(first), len(second)), min(len(first), len(second))
    surplus = max(0, long + short - room)
    # The longer one loses until both are as long; then they lose in turn, the second one first.
    alone = min(surplus, long - short)
    in_turn = surplus - alone
    losses = [in_turn // 2, in_turn - in_turn // 2]
    losses[0 if len(first) > len(second) else 1] += alone
    cut = []
    for tokens, loss in zip((first, second), losses, strict=True):
        at_front = int(random.binomial(loss, 0.5))
        cut.append(tokens[at_front : len(tokens) - (loss - at_front)])
    return cut[0], cut[1]
