"""Vectors of words from those of the pieces that WordPiece makes of them."""

import numpy as np
from jaxtyping import Float, Int32

from minibert.features.results import TokenVectors, WordVectors

MERGES = ("mean", "first", "last")
"""A word's vector is the mean over its pieces, or that of its first or last."""


def words_of(tokens: TokenVectors, word_ids: Int32[np.ndarray, " tokens"], merge: str) -> WordVectors:
    """The words of a text, as BERT splits it at spaces and punctuation; `word_ids` are −1 for [CLS] and [SEP].

    Every occurrence is a word of its own: "the bank by the bank" has two vectors for `bank`.
    """
    places = np.flatnonzero(word_ids >= 0)
    of_words = word_ids[places]
    begins = np.flatnonzero(np.diff(of_words, prepend=-1))
    lengths = np.diff(begins, append=len(places))
    ends = begins + lengths - 1
    if len(begins) == 0:
        return WordVectors(tokens.text, [], np.zeros((0, 2), np.int32), tokens.vectors[:0])
    spans = np.stack([tokens.spans[places[begins], 0], tokens.spans[places[ends], 1]], axis=1)
    if merge == "mean":
        vectors: Float[np.ndarray, "words width"] = np.add.reduceat(tokens.vectors[places], begins, axis=0) / lengths[:, None]
        vectors = vectors.astype(tokens.vectors.dtype)
    else:
        vectors = tokens.vectors[places[begins if merge == "first" else ends]]
    return WordVectors(tokens.text, [tokens.text[begin:end] for begin, end in spans.tolist()], spans, vectors)
