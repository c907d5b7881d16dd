"""Arrays in and out of other people's models: a batch to integers that were checked, a result to NumPy without loss."""

import sys
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model.inputs import check_inputs
from minibert.verification.trace_file import INPUTS


def checked_batch(config: BertConfig, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The four inputs of a batch as int32 [batch, tokens], defaults filled in; torch's tensors are taken as well.

    Raises InputError for what is no batch and for indices outside the tables, whose sizes `config` says.
    """
    if not isinstance(batch, Mapping):
        raise InputError(f"the batch is a {type(batch).__name__}; expected the mapping that a Tokenizer returns")
    unknown = [str(name) for name in batch if name not in INPUTS]
    if unknown or "input_ids" not in batch:
        found = f"has {', '.join(unknown)}" if unknown else "lacks input_ids"
        raise InputError(f"the batch {found}; its arrays are {', '.join(INPUTS)}, of which the first alone must be there")
    arrays: dict[str, Any] = {name: numpy_copy(array) if is_torch(array) else array for name, array in batch.items()}
    return {name: np.asarray(array) for name, array in check_inputs(config, **arrays)._asdict().items()}


def numpy_copy(value: Any) -> np.ndarray:
    """A copy of an array of torch, JAX or NumPy; floats of fewer than 32 bits become float32, which holds each of them."""
    if is_torch(value):
        value = value.detach()
        value = (value.float() if value.is_floating_point() and value.itemsize < 4 else value).cpu().numpy()
    array = np.array(value)
    return array.astype(np.float32) if is_floating(array) and array.itemsize < 4 else array


def is_floating(value: Any) -> bool:
    """Whether it is an array of floating-point numbers."""
    return value.is_floating_point() if is_torch(value) else jnp.issubdtype(value.dtype, jnp.floating)


def dtype_name(value: Any) -> str:
    """Such as "float32", whichever library the array is of."""
    return str(value.dtype).removeprefix("torch.")


def is_torch(value: object) -> bool:
    """Whether it is a tensor or a module of torch; nothing can be one before torch is imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor | torch.nn.Module)
