"""A checkpoint held against the model that it calls for, before a weight is read; and its weights, read into our layout."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from minibert.checkpoints.dialects import GOOGLE
from minibert.checkpoints.formats.copying import copied, copy_into, reading_threads
from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.checkpoints.matching import Match, check_depth, has_pooler, match_tensors
from minibert.checkpoints.names import Row
from minibert.checkpoints.registry import folder_of
from minibert.checkpoints.tensors import StoredTensors, open_checkpoint
from minibert.config import BertConfig
from minibert.errors import ConfigError
from minibert.model import Bert


def fill(model: nnx.Module, stored: Mapping[str, tuple[Row, StoredTensor]], config: BertConfig) -> None:
    """Give a model's parameters their stored values, in `param_dtype`. Raises as `read_parameters_of` does."""
    variables = parameters_of(model)
    for path, array in read_parameters_of(stored, jnp.dtype(config.param_dtype)).items():
        variables[path].set_value(array)


def read_parameters_of(stored: Mapping[str, tuple[Row, StoredTensor]], dtype: np.dtype[Any]) -> dict[str, jax.Array]:
    """Parameters in our layout and `dtype`, free of the file; CheckpointError for values beyond the range of `dtype`."""
    # Of both kinds the largest come first: while one is copied it may be in memory twice, and the others are not there yet.
    largest_first = sorted(stored, key=lambda path: -math.prod(stored[path][1].shape))
    plain = [path for path in largest_first if not stored[path][0].transposed]
    turned = [path for path in largest_first if stored[path][0].transposed]
    copies = copied({stored[path][0].hf: stored[path][1] for path in plain}, dtype)
    arrays = {path: jax.device_put(copies[stored[path][0].hf], may_alias=True) for path in plain}

    def turn(path: str) -> jax.Array:
        # In another thread, where a caller's context would not be in force.
        with jax.enable_x64(dtype == np.float64):
            return _turned(*stored[path], dtype)

    with reading_threads() as threads:
        return arrays | dict(zip(turned, threads.map(turn, turned), strict=True))


def _turned(row: Row, tensor: StoredTensor, dtype: np.dtype[Any]) -> jax.Array:
    """A matrix with its axes changed. JAX does that while it copies, four times as fast as NumPy."""
    values = tensor.read()
    if values.dtype != dtype or not values.flags.c_contiguous or values.T.flags.c_contiguous:
        # Or JAX would not copy what is in the right order already, and use the mapped file.
        values = np.empty(tensor.shape, dtype)
        copy_into(values, tensor, row.hf)
    # The file must stay mapped until it is done.
    return jax.device_put(values.T).block_until_ready()


class Blueprint(NamedTuple):
    """A checkpoint held against the model it calls for: everything but the weights."""

    config: BertConfig
    stored: StoredTensors
    shapes: dict[str, tuple[int, ...]]
    match: Match

    @property
    def add_pooling_layer(self) -> bool:
        """Whether the model has a pooler."""
        return "pooler.dense.kernel" in self.shapes


def read_blueprint(path: Path, **overrides: Any) -> Blueprint:
    """Read the configuration and the headers of a checkpoint and match them; no weight is read. Raises as `load` does."""
    stored = open_checkpoint(path)
    config = BertConfig.read(configuration_of(path, stored), **overrides)
    check_depth(config, stored)
    check_dtype(config)
    shapes = shapes_of(config, stored)
    return Blueprint(config, stored, shapes, match_tensors(stored, shapes, config.num_hidden_layers))


def shapes_of(config: BertConfig, stored: StoredTensors) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by our path, that a checkpoint calls for; with a pooler if it has one's tensors."""
    # All layers are alike, and building a deep model, even without values, takes long.
    model = Bert(config.replace(num_hidden_layers=1), rngs=None, add_pooling_layer=has_pooler(stored))
    shapes = {}
    for path, variable in parameters_of(model).items():
        for layer in range(config.num_hidden_layers if path.startswith("encoder.layers.0.") else 1):
            shapes[path.replace("encoder.layers.0.", f"encoder.layers.{layer}.", 1)] = variable.get_value().shape
    return shapes


def configuration_of(path: Path, stored: StoredTensors) -> Path:
    """The file or the folder that a checkpoint's configuration is read from.

    Google's weights come with Google's own file, in which "gelu" is the tanh form, even where another one lies beside it.
    """
    google = folder_of(path) / "bert_config.json"
    return google if stored.dialect is GOOGLE and google.exists() else folder_of(path)


def check_dtype(config: BertConfig) -> None:
    """ConfigError for float64 where JAX makes float32 of it."""
    if "float64" in (config.dtype, config.param_dtype) and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ConfigError(
            "float64 was asked for, but JAX makes float32 of it unless told otherwise; set JAX_ENABLE_X64=1 before Python starts"
        )


def parameters_of(model: nnx.Module) -> dict[str, nnx.Variable]:
    """Every parameter by its path in the module tree, `encoder.layers.0.attention.query.kernel`."""
    found = {}
    for path, node in nnx.iter_graph(model):
        if isinstance(node, nnx.Variable):
            found[".".join(str(step) for step in path)] = node
    return found
