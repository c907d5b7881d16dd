"""Sentence vectors from real text: a checkpoint's own pooling recipe, batching by length, similarity."""

from minibert.features.recipe import Recipe
from minibert.features.sentences import Features, cosine_similarity

__all__ = ["Features", "Recipe", "cosine_similarity"]
