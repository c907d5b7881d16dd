"""Text to ids and back: BERT's WordPiece tokenizer in plain Python and NumPy."""

from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.tokenizer import Tokenizer
from minibert.tokenizer.vocabulary import Vocabulary

__all__ = ["Tokenizer", "TokenizerSettings", "Vocabulary"]
