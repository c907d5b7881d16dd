"""The compiled programs of `Features`: packed rows in, vectors of tokens or of texts out."""

from collections.abc import Callable, Sequence
from functools import cache
from inspect import signature

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float, Int32

from minibert.features.layers import Layers
from minibert.features.packing import most_texts
from minibert.features.pooling import pooled
from minibert.model import Bert
from minibert.model.throughput import compiler_options


class Programs:
    """A model laid out for speed, on several devices a copy on each, which share every batch by its rows."""

    def __init__(self, model: Bert, devices: Sequence[jax.Device]):
        mesh = Mesh(np.array(devices), ("rows",))
        self._rows_shared = NamedSharding(mesh, PartitionSpec("rows"))
        self.model = jax.device_put(model, NamedSharding(mesh, PartitionSpec()))
        self._options = tuple(compiler_options(model.config).items())

    def start(self, arrays: dict[str, np.ndarray], layers: Layers, pooling: str | None) -> Callable[[], np.ndarray]:
        """Begin with a batch; the function that waits for its result, of tokens without `pooling`, of texts with it."""
        arrays = jax.device_put(arrays, self._rows_shared)
        if pooling is None:
            result = _compiled(_token_vectors, self._options)(self.model, **arrays, layers=layers)
        else:
            result = _compiled(_text_vectors, self._options)(self.model, **arrays, layers=layers, pooling=pooling)
        return lambda: np.asarray(result)


@cache
def _compiled(program: Callable[..., Array], options: tuple[tuple[str, bool | str], ...]) -> Callable[..., Array]:
    """One function for all models, so that a shape is compiled once."""
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
