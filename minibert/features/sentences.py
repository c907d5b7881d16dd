"""`Features`: one vector a text, by the checkpoint's own recipe."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float32, Integer

from minibert.checkpoints.loading import load
from minibert.checkpoints.registry import folder_of, resolve
from minibert.errors import InputError
from minibert.features.recipe import Recipe
from minibert.model import Bert
from minibert.model.inputs import ModelInputs, check_inputs
from minibert.tokenizer import Tokenizer

# Few shapes, so that few programs are compiled: rows and tokens are padded up to the next of these.
ROWS = (1, 2, 4, 8, 16, 32)
TOKENS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
TEXTS_SORTED_AT_A_TIME = 2048


class Features:
    """Sentence vectors from a checkpoint: `Features("minilm-l6").sentences(texts)`.

    Args:
        name_or_path: a registry name that has been fetched, or a checkpoint folder.
        overrides: fields of BertConfig that replace the file's, as in `minibert.load`.

    Raises what `minibert.load` and `Tokenizer.load` raise.
    """

    def __init__(self, name_or_path: str | Path, **overrides: Any):
        folder = resolve(name_or_path)
        self.model = load(folder, **overrides)
        self.tokenizer = Tokenizer.from_folder(folder_of(folder))
        self.recipe = Recipe.read(folder_of(folder))
        longest = self.model.config.max_position_embeddings
        self.max_length = min(self.recipe.max_length or longest, self.tokenizer.model_max_length or longest, longest)
        self.truncated = 0
        """How many texts of the last call to `sentences` were cut at `max_length` tokens."""

    def sentences(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts hidden"]:
        """One float32 vector a text, in the order of the texts; an empty text has one too, from its special tokens.
        No texts give an array [0, hidden].

        A text of over `max_length` tokens is cut there, and counted in `self.truncated`. Raises InputError if `texts` is no
        sequence of strings.
        """
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            kind = "one string" if isinstance(texts, str) else f"a {type(texts).__name__}"
            raise InputError(f"sentences() was given {kind}; give a list of texts: [text]")
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"texts[{index}] is a {type(text).__name__}; expected a string")
        self.truncated = 0
        vectors = np.empty((len(texts), self.model.config.hidden_size), np.float32)
        for start in range(0, len(texts), TEXTS_SORTED_AT_A_TIME):
            some = list(texts[start : start + TEXTS_SORTED_AT_A_TIME])
            vectors[start : start + len(some)] = self._embed(some)
        return vectors

    def similarity(self, left: Sequence[str], right: Sequence[str]) -> Float32[np.ndarray, "left right"]:
        """The cosine of every text on the left with every text on the right."""
        return cosine_similarity(self.sentences(left), self.sentences(right))

    def _embed(self, texts: list[str]) -> np.ndarray:
        encoded = self.tokenizer(texts, truncation=True, max_length=self.max_length)
        lengths = encoded["attention_mask"].sum(axis=1)
        for index in np.flatnonzero(lengths == self.max_length):
            self.truncated += self.tokenizer(texts[index])["input_ids"].shape[1] > self.max_length
        result = np.empty((len(texts), self.model.config.hidden_size), np.float32)
        for rows, inputs in _batches(encoded, lengths):
            checked = check_inputs(self.model.config, **inputs)
            pooled = _sentence_vectors(self.model, checked, self.recipe.pooling, self.recipe.normalize)
            result[rows] = np.asarray(pooled)[: len(rows)]
        return result


def cosine_similarity(
    left: Float[np.ndarray, "left hidden"], right: Float[np.ndarray, "right hidden"]
) -> Float32[np.ndarray, "left right"]:
    """The cosine of the angle between every two vectors; a zero vector has cosine 0 with everything."""

    def unit(vectors: np.ndarray) -> np.ndarray:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(norms == 0.0, 1.0, norms)

    return (unit(left) @ unit(right).T).astype(np.float32)


def _batches(encoded: dict[str, np.ndarray], lengths: np.ndarray) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Texts of like length together, each batch padded to one of few shapes; the first rows are those asked for."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), ROWS[-1]):
        rows = order[start : start + ROWS[-1]]
        width = int(lengths[rows].max())
        height = next(size for size in ROWS if size >= len(rows))
        padded_width = next((size for size in TOKENS if size >= width), width)
        shape = (height, padded_width)
        inputs = {name: np.zeros(shape, np.int32) for name in encoded}
        for name, array in encoded.items():
            inputs[name][: len(rows), :width] = array[rows, :width]
        yield rows, inputs


@partial(jax.jit, static_argnames=("pooling", "normalize"))
def _sentence_vectors(model: Bert, inputs: ModelInputs, pooling: str, normalize: bool) -> Array:
    hidden = model.forward(*inputs).last_hidden_state
    vectors = pool(hidden, jnp.asarray(inputs.attention_mask), pooling)
    if normalize:
        # The floor is sentence-transformers' (torch.nn.functional.normalize).
        vectors = vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return vectors.astype(jnp.float32)


def pool(
    hidden: Float[Array, "batch tokens hidden"], attention_mask: Integer[Array, "batch tokens"], pooling: str
) -> Float[Array, "batch hidden"]:
    """One vector a text from its hidden states, over real tokens only; `pooling` as in Recipe."""
    real = attention_mask[:, :, None] > 0
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "max":
        return jnp.where(real, hidden, jnp.finfo(hidden.dtype).min).max(axis=1)
    counts = jnp.maximum(real.sum(axis=1), 1)
    return jnp.where(real, hidden, 0.0).sum(axis=1) / counts
