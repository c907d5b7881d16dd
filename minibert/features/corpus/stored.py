"""Vectors of sentences that `minibert embed` wrote, read back with their receipt: compared with their own kind only."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from minibert.errors import InputError, shown
from minibert.features.corpus.options import CorpusOptions
from minibert.features.corpus.receipt import check_receipt, read_receipt
from minibert.features.corpus.sources.parquet import import_pyarrow
from minibert.features.layers import Layers
from minibert.strict_json import parse_json


@dataclass(frozen=True)
class StoredVectors:
    """A file of sentence vectors: `features.search("a film", StoredVectors.read("vectors.npy"))`."""

    path: Path
    vectors: Float[np.ndarray, "texts width"]
    """Of an .npy they stay in the file until they are needed; of the other formats they are in memory."""
    texts: Sequence[str] | None
    """What each row is the vector of; an .npy does not say."""
    receipt: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> "StoredVectors":
        """The vectors of a .npy, .npz, .jsonl or .parquet.

        Raises InputError for a file without its receipt, one that cannot be read, and one of words or tokens.
        """
        path = Path(path)
        receipt = read_receipt(path)
        if receipt.get("level") != "sentences":
            raise InputError(
                f"{path} holds vectors of {shown(receipt.get('level'))}; expected those of sentences; write some with "
                "`minibert embed --level sentences`"
            )
        reader = _READERS.get(path.suffix)
        if reader is None:
            raise InputError(f"{path} ends in {path.suffix!r}; expected one of {', '.join(_READERS)}")
        try:
            vectors, texts = reader(path, receipt)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
            raise InputError(f"{path} cannot be read: {problem}; write the vectors again with `minibert embed`") from None
        # Those of Ray's batches have no counts.
        counts = receipt.get("counts", {"rows": vectors.shape[0], "width": vectors.shape[-1]})
        expected = tuple(counts.get(name) for name in ("rows", "width")) if isinstance(counts, Mapping) else ()
        if vectors.shape != expected or (texts is not None and len(texts) != len(vectors)):
            raise InputError(
                f"{path} holds vectors of shape {list(vectors.shape)}, and its receipt says {list(expected)}; write the vectors "
                "again with `minibert embed`"
            )
        return cls(path, vectors, texts, receipt)

    @property
    def model(self) -> str:
        """The name or path of the checkpoint that made them, as it was given."""
        return str(self.receipt.get("model"))

    def options_for(self, features: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of `Features.sentences` that give vectors of this kind.

        `features` is what will give them, and `given` the options that were asked for. Raises InputError, saying what differs,
        where its weights, its tokenizer or one of the options is not what made these vectors; what is done with long texts, and
        the dtype of the products, may differ.
        """
        kept: dict[str, Any] = {name: self.receipt.get(name) for name in ("layers", "pooling", "normalize", "dim", "on_long")}
        if isinstance(kept["layers"], dict):
            kept["layers"] = Layers.of(kept["layers"])
        options = kept | {name: value for name, value in given.items() if name in kept}
        check_receipt(self.receipt, features.name_or_path, features, CorpusOptions(**options), str(self.path))
        return options | dict(given)


def _from_npy(path: Path, receipt: Mapping[str, Any]) -> tuple[np.ndarray, None]:
    return np.load(path, mmap_mode="r", allow_pickle=False), None


def _from_npz(path: Path, receipt: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    with np.load(path, allow_pickle=False) as archive:
        if "texts" in archive:
            return archive["vectors"], archive["texts"].tolist()
        data, ends = archive["texts_utf8"].tobytes(), archive["texts_ends"].tolist()
        return archive["vectors"], [data[begin:end].decode() for begin, end in zip([0, *ends], ends, strict=False)]


def _from_jsonl(path: Path, receipt: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    texts: list[str] = []
    vectors: list[np.ndarray] = []
    with open(path, "rb") as file:
        for number, line in enumerate(io.BufferedReader(file), start=1):
            entry = parse_json(line.removesuffix(b"\n"), f"line {number:,} of {path}", error=InputError)
            texts.append(entry["text"])
            vectors.append(np.array(entry["vector"], np.float32))
    return np.stack(vectors), texts


def _from_parquet(path: Path, receipt: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    pyarrow = import_pyarrow()
    text_column, vector_column = receipt.get("text_column", "text"), receipt.get("vector_column", "vector")
    try:
        file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
        table = file.read(columns=[text_column, vector_column])
        vectors = table[vector_column].combine_chunks()
        numbers = vectors.flatten().to_numpy().reshape(len(vectors), vectors.type.list_size)
        return numbers, table[text_column].to_pylist()
    except (pyarrow.ArrowException, AttributeError, TypeError) as problem:
        raise ValueError(" ".join(str(problem).split())[:300]) from None


_READERS = {".npy": _from_npy, ".npz": _from_npz, ".jsonl": _from_jsonl, ".parquet": _from_parquet}
