"""Packed batches through a compiled model, several at a time: programs, devices, and what is under way."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from inspect import signature

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float, Int32

from minibert.features.layers import Layers
from minibert.features.packing import TOKENS_AT_A_TIME, TOKENS_AT_A_TIME_ELSEWHERE, Packed, Shapes, most_texts, pack
from minibert.features.pooling import pooled
from minibert.model import Bert
from minibert.model.throughput import compiler_options, for_throughput

Ids = Sequence[Int32[np.ndarray, " _"]]


class Engine:
    """A model, laid out for speed on some devices, that takes lists of ids.

    `model` is what runs: the given one with its dense kernels laid out for speed and, on several devices, a copy on each. They
    share every batch by its rows.
    """

    def __init__(self, model: Bert, longest: int, pad_token_id: int, devices: Sequence[jax.Device] | None = None):
        devices = jax.local_devices() if devices is None else list(devices)
        self.pad_token_id = pad_token_id
        self.shapes = Shapes(longest, TOKENS_AT_A_TIME.get(devices[0].platform, TOKENS_AT_A_TIME_ELSEWHERE), len(devices))
        mesh = Mesh(np.array(devices), ("rows",))
        self._rows_shared = NamedSharding(mesh, PartitionSpec("rows"))
        self.model = jax.device_put(for_throughput(model), NamedSharding(mesh, PartitionSpec()))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._under_way = 1 + (cores if devices[0].platform == "cpu" else 1)
        self.shapes_seen: set[tuple[int, int]] = set()
        """For each a program was compiled, or one for each set of options."""
        self.tokens = 0
        """Tokens of texts that were computed, and with the padding of their batches `computed_tokens`."""
        self.computed_tokens = 0

    def token_vectors(self, ids: Ids, layers: Layers) -> Iterator[tuple[int, Float[np.ndarray, "_ width"]]]:
        """For each list of ids its place and a vector a token, in the order in which they are done."""
        for batch, vectors in self._run(ids, partial(self._compiled(_token_vectors), self.model, layers=layers)):
            for text, (row, begin, _) in zip(batch.texts.tolist(), batch.places.tolist(), strict=True):
                yield text, vectors[row, begin : begin + len(ids[text])]

    def text_vectors(self, ids: Ids, layers: Layers, pooling: str) -> Float[np.ndarray, "texts width"]:
        """One vector for each list of ids, in their order; `pooling` as in `minibert.features.pooling`."""
        width = layers.width(self.model.config.hidden_size)
        result = np.empty((len(ids), width), np.float32)
        for batch, vectors in self._run(ids, partial(self._compiled(_text_vectors), self.model, layers=layers, pooling=pooling)):
            result[batch.texts] = vectors[batch.places[:, 0], batch.places[:, 2]]
        return result

    def _compiled(self, program: Callable[..., Array]) -> Callable[..., Array]:
        return _compiled(program, tuple(compiler_options(self.model.config).items()))

    def _run(self, ids: Ids, program: "partial[Array]") -> Iterator[tuple[Packed, np.ndarray]]:
        pending: deque[tuple[Packed, Array]] = deque()
        for batch in pack([len(row) for row in ids], self.shapes):
            self.tokens += sum(len(ids[text]) for text in batch.texts.tolist())
            self.shapes_seen.add(batch.shape)
            self.computed_tokens += batch.shape[0] * batch.shape[1]
            arrays = jax.device_put(batch.arrays(ids, self.pad_token_id), self._rows_shared)
            pending.append((batch, program(**arrays)))
            if len(pending) > self._under_way:
                done, result = pending.popleft()
                yield done, np.asarray(result)
        for done, result in pending:
            yield done, np.asarray(result)


@cache
def _compiled(program: Callable[..., Array], options: tuple[tuple[str, bool | str], ...]) -> Callable[..., Array]:
    """One function for all engines, so that a shape is compiled once."""
    choices = [name for name, parameter in signature(program).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    return jax.jit(program, static_argnames=choices, compiler_options=dict(options))


def _hidden(
    model: Bert,
    input_ids: Int32[Array, "rows width"],
    position_ids: Int32[Array, "rows width"],
    segment_ids: Int32[Array, "rows width"],
    layers: Layers,
) -> Float[Array, "rows width features"]:
    hidden_states = model.forward(
        input_ids,
        _within_texts(segment_ids),
        jnp.zeros_like(input_ids),
        position_ids,
        output_hidden_states=True,
    ).hidden_states
    assert hidden_states is not None
    return layers.mix(hidden_states)


def _within_texts(segment_ids: Int32[Array, "rows width"]) -> Bool[Array, "rows width width"]:
    """Who sees whom: the tokens of a text each other; padding, whose number is 0, sees padding, which nobody looks at."""
    return segment_ids[:, :, None] == segment_ids[:, None, :]


def _token_vectors(
    model: Bert, input_ids: Array, position_ids: Array, segment_ids: Array, *, layers: Layers
) -> Float[Array, "rows width features"]:
    return _hidden(model, input_ids, position_ids, segment_ids, layers)


def _text_vectors(
    model: Bert, input_ids: Array, position_ids: Array, segment_ids: Array, *, layers: Layers, pooling: str
) -> Float[Array, "rows texts features"]:
    hidden = _hidden(model, input_ids, position_ids, segment_ids, layers)
    vectors = pooled(hidden, segment_ids, most_texts(input_ids.shape[1]), "cls" if pooling == "pooler" else pooling)
    if pooling == "pooler" and model.pooler is not None:
        rows, texts, width = vectors.shape
        return model.pooler(vectors.reshape(rows * texts, width)).reshape(rows, texts, width)
    return vectors
