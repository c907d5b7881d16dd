"""The one place where a corpus meets `Features`: a chunk of texts in, its vectors out."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.errors import InputError, LongTextError, TruncationWarning
from minibert.features.corpus.options import CorpusOptions


@dataclass(frozen=True)
class EmbeddedChunk:
    """The vectors of a chunk: a row for every text, or for every word or token of its texts.

    `first` is the index of the chunk's first text in the corpus. `vectors` is [rows, width] in the output's dtype; `text_index`
    [rows] int64, in the corpus; `spans` [rows, 2] int32, in code points of the text. `pieces` are the words or tokens, and
    `is_special` [rows] bool is there for tokens only.
    """

    texts: list[str]
    first: int
    vectors: np.ndarray
    truncated: int
    number_of_tokens: int
    """How many tokens were computed, padding left out."""
    pieces: list[str] | None = None
    text_index: np.ndarray | None = None
    spans: np.ndarray | None = None
    is_special: np.ndarray | None = None

    @property
    def rows_of_texts(self) -> np.ndarray:
        """Where the rows of each text begin and the last ones end: [texts + 1]."""
        if self.text_index is None:
            return np.arange(len(self.texts) + 1)
        return np.searchsorted(self.text_index, self.first + np.arange(len(self.texts) + 1))


def embed_chunk(features: Any, texts: list[str], first: int, options: CorpusOptions) -> EmbeddedChunk:
    """Compute a chunk.

    Args:
        features: `Features`, or what has its methods `sentences`, `words` and `tokens`.
        texts: of the chunk; the rounding may depend on all of them.
        first: the index of the first of them in the corpus.
        options: which method, and what it is asked for.

    Raises what the engine does, and InputError for a vector that is not finite.
    """
    arguments: dict[str, Any] = {name: getattr(options, name) for name in ("layers", "dim", "on_long")}
    arguments["dtype"] = options.output_dtype
    with warnings.catch_warnings():
        # Said once, of the whole corpus, by who asked for it.
        warnings.simplefilter("ignore", TruncationWarning)
        try:
            chunk = _computed(features, texts, first, options, arguments)
        except LongTextError as problem:
            raise InputError(
                f"text {first + problem.index + 1:,} has more than {problem.max_length} tokens; shorten it, or let long texts be "
                "cut (--on-long truncate) or divided (--on-long window)"
            ) from None
    if not np.isfinite(chunk.vectors).all():
        row = int(np.flatnonzero(~np.isfinite(chunk.vectors).all(axis=1))[0])
        text = first + row if chunk.text_index is None else int(chunk.text_index[row])
        raise InputError(
            f"the vectors of text {text + 1:,} are not finite in {options.output_dtype}; check the checkpoint with `minibert "
            "verify`, or keep float32"
        )
    return chunk


def _computed(features: Any, texts: list[str], first: int, options: CorpusOptions, arguments: dict[str, Any]) -> EmbeddedChunk:
    if options.level == "sentences":
        result = features.sentences(texts, pooling=options.pooling, normalize=options.normalize, **arguments)
        return EmbeddedChunk(texts, first, np.asarray(result), int(result.truncated), result.number_of_tokens)
    if options.level == "words":
        return _of_pieces(texts, first, features.words(texts, merge=options.merge, **arguments), "words")
    return _of_pieces(texts, first, features.tokens(texts, **arguments), "tokens")


def _of_pieces(texts: list[str], first: int, result: Any, name: str) -> EmbeddedChunk:
    """Words or tokens, text after text, as rows."""
    counts = [len(getattr(each, name)) for each in result]
    return EmbeddedChunk(
        texts,
        first,
        np.concatenate([np.asarray(each.vectors) for each in result]),
        int(result.truncated),
        result.number_of_tokens,
        pieces=[piece for each in result for piece in getattr(each, name)],
        text_index=np.repeat(first + np.arange(len(texts), dtype=np.int64), counts),
        spans=np.concatenate([np.asarray(each.spans, np.int32).reshape(-1, 2) for each in result]),
        is_special=np.concatenate([np.asarray(each.is_special, bool) for each in result]) if name == "tokens" else None,
    )
