"""Why a step failed: the first tensor of it that is not finite, in the order in which a step computes them."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from minibert.model.paths import path_of
from minibert.training.losses import IGNORED, cross_entropy
from minibert.training.step import Batch, Objective, divided, inputs_of, key_of

_FORWARD = (
    "embeddings.",
    "embeddings.layer_norm",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.projection",
    "attention.layer_norm",
    "feed_forward.intermediate",
    "feed_forward.projection",
    "feed_forward.layer_norm",
    "pooler.",
    "heads.",
)
"""Parts of parameters' paths in the order in which a forward pass reaches them, a layer's within the layer."""


def first_bad_tensor(model: Any, objective: Objective, batch: Batch, *, seed: int, step: int, accumulation: int = 1) -> str:
    """What in this step is not finite first: a parameter, an intermediate by the name that taps know, the loss, a gradient.

    The step is computed again, operation by operation. Reduced precision that overflowed in the compiled step alone is said to
    have done so.

    Args:
        model: as it was before the step, of JAX's arrays that lie on one device.
        objective, batch, seed, accumulation: as the step had them.
        step: which it was, counted from 0: its dropout is drawn again.
    """
    parameter = first_bad_leaf(model)
    if parameter is not None:
        return f"the parameter {parameter}"
    batch = jax.tree.map(jnp.asarray, dict(batch))
    key = key_of(seed, step)
    weights = objective.weights(batch)
    total = jax.tree.map(jnp.zeros_like, model)
    for rows, part_key in _parts(batch, key, accumulation):
        intermediate = _first_bad_intermediate(model, rows, part_key)
        if intermediate is not None:
            return f"the intermediate {intermediate}"
        loss, gradients = jax.value_and_grad(objective.loss)(model, rows, weights, part_key)
        if not np.isfinite(loss):
            return f"the loss itself{_foreign_label(model, objective, rows)}"
        gradient = _first_bad_gradient(gradients)
        if gradient is not None:
            return f"the gradient of {gradient}"
        total = jax.tree.map(jnp.add, total, gradients)
    if not np.isfinite(optax.tree.norm(total)):
        return "the norm of all gradients together"
    return "what the compiled step alone rounds to infinity"


def first_bad_leaf(tree: Any) -> str | None:
    """The path of the first array in a tree that is not finite; None where all are."""
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not jnp.isfinite(leaf).all():
            return path_of(keys)
    return None


def _first_bad_intermediate(model: Any, rows: Batch, key: Array) -> str | None:
    seen: list[str] = []

    def look(name: str, value: Array) -> Array:
        if not seen and not jnp.isfinite(value).all():
            seen.append(name)
        return value

    model(*inputs_of(rows), dropout_key=key, tap=look)
    return seen[0] if seen else None


def _foreign_label(model: Any, objective: Objective, rows: Batch) -> str:
    """What to say of a label that the head has no logit for."""
    logits = model(*inputs_of(rows)).logits_by_head
    for name, labels in objective.labels(rows).items():
        if objective.losses[name] is not cross_entropy:
            continue
        count = logits[name].shape[-1]
        foreign = labels[(labels != IGNORED) & ((labels < 0) | (labels >= count))]
        if foreign.size:
            return f" (the label {foreign[0]:,} is none of the {count:,} of the head {name!r}, which count from 0)"
    return ""


def _first_bad_gradient(gradients: Any) -> str | None:
    """The one that a backward pass reaches first: those of the heads come before all, those of the embeddings last."""
    of_paths = [(path_of(keys), leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(gradients)]
    for path, leaf in sorted(of_paths, key=lambda item: _place(item[0]), reverse=True):
        # Squared, as it is in the norm.
        if not jnp.isfinite(jnp.square(leaf.astype(jnp.float32)).sum()):
            return path
    return None


def _place(path: str) -> tuple[float, int]:
    """Where in a forward pass a parameter comes."""
    layer = re.search(r"layers\.(\d+)\.", path)
    part = max((place for place, name in enumerate(_FORWARD) if name in path), default=0)
    if layer is not None:
        return float(layer[1]), part
    return (-1.0 if "embeddings." in path else float("inf")), part


def _parts(batch: Batch, key: Array, accumulation: int) -> list[tuple[Batch, Array]]:
    if accumulation == 1:
        return [(batch, key)]
    parts, keys = divided(batch, key, accumulation)
    return [(jax.tree.map(lambda array, part=part: array[part], parts), keys[part]) for part in range(accumulation)]
