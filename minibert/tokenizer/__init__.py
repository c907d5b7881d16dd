"""Text to ids and back: normalisation, word splitting, WordPiece, pairs, truncation, padding."""
