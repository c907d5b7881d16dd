"""A model laid out for training: the same parameters in the same places, whose sums take fewer passes."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from minibert.model.encoder import Encoder
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import Dense


def for_training(model: Any, *, rematerialise: bool = False) -> Any:
    """A model that shares `model`'s parameters and differs in rounding only, which gradients of single batches dwarf.

    Dense layers sum in one run of terms, LayerNorm works in float32: what the halves and float64 save in rounding they cost
    twice, for the gradient has their shape. `rematerialise` is `Encoder`'s.
    """
    fast = jax.tree.map(lambda leaf: leaf, model)
    for _, module in list(nnx.iter_graph(fast)):
        if isinstance(module, Dense):
            module.partial_sums = 1
        elif isinstance(module, LayerNorm):
            module.in_float64_on_cpu = False
        elif isinstance(module, Encoder):
            module.rematerialise = rematerialise
    return fast


def compiler_options(*, rematerialise: bool) -> dict[str, str] | None:
    """How a step is compiled so that `rematerialise` saves memory: a CPU's scheduler otherwise computes all again at once."""
    if rematerialise and jax.default_backend() == "cpu":
        return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
    return None


def as_loaded(trained: Any, model: Any) -> Any:
    """The parameters of `trained`, arrays of NumPy or JAX, in a model laid out as `model`, as arrays of JAX."""
    return jax.tree.unflatten(jax.tree.structure(model), [jnp.asarray(leaf) for leaf in jax.tree.leaves(trained)])
