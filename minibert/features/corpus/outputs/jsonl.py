"""`.jsonl`: a text a line with its vector, or with its words or tokens, their spans and vectors."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from minibert.features.corpus.engine import EmbeddedChunk
from minibert.features.corpus.outputs.output import Pieces
from minibert.features.corpus.work import Work


class JsonLinesOutput:
    """Lines of JSON; a number has the digits that give the same float32 back."""

    holds_receipt = False

    def __init__(self, level: str) -> None:
        self.level = level
        self.starts = {"lines": b""}

    def pieces(self, chunk: EmbeddedChunk) -> Pieces:
        """The lines of the chunk's texts."""
        lines = _sentences(chunk) if self.level == "sentences" else _pieces(chunk, self.level)
        return {"lines": "".join(lines).encode()}

    def finish(self, work: Work, totals: Mapping[str, int], receipt: str) -> Path:
        """What was appended is the file."""
        return work.stream("lines")


def _sentences(chunk: EmbeddedChunk) -> Iterator[str]:
    for text, vector in zip(chunk.texts, _numbers(chunk.vectors), strict=True):
        yield f'{{"text": {_string(text)}, "vector": {vector}}}\n'


def _pieces(chunk: EmbeddedChunk, level: str) -> Iterator[str]:
    assert chunk.pieces is not None and chunk.spans is not None
    vectors, ends = list(_numbers(chunk.vectors)), chunk.rows_of_texts.tolist()
    for text, begin, end in zip(chunk.texts, ends, ends[1:], strict=False):
        fields = {"text": _string(text), level: json.dumps(chunk.pieces[begin:end], ensure_ascii=False)}
        fields["spans"] = json.dumps(chunk.spans[begin:end].tolist())
        if chunk.is_special is not None:
            fields["is_special"] = json.dumps(chunk.is_special[begin:end].tolist())
        fields["vectors"] = f"[{', '.join(vectors[begin:end])}]"
        yield "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}\n"


def _numbers(vectors: np.ndarray) -> Iterator[str]:
    """The rows as JSON lists, each by one formatting, which is faster than number by number."""
    digits = 9 if vectors.dtype == np.float32 else 5
    form = f"[{', '.join([f'%.{digits}g'] * vectors.shape[1])}]"
    for row in vectors:
        yield form % tuple(row.tolist())


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
