"""Word and sentence vectors from real text: layers, pooling, packed batches, similarity; and the words behind masks."""

from minibert.features.corpus.stored import StoredVectors
from minibert.features.features import Features
from minibert.features.layers import Layers
from minibert.features.masked_words import FilledMask, FilledText, FilledWord, MaskedWords
from minibert.features.recipe import Recipe
from minibert.features.results import SentenceVectors, TokenVectors, WordVectors
from minibert.features.similarity import Hits, cosine_similarity, nearest

__all__ = [
    "Features",
    "FilledMask",
    "FilledText",
    "FilledWord",
    "Hits",
    "Layers",
    "MaskedWords",
    "Recipe",
    "SentenceVectors",
    "StoredVectors",
    "TokenVectors",
    "WordVectors",
    "cosine_similarity",
    "nearest",
]
