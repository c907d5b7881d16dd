"""A checkpoint's parameters as NumPy arrays under our names: what `NumpyBert` computes with."""

from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.blueprint import read_blueprint
from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.checkpoints.names import HEAD_PARAMETERS, PRETRAINING_HEADS
from minibert.checkpoints.registry import resolve
from minibert.checkpoints.tensors import Canonical
from minibert.config import BertConfig
from minibert.errors import CheckpointError


def read_parameters(name_or_path: str | Path, **overrides: Any) -> tuple[BertConfig, dict[str, np.ndarray]]:
    """The configuration and the parameters of a checkpoint, in their stored dtypes, as views of the mapped file.

    Arguments and errors as `minibert.load` has them. The heads of pretraining are there where the checkpoint has all of their
    tensors; CheckpointError where one of them has another shape than the configuration calls for, or where the masked-language
    model's last kernel is stored again and is not the table of word embeddings.
    """
    blueprint = read_blueprint(resolve(name_or_path), **overrides)
    parameters = {path: _values(tensor, row.transposed) for path, (row, tensor) in blueprint.match.parameters.items()}
    stored = blueprint.stored.canonical
    for head in ("masked_lm", "next_sentence"):
        rows = HEAD_PARAMETERS[head]
        if all(row.hf in stored for row in rows):
            for row in rows:
                _, tensor, is_transposed = stored[row.hf]
                parameters[row.ours] = _values(tensor, row.transposed and is_transposed)
    _check_heads(blueprint.config, parameters, stored)
    if "heads.masked_lm.bias" in parameters:
        blueprint.stored.check_tied_kernel()
    return blueprint.config, parameters


def _values(tensor: StoredTensor, transposed: bool) -> np.ndarray:
    return tensor.read().T if transposed else tensor.read()


def _check_heads(config: BertConfig, parameters: dict[str, np.ndarray], stored: dict[str, Canonical]) -> None:
    hidden = config.hidden_size
    expected = {
        "heads.masked_lm.dense.kernel": (hidden, hidden),
        "heads.masked_lm.bias": (config.vocab_size,),
        "heads.next_sentence.dense.kernel": (hidden, 2),
        "heads.next_sentence.dense.bias": (2,),
    }
    for row in PRETRAINING_HEADS:
        if row.ours in parameters:
            found, shape = parameters[row.ours].shape, expected.get(row.ours, (hidden,))
            if found != shape:
                raise CheckpointError(
                    f"{stored[row.hf].tensor.path}: {row.hf} has, in our layout, the shape {list(found)}; the configuration "
                    f"calls for {list(shape)}; use the config.json that this checkpoint was saved with"
                )
