"""A baseline to beat: static word vectors, from files or from what BERT itself starts from."""

from minibert.training.baseline.word_vectors import WordVectors, input_embeddings, read_word_vectors
from minibert.training.baseline.words import out_of_vocabulary, table_for, word_tokenizer, words_of

__all__ = [
    "WordVectors",
    "input_embeddings",
    "out_of_vocabulary",
    "read_word_vectors",
    "table_for",
    "word_tokenizer",
    "words_of",
]
