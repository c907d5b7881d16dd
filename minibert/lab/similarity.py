"""How alike the layers of models are: linear centred kernel alignment (Kornblith et al. 2019, section 3)."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from minibert.errors import InputError, shown
from minibert.lab.arguments import check_model, check_real
from minibert.lab.named_array import NamedArray
from minibert.lab.running import Model, inputs_of, run

SAME = 1e-12
"""Values that differ by less than this share of their size differ by rounding."""


def cka(
    first: NamedArray | Float[np.ndarray, "rows features"], second: NamedArray | Float[np.ndarray, "same_rows other_features"]
) -> float:
    """Linear CKA of two sets of vectors of the same things, from 0 to 1: `‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖)`, both centred.

    Turning the axes of either, or one factor for all of its values, changes nothing. Raises InputError for what is no matrix of
    finite numbers, for unequally many rows, and for vectors that are all the same.
    """
    one, other = _matrix(first, "first"), _matrix(second, "second")
    if len(one) != len(other):
        raise InputError(f"there are {len(one)} and {len(other)} rows; expected a vector of the same thing in each")
    one, other = _centred(one, "first"), _centred(other, "second")
    if len(one) < max(one.shape[1], other.shape[1]):
        # The same from products of rows, `⟨XXᵀ, YYᵀ⟩ / (‖XXᵀ‖ ‖YYᵀ‖)`: of many features the others would not fit into memory.
        one, other = one @ one.T, other @ other.T
        return float((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other)))
    return float(np.linalg.norm(other.T @ one) ** 2 / (np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)))


def _matrix(given: Any, name: str) -> Float[np.ndarray, "rows features"]:
    try:
        vectors = np.asarray(given)
        if not (jnp.issubdtype(vectors.dtype, jnp.number) or vectors.dtype == bool) or np.iscomplexobj(vectors):
            raise TypeError
        vectors = vectors.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the {name} vectors are {shown(given)}; expected an array of numbers, [rows, features]") from None
    if vectors.ndim != 2 or not vectors.size:
        raise InputError(f"the {name} vectors have the shape {list(vectors.shape)}; expected [rows, features]")
    if not np.isfinite(vectors).all():
        raise InputError(f"the {name} vectors hold NaN or infinity; expected finite numbers")
    return vectors


def _centred(vectors: Float[np.ndarray, "rows features"], name: str) -> Float[np.ndarray, "rows features"]:
    """Less their mean, and brought to a size of one, so that no square of them is too large or too small for a float64."""
    size = np.abs(vectors).max()
    vectors = vectors / size if size > 0.0 else vectors
    centred = vectors - vectors.mean(axis=0)
    spread = np.abs(centred).max()
    if spread <= SAME:
        raise InputError(f"the {name} vectors are all the same; expected some that differ")
    return centred / spread


def cka_of_layers(model: Model, batch: Mapping[str, Any], other: Model | None = None) -> NamedArray:
    """CKA of every layer's output with every layer's of the same or another model, over the batch's real tokens.

    [layers, other_layers]; the first of each are the embeddings. Raises InputError as the models and `cka` do; both read the same
    ids.
    """
    is_real = np.asarray(inputs_of(model, batch).attention_mask) > 0
    check_real(is_real)
    if other is not None:
        check_model(other, what="the other model")
    layers = [_outputs(each, batch, is_real) for each in ((model,) if other is None else (model, other))]
    values = np.array([[cka(one, another) for another in layers[-1]] for one in layers[0]])
    return NamedArray(values, ("layers", "other_layers"))


def _outputs(model: Model, batch: Mapping[str, Any], is_real: np.ndarray) -> list[np.ndarray]:
    captured = run(model, batch, capture=["embeddings.output", "layers.*.output"]).captured
    return [array.values[is_real] for array in captured.values()]
