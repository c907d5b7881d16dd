"""What a model accepts, checked on the host: a compiled gather cannot complain about an index outside its table."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Integer

from minibert.config import BertConfig
from minibert.errors import InputError

AnyArray = Array | np.ndarray

ArrayLike = Array | np.ndarray | Sequence[Any]
"""What `check_inputs` looks at: anything that may or may not be integers [batch, tokens]."""

TokenArray = Integer[AnyArray, "batch tokens"] | Bool[AnyArray, "batch tokens"] | Sequence[Any]
"""What a model is given for each token: integers or booleans [batch, tokens], an array or nested lists."""


ChoicesArray = Integer[AnyArray, "*batch tokens"] | Bool[AnyArray, "*batch tokens"] | Sequence[Any]
"""The same, or [batch, choices, tokens] for a question with several answers to choose from."""


class ModelInputs(NamedTuple):
    """The four arrays a forward pass needs: same shape, int32, or as they came if the caller is tracing."""

    input_ids: Integer[AnyArray, "batch tokens"]
    attention_mask: Integer[AnyArray, "batch tokens"]
    token_type_ids: Integer[AnyArray, "batch tokens"]
    position_ids: Integer[AnyArray, "batch tokens"]


def check_inputs(
    config: BertConfig,
    input_ids: ArrayLike,
    attention_mask: ArrayLike | None = None,
    token_type_ids: ArrayLike | None = None,
    position_ids: ArrayLike | None = None,
) -> ModelInputs:
    """The batch with its defaults filled in. Raises InputError as `Bert.__call__` says."""
    ids = _integers("input_ids", input_ids)
    if ids.ndim != 2:
        raise InputError(f"input_ids has shape {list(ids.shape)}; expected [batch, tokens]; a single text is a batch of one")
    tokens = ids.shape[1]
    _check_range("input_ids", ids, config.vocab_size, "vocab_size")
    if position_ids is None:
        if tokens > config.max_position_embeddings:
            raise InputError(
                f"input_ids has {tokens} tokens in a row, but the model has {config.max_position_embeddings} positions "
                "(max_position_embeddings); tokenize with truncation=True, or split the text"
            )
        positions: Any = np.broadcast_to(np.arange(tokens, dtype=np.int32), ids.shape)
    else:
        positions = _beside("position_ids", position_ids, ids)
        _check_range("position_ids", positions, config.max_position_embeddings, "max_position_embeddings")
    mask = np.ones(ids.shape, np.int32) if attention_mask is None else _beside("attention_mask", attention_mask, ids)
    _check_range("attention_mask", mask, 2, "the mask's two values (1 real, 0 padding)")
    types = np.zeros(ids.shape, np.int32) if token_type_ids is None else _beside("token_type_ids", token_type_ids, ids)
    _check_range("token_type_ids", types, config.type_vocab_size, "type_vocab_size")
    return ModelInputs(_int32(ids), _int32(mask), _int32(types), _int32(positions))


def _int32(array: Any) -> Any:
    # One dtype, one compiled program; every value was seen to fit.
    return array if array.dtype == np.int32 or isinstance(array, jax.core.Tracer) else array.astype(np.int32)


def _integers(name: str, values: ArrayLike) -> Any:
    try:
        array = values if isinstance(values, Array) else np.asarray(values)
    except ValueError:
        raise InputError(f"{name} has rows of different lengths; pad them: tokenizer(texts, padding=True)") from None
    if 0 in array.shape:
        raise InputError(f"{name} is an empty batch of shape {list(array.shape)}; give at least one text and one token")
    if array.dtype == bool:
        return array.astype(np.int32)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        hint = "; pass text through a Tokenizer first" if array.dtype.kind in "US" else ""
        raise InputError(f"{name} has dtype {array.dtype}; expected integers [batch, tokens]{hint}")
    return array


def _beside(name: str, values: ArrayLike, ids: Any) -> Any:
    array = _integers(name, values)
    if array.shape != ids.shape:
        raise InputError(
            f"{name} has shape {list(array.shape)}; expected {list(ids.shape)}, the shape of input_ids [batch, tokens]"
        )
    return array


def _check_range(name: str, array: Any, size: int, meaning: str) -> None:
    if isinstance(array, jax.core.Tracer):
        return
    host = np.asarray(array)
    lowest, highest = int(host.min()), int(host.max())
    if lowest < 0 or highest >= size:
        row, column = np.argwhere((host < 0) | (host >= size))[0]
        raise InputError(f"{name}[{row}, {column}] is {host[row, column]}; {meaning} = {size} allows 0 to {size - 1} here")
