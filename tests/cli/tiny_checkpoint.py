"""A checkpoint small enough for every command, with a vocabulary of the test's own."""

from collections.abc import Sequence
from pathlib import Path

WORDS = ["the", "bank", "of", "a", "river", "raised", "its", "rates"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"[unused{number}]" for number in range(24))]
"""Of the 37 rows, for texts about a bank."""
TINY = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"


def tiny_checkpoint(folder: Path, vocabulary: Sequence[str]) -> Path:
    """Writes the checkpoint of 2 layers, 37 rows in the table of word embeddings, one for each token, and 19 positions."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((TINY / name).read_bytes())
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return folder
