"""A model laid out for training: the same parameters in the same places, whose sums take fewer passes."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from minibert.model.attention import Attention
from minibert.model.encoder import Encoder
from minibert.model.feed_forward import FeedForward
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import Dense
from minibert.model.throughput import library_options
from minibert.training.attention import AttentionInParts
from minibert.training.feed_forward import FeedForwardInSlices


def for_training(model: Any, *, rematerialise: bool = False, devices: int = 1, one_core: bool = False) -> Any:
    """A model that shares `model`'s parameters and differs in rounding only, which gradients of single batches dwarf.

    Dense layers sum in one run of terms, LayerNorm works in float32: what the halves and float64 save in rounding they cost
    twice, for the gradient has their shape. On a single CPU attention takes a few texts at a time. `rematerialise` is
    `Encoder`'s, `devices` how many will share each batch, and `one_core` says that each program has a core to itself.
    """
    fast = jax.tree.map(lambda leaf: leaf, model)
    for _, module in list(nnx.iter_graph(fast)):
        if isinstance(module, Dense):
            module.partial_sums = 1
        elif isinstance(module, LayerNorm):
            module.in_float64_on_cpu = False
        elif isinstance(module, Encoder):
            module.rematerialise = rematerialise
        for name, part in list(vars(module).items()) if isinstance(module, nnx.Module) else ():
            if devices == 1 and jax.default_backend() == "cpu" and _is_plain(part, Attention, "query", "key", "value"):
                setattr(module, name, AttentionInParts(part, one_core=one_core))
            elif one_core and _is_plain(part, FeedForward, "intermediate", "projection") and FeedForwardInSlices.is_of_use(part):
                setattr(module, name, FeedForwardInSlices(part))
    return fast


def _is_plain(part: Any, kind: type, *layers: str) -> bool:
    """Whether this is the part as the project has it: one of the user's own may do anything else."""
    return type(part) is kind and all(type(getattr(part, name)) is Dense for name in layers)


def compiler_options(model: Any, *, rematerialise: bool = False) -> dict[str, bool | str]:
    """What to give `jax.jit` for a step of `model`."""
    if jax.default_backend() != "cpu":
        return {}
    # A CPU's usual scheduler computes all again at once, and saves no memory by it.
    frugal = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"} if rematerialise else {}
    return library_options(model.config) | frugal


def as_loaded(trained: Any, model: Any) -> Any:
    """The parameters of `trained`, arrays of NumPy or JAX, in a model laid out as `model`, as arrays of JAX."""
    return jax.tree.unflatten(jax.tree.structure(model), [jnp.asarray(leaf) for leaf in jax.tree.leaves(trained)])
