"""`Features`: vectors of sentences, words and tokens from texts."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Float32

from minibert.checkpoints.loading import load
from minibert.checkpoints.registry import folder_of, resolve
from minibert.cores import cores
from minibert.errors import InputError, TruncationWarning, shown
from minibert.features.corpus.stored import StoredVectors
from minibert.features.documents import ON_LONG, Pieces, joined_windows, pieces_of
from minibert.features.engine import Engine
from minibert.features.layers import Layers
from minibert.features.pooling import POOLINGS
from minibert.features.recipe import Recipe
from minibert.features.results import OUTPUT_DTYPES, SentenceVectors, TextSequence, TokenVectors, WordVectors
from minibert.features.similarity import Hits, cosine_similarity, nearest
from minibert.features.words import MERGES, words_of
from minibert.model import Bert
from minibert.printable import counted
from minibert.tokenizer import Tokenizer

TEXTS_AT_A_TIME = 4096
"""Texts that are packed together; more would hardly leave fewer tokens of padding."""

LayerChoice = Layers | str | int | Sequence[int]


class Features:
    """Vectors from a checkpoint: `Features("minilm-l6").sentences(texts)`, `.words(texts)`, `.tokens(texts)`.

    Args:
        name_or_path: a registry name that has been fetched, or a checkpoint folder, file or zip.
        devices: JAX's devices that share the work; all local ones of the default platform if absent.
        workers: so many processes do the work on a CPU's cores, one each, instead of `devices`; "cores" for as many as there
            are. They are faster than one process and take some seconds and the model's memory each to begin: worth it from
            thousands of texts on. They end with `close()`, or with the last reference to these features.
        overrides: fields of BertConfig that replace the file's, as in `minibert.load`.

    All methods take these options:
        layers: which hidden states: "last" (the default), "second-to-last", "first", a number or list of numbers
            (concatenated), "sum-last-4", "concat-last-4", "0.25*-2+0.75*-1", or `Layers`.
        dim: only so many of the first numbers of each vector, for checkpoints trained to be cut like this.
        on_long: what becomes of a text over `max_length` tokens, [CLS] and [SEP] included: "truncate" (cut, counted in
            `truncated` of the result, and one TruncationWarning), "window" (all of it, in windows that share `stride` tokens),
            or "error" (InputError).
        dtype: of the result, "float32" or "float16".

    Every text's vectors are what it gives alone, to rounding, whatever else is in the call.

    Raises what `minibert.load` and `Tokenizer.load` raise.
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        devices: Sequence[jax.Device] | None = None,
        workers: int | str = 0,
        **overrides: Any,
    ):
        number_of_workers = _number_of_workers(workers, devices)
        self.name_or_path = name_or_path
        folder = resolve(name_or_path)
        model = load(folder, **overrides)
        self.tokenizer = Tokenizer.from_folder(folder_of(folder))
        self.recipe = Recipe.read(folder_of(folder))
        longest = model.config.max_position_embeddings
        self.max_length = min(self.recipe.max_length or longest, self.tokenizer.model_max_length or longest, longest)
        self.stride = self.max_length // 4
        """Tokens that two windows of a long text share."""
        self.engine = Engine(model, self.max_length, self.tokenizer.pad_token_id, devices, number_of_workers)

    @property
    def model(self) -> Bert:
        """The model that computes: `minibert.model.throughput` says how it differs from the one that `minibert.load` gives."""
        return self.engine.model

    @property
    def device(self) -> str:
        """What computes, as far as the last bits of a vector may depend on it: "cpu, 2 cores", for instance."""
        if self.engine.workers is not None:
            return "cpu, a process a core"
        kind = jax.devices()[0].device_kind
        return f"{kind}, {counted(cores(), 'core')}" if kind == "cpu" else kind

    def close(self) -> None:
        """End the worker processes, if there are any."""
        if self.engine.workers is not None:
            self.engine.workers.close()

    def sentences(
        self,
        texts: Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        layers: LayerChoice = "last",
        dim: int | None = None,
        on_long: str = "truncate",
        dtype: str = "float32",
    ) -> SentenceVectors:
        """One vector a text, [texts, width], in the order of the texts; an empty text has one too, from its special tokens.

        `pooling` is "mean" (over all tokens, [CLS] and [SEP] included), "cls", "max" or "pooler", and `normalize` scales to
        length 1, after `dim` cut the vector; the checkpoint's own recipe if absent. A long text's windows count by their tokens.

        Raises InputError for texts that are no sequence of strings, and for options that are not there.
        """
        recipe = self._recipe(pooling, normalize)
        chosen = self._layers(layers)
        if recipe.pooling == "pooler" and chosen.width(1) != 1:
            raise InputError("pooling 'pooler' takes a single hidden state; expected layers such as 'last'")
        width = self._width(chosen, dim)
        vectors = np.empty((len(_checked(texts, "sentences")), width), self._dtype(dtype))
        truncated = number_of_tokens = 0
        for begin, some in _few_at_a_time(texts):
            pieces = self._pieces(some, on_long, begin)
            truncated += pieces.truncated
            number_of_tokens += sum(map(len, pieces.ids))
            pooled = self.engine.text_vectors(pieces.ids, chosen, recipe.pooling)[:, :width]
            whole = _averaged(pooled, pieces) if len(pieces.ids) > len(some) else pooled
            if recipe.normalize:
                # The floor is sentence-transformers' (torch.nn.functional.normalize).
                whole = whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), np.float32(1e-12))
            vectors[begin : begin + len(some)] = whole
        self._warn(truncated, len(texts), stacklevel=3)
        return SentenceVectors(vectors, truncated, number_of_tokens)

    def tokens(
        self,
        texts: Sequence[str],
        *,
        layers: LayerChoice = "last",
        dim: int | None = None,
        on_long: str = "truncate",
        dtype: str = "float32",
    ) -> TextSequence[TokenVectors]:
        """For each text all its tokens with their places in it and vectors, unpooled and not normalised.

        `padded()` of the result gives one array and its mask. A long text's windows are put together again: every token once,
        from the window in which it has most text around it. Raises InputError as `sentences` does.
        """
        _checked(texts, "tokens")
        entries, counts = self._token_entries(texts, layers, dim, on_long, dtype)
        return TextSequence([entry for entry, _ in entries], *counts)

    def words(
        self,
        texts: Sequence[str],
        *,
        merge: str = "mean",
        layers: LayerChoice = "last",
        dim: int | None = None,
        on_long: str = "truncate",
        dtype: str = "float32",
    ) -> TextSequence[WordVectors]:
        """For each text its words, as BERT splits it at spaces and punctuation, with their places in it and vectors.

        `merge` says what becomes of a word's pieces: their "mean", the "first" or the "last". A word that occurs twice is there
        twice. Of a text that was cut the last word may be a part of one. Raises InputError as `sentences` does.
        """
        _one_of("merge", merge, MERGES)
        _checked(texts, "words")
        # Merged as float32; float16 would round twice.
        entries, counts = self._token_entries(texts, layers, dim, on_long, "float32")
        words = [words_of(entry, word_ids, merge) for entry, word_ids in entries]
        output = self._dtype(dtype)
        return TextSequence([replace(word, vectors=word.vectors.astype(output, copy=False)) for word in words], *counts)

    def similarity(self, left: Sequence[str], right: Sequence[str], **options: Any) -> Float32[np.ndarray, "left right"]:
        """The cosine of every text on the left with every text on the right; `options` as of `sentences`."""
        return cosine_similarity(self.sentences(left, **options), self.sentences(right, **options))

    def search(
        self,
        query: str | Sequence[str],
        corpus: Sequence[str] | Float[np.ndarray, "texts width"] | StoredVectors,
        k: int = 10,
        **options: Any,
    ) -> Hits:
        """The `k` entries of a corpus nearest to each query: `indices` and `scores` (cosines), [queries, k].

        `corpus` are texts, vectors that `sentences` gave with the same `options`, or `StoredVectors` that `minibert embed` wrote.
        Those have a receipt: the queries are embedded as it says, and what another model or other options made is refused.

        Raises InputError as `sentences` does, for vectors of another width, and for stored vectors that do not fit.
        """
        if type(k) is not int or k < 1:
            raise InputError(f"k is {shown(k)}; expected a whole number of at least 1")
        if isinstance(corpus, StoredVectors):
            options, corpus = corpus.options_for(self, options), corpus.vectors
        queries = self.sentences([query] if isinstance(query, str) else query, **options)
        vectors = corpus if isinstance(corpus, np.ndarray) else self.sentences(corpus, **options)
        if vectors.ndim != 2 or vectors.shape[1] != queries.shape[1]:
            raise InputError(
                f"the corpus is an array of shape {list(vectors.shape)}; expected [texts, {queries.shape[1]}], vectors made with "
                "the same model and options"
            )
        return nearest(queries, vectors, k)

    def _token_entries(
        self, texts: Sequence[str], layers: LayerChoice, dim: int | None, on_long: str, dtype: str
    ) -> tuple[list[tuple[TokenVectors, np.ndarray]], tuple[int, int]]:
        chosen, output = self._layers(layers), self._dtype(dtype)
        width = self._width(chosen, dim)
        entries: list[tuple[TokenVectors, np.ndarray]] = []
        truncated = number_of_tokens = 0
        for begin, some in _few_at_a_time(texts):
            pieces = self._pieces(some, on_long, begin, with_places=True)
            truncated += pieces.truncated
            number_of_tokens += sum(map(len, pieces.ids))
            vectors: list[np.ndarray] = [np.empty(0)] * len(pieces.ids)
            for piece, of_piece in self.engine.token_vectors(pieces.ids, chosen):
                # A copy, or a few tokens would keep the memory of their whole batch.
                vectors[piece] = of_piece[:, :width].astype(output)
            entries += self._put_together(some, pieces, vectors)
        self._warn(truncated, len(texts), stacklevel=4)
        return entries, (truncated, number_of_tokens)

    def _put_together(
        self, texts: Sequence[str], pieces: Pieces, vectors: list[np.ndarray]
    ) -> Iterator[tuple[TokenVectors, np.ndarray]]:
        assert pieces.offsets is not None and pieces.word_ids is not None and pieces.is_special is not None
        bounds = np.searchsorted(pieces.texts, np.arange(len(texts) + 1))
        for text, (begin, end) in zip(texts, zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True), strict=True):
            kept = joined_windows([len(ids) for ids in pieces.ids[begin:end]], self.stride)

            def joined(parts: Sequence[np.ndarray], begin: int = begin, end: int = end, kept: list[slice] = kept) -> np.ndarray:
                return np.concatenate([part[where] for part, where in zip(parts[begin:end], kept, strict=True)])

            tokens = self.tokenizer.convert_ids_to_tokens(joined(pieces.ids))
            offsets, special = joined(pieces.offsets), joined(pieces.is_special)
            yield TokenVectors(text, tokens, offsets, special, joined(vectors)), joined(pieces.word_ids)

    def _pieces(self, texts: Sequence[str], on_long: str, first: int, with_places: bool = False) -> Pieces:
        _one_of("on_long", on_long, ON_LONG)
        return pieces_of(self.tokenizer, texts, self.max_length, on_long, self.stride, first=first, with_places=with_places)

    def _recipe(self, pooling: str | None, normalize: bool | None) -> Recipe:
        if pooling is not None:
            _one_of("pooling", pooling, POOLINGS)
        if pooling == "pooler" and self.model.pooler is None:
            raise InputError(
                "pooling 'pooler' needs the checkpoint's pooler, and this one has none; choose 'mean', 'cls' or 'max'"
            )
        own = self.recipe
        return replace(own, pooling=pooling or own.pooling, normalize=own.normalize if normalize is None else normalize)

    def _layers(self, layers: LayerChoice) -> Layers:
        return Layers.of(layers).within(self.model.config.num_hidden_layers)

    def _width(self, layers: Layers, dim: int | None) -> int:
        width = layers.width(self.model.config.hidden_size)
        if dim is None:
            return width
        if type(dim) is not int or not 1 <= dim <= width:
            raise InputError(f"dim is {shown(dim)}; expected a whole number from 1 to {width}, the width of these vectors")
        return dim

    def _dtype(self, dtype: str) -> np.dtype[Any]:
        return np.dtype(_one_of("dtype", dtype, OUTPUT_DTYPES))

    def _warn(self, truncated: int, count: int, stacklevel: int) -> None:
        if truncated:
            warnings.warn(
                f"{truncated} of {count} texts were cut at {self.max_length} tokens; on_long='window' takes in all of them",
                TruncationWarning,
                stacklevel=stacklevel,
            )


