"""An engine without a model, fast and unforgiving: each vector depends on the text and on all texts that it is computed with."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from minibert.config import BertConfig
from minibert.features.recipe import Recipe
from minibert.tokenizer import TokenizerSettings

WIDTH = 6
MAX_WORDS = 8
TINY = Path(__file__).parents[2] / "goldens" / "tiny" / "gelu"


class Vectors(np.ndarray):
    truncated = 0
    number_of_tokens = 0


class Rows(list):
    truncated = 0
    number_of_tokens = 0


@dataclass
class FakeFeatures:
    recipe: Recipe = field(default_factory=lambda: Recipe("mean", True))
    max_length: int = MAX_WORDS
    device: str = "none"
    chunks: list[list[str]] = field(default_factory=list)
    """What it was given, call by call."""

    def __post_init__(self) -> None:
        self.model = SimpleNamespace(config=BertConfig(hidden_size=WIDTH, num_attention_heads=1))
        self.tokenizer = SimpleNamespace(settings=TokenizerSettings(), vocabulary=SimpleNamespace(tokens=("[PAD]", "a")))

    def sentences(self, texts: Sequence[str], dtype: str = "float32", dim: int | None = None, **options: Any) -> Vectors:
        self.chunks.append(list(texts))
        vectors = np.stack([numbers(text, texts, options) for text in texts])[:, :dim].astype(dtype).view(Vectors)
        vectors.truncated = sum(len(text.split()) > MAX_WORDS for text in texts)
        vectors.number_of_tokens = sum(len(text.split()) for text in texts)
        return vectors

    def words(self, texts: Sequence[str], dtype: str = "float32", **options: Any) -> Rows:
        rows = Rows(self._words(text, texts, dtype, options) for text in texts)
        rows.truncated = sum(len(text.split()) > MAX_WORDS for text in texts)
        return rows

    def tokens(self, texts: Sequence[str], **options: Any) -> Rows:
        rows = self.words(texts, **options)
        for row in rows:
            row.tokens, row.is_special = row.words, np.arange(len(row.words)) == 0
        return rows

    def _words(self, text: str, texts: Sequence[str], dtype: str, options: dict[str, Any]) -> SimpleNamespace:
        words = text.split()[:MAX_WORDS]
        starts = [text.index(word) for word in words]
        return SimpleNamespace(
            words=words,
            spans=np.array([(start, start + len(word)) for start, word in zip(starts, words, strict=True)]).reshape(-1, 2),
            vectors=np.array([numbers(word, texts, options) for word in words], dtype).reshape(-1, WIDTH),
        )


def numbers(text: str, texts: Sequence[str], options: dict[str, Any]) -> np.ndarray:
    seed = zlib.crc32(repr((text, texts, sorted(options.items()))).encode())
    return np.random.default_rng(seed).standard_normal(WIDTH)


def fake_facts(name_or_path: str | Path, features: Any) -> dict[str, Any]:
    """In place of the real ones, which take their time."""
    return {"model": str(name_or_path), "weights_sha256": "0" * 64, "config": {"hidden_act": "gelu_erf"}}


def some_texts(number: int) -> list[str]:
    """Among them an empty one, long ones, and letters of several bytes."""
    words = ["the", "bank", "of", "a", "river", "é", "漢字", "raised", "🚀", "its", "rates"]
    random = np.random.default_rng(number)
    return [" ".join(random.choice(words, random.integers(0, 12))) for _ in range(number)]
