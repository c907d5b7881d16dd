"""A checkpoint that trains in a second."""

from pathlib import Path

import pytest

WORDS = ["the", "bank", "of", "a", "river", "raised", "its", "rates"]
TINY = Path(__file__).parents[2] / "goldens" / "tiny" / "gelu"


@pytest.fixture
def tiny_model_folder(tmp_path: Path) -> Path:
    """Two layers, 37 words, 19 positions."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((TINY / name).read_bytes())
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"[unused{number}]" for number in range(24))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return folder
