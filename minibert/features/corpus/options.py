"""What is made of a corpus: which vectors, of which texts together, in which numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minibert.errors import InputError, shown
from minibert.features.documents import ON_LONG
from minibert.features.layers import Layers
from minibert.features.pooling import POOLINGS
from minibert.features.results import OUTPUT_DTYPES
from minibert.features.words import MERGES

LEVELS = ("sentences", "words", "tokens")


@dataclass(frozen=True)
class ChunkSize:
    """Where one chunk ends and the next begins: after so many texts, or once their UTF-8 has so many bytes.

    The rounding of a vector depends on the texts that it is computed with. A resume must therefore cut the same chunks.
    """

    texts: int
    bytes: int


CHUNK_SIZES = {
    "sentences": ChunkSize(texts=2048, bytes=1 << 24),
    "words": ChunkSize(texts=256, bytes=1 << 20),
    "tokens": ChunkSize(texts=256, bytes=1 << 20),
}
"""By the level: a chunk's vectors are in memory at once, and a text has hundreds of tokens."""


@dataclass(frozen=True)
class CorpusOptions:
    """What `Features` is asked for.

    Args:
        level: `sentences`, `words` or `tokens`: what has a vector each.
        layers: as `Features` takes it.
        pooling, normalize: of sentences; None means the checkpoint's own recipe.
        merge: how the parts of a word become its vector: `mean`, `first` or `last`.
        dim: how many of the first dimensions are kept; None means all.
        on_long: what happens to a text over the model's limit: `truncate`, `window` or `error`.
        output_dtype: `float32` or `float16`, of the vectors that are kept.

    Raises InputError for a value that is none of these.
    """

    level: str = "sentences"
    layers: Layers | str | int | Sequence[int] = "last"
    pooling: str | None = None
    normalize: bool | None = None
    merge: str = "mean"
    dim: int | None = None
    on_long: str = "truncate"
    output_dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("level", LEVELS),
            ("pooling", (None, *POOLINGS)),
            ("merge", MERGES),
            ("on_long", ON_LONG),
            ("output_dtype", OUTPUT_DTYPES),
        ):
            value = getattr(self, name)
            if value not in allowed:
                known = ", ".join(str(each) for each in allowed if each is not None)
                raise InputError(f"{name} is {shown(value)}; expected one of {known}")
        Layers.of(self.layers)
        if self.dim is not None and (type(self.dim) is not int or self.dim < 1):
            raise InputError(f"dim is {shown(self.dim)}; expected a whole number from 1 upwards")
        if self.level != "sentences" and (self.pooling is not None or self.normalize is not None):
            raise InputError(f"pooling and normalize belong to sentences; leave them out for {self.level}")

    def as_json(self) -> dict[str, Any]:
        """The options that count at this level, as a receipt has them."""
        layers: Any = self.layers
        if isinstance(layers, Layers):
            layers = layers.to_json()
        elif not isinstance(layers, str | int):
            layers = list(layers)
        values: dict[str, Any] = {
            "level": self.level,
            "layers": layers,
            "dim": self.dim,
            "on_long": self.on_long,
            "output_dtype": self.output_dtype,
        }
        if self.level == "sentences":
            values |= {"pooling": self.pooling, "normalize": self.normalize}
        if self.level == "words":
            values["merge"] = self.merge
        return values
