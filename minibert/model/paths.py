"""The paths of a model's parameters, as tables of names have them."""

from typing import Any

import jax


def path_of(keys: Any) -> str:
    """A leaf's path as the tables of names have it: `bert.encoder.layers.0.attention.query.kernel`."""
    return jax.tree_util.keystr(keys, simple=True, separator=".").removesuffix(".value")
