"""`load`: a name or a folder becomes a model, strictly and without a random initialisation on the way."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from minibert.checkpoints.dialects import GOOGLE
from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.checkpoints.matching import Match, check_depth, has_pooler, match_tensors
from minibert.checkpoints.names import Row
from minibert.checkpoints.registry import folder_of, resolve
from minibert.checkpoints.tensors import StoredTensors, open_checkpoint
from minibert.config import BertConfig
from minibert.errors import CheckpointError, ConfigError
from minibert.model import Bert

ALIGNMENT = 64
MOST_THREADS = 4


def load(name_or_path: str | Path, **overrides: Any) -> Bert:
    """The model in a checkpoint: `load("minilm-l6")`, `load("folder/", dtype="bfloat16")`.

    Args:
        name_or_path: a name of the registry that has been fetched, a folder with weights and config.json or bert_config.json, a
            file of weights, or the prefix of a TensorFlow checkpoint, with the configuration beside it.
        overrides: fields of BertConfig that replace the file's, such as `hidden_act`, `dtype`, `param_dtype`, `precision`.

    The weights are converted to `param_dtype` and held once in memory. A checkpoint without any tensor of the pooler gives
    a model whose `pooler_output` is None; tensors of task heads are left aside.

    Raises:
        CheckpointError: no such checkpoint, a broken file, or tensors that are missing, unexpected, mis-shaped or mis-typed:
            all of them in one message.
        ConfigError: a configuration that is broken or not implemented.
    """
    blueprint = read_blueprint(resolve(name_or_path), **overrides)
    variables = parameters_of(blueprint.model)
    dtype = jnp.dtype(blueprint.config.param_dtype)

    def fill(path: str) -> None:
        variables[path].set_value(read_parameter(*blueprint.match.parameters[path], dtype))

    # The largest first and alone: while it is copied both copies count, and nothing else does yet.
    largest, *others = sorted(variables, key=lambda path: -math.prod(blueprint.shapes[path]))
    fill(largest)
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "minibert-load") as threads:
        list(threads.map(fill, others))
    return blueprint.model


def read_parameter(row: Row, tensor: StoredTensor, dtype: np.dtype[Any]) -> jax.Array:
    """One parameter in our layout and `dtype`, free of the file; CheckpointError for values beyond the range of `dtype`."""
    values = tensor.read()
    if row.transposed and values.dtype == dtype and values.flags.c_contiguous and not values.T.flags.c_contiguous:
        # JAX turns a matrix while it copies it, four times as fast as NumPy; before it has done so, the file must stay mapped.
        return jax.device_put(values.T).block_until_ready()
    values = values.T if row.transposed else values
    # An array that begins at a multiple of 64 bytes is taken over by JAX on a CPU as it is; any other is copied.
    memory = np.empty(values.size * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    result = memory[start : start + values.size * dtype.itemsize].view(dtype).reshape(values.shape)
    try:
        with np.errstate(over="raise"):
            result[...] = values
    except FloatingPointError:
        raise CheckpointError(
            f"{tensor.path}: {row.hf} has values too large for param_dtype {dtype.name}; load it with a wider one"
        ) from None
    return jax.device_put(result, may_alias=True)


class Blueprint(NamedTuple):
    """A checkpoint held against the model it calls for: everything but the weights."""

    config: BertConfig
    stored: StoredTensors
    model: Bert
    """Its parameters have shapes and dtypes but no values yet."""
    shapes: dict[str, tuple[int, ...]]
    match: Match


def read_blueprint(path: Path, **overrides: Any) -> Blueprint:
    """Read the configuration and the headers of a checkpoint and match them; no weight is read. Raises as `load` does."""
    stored = open_checkpoint(path)
    config = BertConfig.read(configuration_of(path, stored), **overrides)
    check_depth(config, stored)
    _check_dtype(config)
    model, shapes = model_for(config, stored)
    return Blueprint(config, stored, model, shapes, match_tensors(stored, shapes, config.num_hidden_layers))


def model_for(config: BertConfig, stored: StoredTensors) -> tuple[Bert, dict[str, tuple[int, ...]]]:
    """The model that a checkpoint calls for, with a pooler if it has one's tensors, and the shapes of its parameters."""
    model = Bert(config, rngs=None, add_pooling_layer=has_pooler(stored))
    return model, {path: variable.get_value().shape for path, variable in parameters_of(model).items()}


def configuration_of(path: Path, stored: StoredTensors) -> Path:
    """The file or the folder that a checkpoint's configuration is read from.

    Google's weights come with Google's own file, in which "gelu" is the tanh form, even where another one lies beside it.
    """
    google = folder_of(path) / "bert_config.json"
    return google if stored.dialect is GOOGLE and google.exists() else folder_of(path)


def _check_dtype(config: BertConfig) -> None:
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
