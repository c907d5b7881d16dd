"""Why a step failed: the first tensor of it that is not finite, in the order in which a step computes them."""

from typing import Any

import jax
import numpy as np
from jax import Array

from minibert.training.parallel import path_of
from minibert.training.step import Batch, Objective


def first_bad_tensor(model: Any, objective: Objective, batch: Batch, *, seed: int, step: int, accumulation: int = 1) -> str:
    """What in this step is not finite first: a parameter, an intermediate by the name that taps know, the loss, a gradient.

    Args:
        model: as it was before the step.
        objective, batch, seed, accumulation: as the step had them.
        step: which it was, counted from 0: its dropout is drawn again.
    """
    for keys, leaf in jax.tree_util.tree_leaves_with_path(model):
        if not np.isfinite(np.asarray(leaf)).all():
            return f"the parameter {path_of(keys)}"
    key = jax.random.fold_in(jax.random.key(seed), step)
    weights = objective.weights(batch)
    for rows, part_key in _parts(batch, key, accumulation):
        seen: list[str] = []

        def look(name: str, value: Array, seen: list[str] = seen) -> Array:
            if not seen and not np.isfinite(np.asarray(value)).all():
                seen.append(name)
            return value

        names = ("input_ids", "attention_mask", "token_type_ids")
        model(*(rows[name] for name in names), dropout_key=part_key, tap=look)
        if seen:
            return f"the intermediate {seen[0]}"
        loss, gradients = jax.value_and_grad(objective.loss)(model, rows, weights, part_key)
        if not np.isfinite(loss):
            return "the loss itself"
        # The gradient reaches the heads first and the embeddings last.
        for keys, leaf in reversed(jax.tree_util.tree_leaves_with_path(gradients)):
            values = np.asarray(leaf, np.float32)
            with np.errstate(over="ignore"):
                if not np.isfinite(np.square(values).sum()):
                    return f"the gradient of {path_of(keys)}"
    return "the norm of all gradients together"


def _parts(batch: Batch, key: Array, accumulation: int) -> list[tuple[Batch, Array]]:
    if accumulation == 1:
        return [(batch, key)]
    keys = jax.random.split(key, accumulation)
    return [
        (jax.tree.map(lambda array, part=part: array[part::accumulation], dict(batch)), keys[part])
        for part in range(accumulation)
    ]
