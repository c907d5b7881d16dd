"""The default checkpoint's features, made once for all tests of this folder."""

from pathlib import Path

import pytest

from minibert import Features

TINY = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"


@pytest.fixture(scope="session")
def features(minilm_folder: Path) -> Features:
    return Features(minilm_folder)


WORDS = ("the", "bank", "of", "a", "river", "raised", "its", "rates")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random checkpoint that knows eight words."""
    folder = tmp_path_factory.mktemp("tiny")
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((TINY / name).read_bytes())
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    unused = [f"[unused{number}]" for number in range(37 - len(tokens))]
    (folder / "vocab.txt").write_text("\n".join([*tokens, *unused]) + "\n")
    return folder
