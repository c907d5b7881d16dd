"""Which tokens are hidden, and behind what (Devlin et al. 2018, section 3.1, task 1 and appendix A.1).

Of the tokens of a row 15 % are to be predicted, and of these 80 % become [MASK], 10 % another token and 10 % stay as they are.
Source: google-research/bert, create_pretraining_data.py, create_masked_lm_predictions.

Where we differ: a token that replaces another is never a special one; [UNK] is never to be predicted; and pieces of a word
never belong together over a [SEP].
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from minibert.tokenizer import Tokenizer

BECOMES_MASK, BECOMES_MASK_OR_ANOTHER = 0.8, 0.9


class MaskedRow(NamedTuple):
    """A row and what is to be found out about it."""

    input_ids: np.ndarray
    """int32 [tokens]: what the model sees."""
    positions: np.ndarray
    """int32 [masked], rising: what it is asked for."""
    originals: np.ndarray
    """int32 [masked]: what stood there."""


@dataclass(frozen=True)
class Masking:
    """How rows are masked.

    Args:
        mask_token_id: of [MASK].
        is_maskable: bool [vocab]: whether a token may be hidden, which special ones may not.
        is_continuation: bool [vocab]: whether a token goes on with the word of the one before it.
        share: of the tokens of a row, [CLS] and [SEP] counted too, are to be predicted.
        most: so many of a row at most.
        whole_word: whether the pieces of a word are hidden together or not at all.
    """

    mask_token_id: int
    is_maskable: np.ndarray
    is_continuation: np.ndarray
    share: float
    most: int
    whole_word: bool

    @classmethod
    def of(cls, tokenizer: Tokenizer, *, share: float, most: int, whole_word: bool) -> "Masking":
        """That of a tokenizer's vocabulary."""
        is_maskable = np.ones(len(tokenizer.vocabulary), np.bool_)
        is_maskable[tokenizer.convert_tokens_to_ids(tokenizer.settings.whole_tokens)] = False
        is_continuation = np.array([token.startswith("##") for token in tokenizer.vocabulary.tokens], np.bool_)
        return cls(tokenizer.mask_token_id, is_maskable, is_continuation & is_maskable, share, most, whole_word)

    def __call__(self, ids: np.ndarray, random: Generator) -> MaskedRow:
        """A row with some of its tokens hidden, drawn by `random` alone.

        One at least is hidden, unless the row has none that may be, or, of whole words, only some of more than `most` pieces.
        """
        maskable = np.flatnonzero(self.is_maskable[ids])
        wanted = min(self.most, max(1, round(len(ids) * self.share)))
        positions = self._words(ids, maskable, wanted, random) if self.whole_word else random.permutation(maskable)[:wanted]
        positions = np.sort(positions).astype(np.int32)
        originals, hidden = ids[positions].astype(np.int32), ids.astype(np.int32)
        if not len(positions):
            return MaskedRow(hidden, positions, originals)
        drawn = random.random(len(positions))
        others = self._replacements[random.integers(0, len(self._replacements), len(positions))]
        shown = np.where(drawn < BECOMES_MASK, self.mask_token_id, np.where(drawn < BECOMES_MASK_OR_ANOTHER, others, originals))
        hidden[positions] = shown
        return MaskedRow(hidden, positions, originals)

    @cached_property
    def _replacements(self) -> np.ndarray:
        return np.flatnonzero(self.is_maskable)

    def _words(self, ids: np.ndarray, maskable: np.ndarray, wanted: int, random: Generator) -> np.ndarray:
        """The places of whole words, in a random order as many as fit; where none does, of the first of the shortest."""
        begins = ~self.is_continuation[ids[maskable]]
        begins |= np.diff(maskable, prepend=-2) > 1  # what does not stand beside the one before is no part of its word
        word_of = np.cumsum(begins) - 1
        lengths = np.bincount(word_of)
        order = random.permutation(len(lengths))
        is_chosen = np.zeros(len(lengths), np.bool_)
        left = wanted
        for word, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
            if length <= left:
                is_chosen[word] = True
                left -= length
                if not left:
                    break
        if left == wanted and len(order):
            shortest = order[lengths[order].argmin()]
            is_chosen[shortest] = lengths[shortest] <= self.most
        return maskable[is_chosen[word_of]]
