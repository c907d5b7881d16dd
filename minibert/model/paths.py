"""The paths of a model's parameters, as tables of names have them."""

from typing import Any

import jax
from flax import nnx

FROZEN = "frozen"
"""The attribute of a module that names, by their paths within it, parameters that never learn."""


def path_of(keys: Any) -> str:
    """A leaf's path as the tables of names have it: `bert.encoder.layers.0.attention.query.kernel`."""
    return jax.tree_util.keystr(keys, simple=True, separator=".").removesuffix(".value")


def frozen_parameters(model: Any) -> frozenset[str]:
    """The paths of all parameters that the model, or a module in it, says never learn."""
    if not isinstance(model, nnx.Module):
        return frozenset(getattr(model, FROZEN, ()))
    found: set[str] = set()
    for path, module in nnx.iter_graph(model):
        if isinstance(module, nnx.Module) and hasattr(module, FROZEN):
            found.update(".".join([*map(str, path), inner]) for inner in getattr(module, FROZEN))
    return frozenset(found)