def _number_of_workers(workers: int | str, devices: Sequence[jax.Device] | None) -> int:
    if workers == "cores":
        workers = cores()
    if type(workers) is not int or workers < 0:
        raise InputError(f"workers is {shown(workers)}; expected a whole number, 0 for none, or 'cores'")
    if workers and devices is not None:
        raise InputError("workers use a CPU's cores and devices are others; give one of the two")
    return workers


def _checked(texts: Sequence[str], method: str) -> Sequence[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        kind = "one string" if isinstance(texts, str) else f"a {type(texts).__name__}"
        raise InputError(f"{method}() was given {kind}; give a list of texts: [text]")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts[{index}] is a {type(text).__name__}; expected a string")
    return texts


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise InputError(f"{name} is {shown(value)}; expected one of {', '.join(choices)}")
    return value


def _few_at_a_time(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    for begin in range(0, len(texts), TEXTS_AT_A_TIME):
        yield begin, list(texts[begin : begin + TEXTS_AT_A_TIME])


def _averaged(vectors: Float[np.ndarray, "pieces width"], pieces: Pieces) -> Float[np.ndarray, "texts width"]:
    """The mean over a text's pieces, each counted by its number of tokens."""
    weights = np.array([len(ids) for ids in pieces.ids], np.float32)
    begins = np.flatnonzero(np.diff(pieces.texts, prepend=-1))
    sums = np.add.reduceat(vectors * weights[:, None], begins, axis=0)
    return sums / np.add.reduceat(weights, begins)[:, None]
