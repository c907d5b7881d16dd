"""How alike the layers of models are: linear centred kernel alignment (Kornblith et al. 2019, section 3)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from minibert.errors import InputError
from minibert.lab.named_array import NamedArray
from minibert.lab.running import Model, inputs_of, run


def cka(first: Float[np.ndarray, "rows features"], second: Float[np.ndarray, "same_rows other_features"]) -> float:
    """Linear CKA of two sets of vectors of the same things, from 0 to 1: `‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖)`, both centred.

    Turning the axes of either, or one factor for all of its values, changes nothing. Raises InputError for unequally many rows,
    and for vectors that are all the same.
    """
    if len(first) != len(second):
        raise InputError(f"there are {len(first)} and {len(second)} rows; expected a vector of the same thing in each")
    centred = [np.asarray(each, np.float64) - np.mean(each, axis=0, dtype=np.float64) for each in (first, second)]
    one, other = centred
    spread = np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
    if spread == 0.0:
        raise InputError("all vectors of a layer are the same; expected some that differ")
    return float(np.linalg.norm(other.T @ one) ** 2 / spread)


def cka_of_layers(model: Model, batch: Mapping[str, Any], other: Model | None = None) -> NamedArray:
    """CKA of every layer's output with every layer's of the same or another model, over the batch's real tokens.

    [layers, other_layers]; the first of each are the embeddings. Raises InputError as the models do; both read the same ids.
    """
    is_real = np.asarray(inputs_of(model, batch).attention_mask) > 0
    layers = [_outputs(each, batch, is_real) for each in ((model,) if other is None else (model, other))]
    values = np.array([[cka(one, another) for another in layers[-1]] for one in layers[0]])
    return NamedArray(values, ("layers", "other_layers"))


def _outputs(model: Model, batch: Mapping[str, Any], is_real: np.ndarray) -> list[np.ndarray]:
    captured = run(model, batch, capture=["embeddings.output", "layers.*.output"]).captured
    return [array.values[is_real] for array in captured.values()]
