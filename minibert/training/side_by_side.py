"""A step on a CPU as a program for each core: side by side they compute the gradients of a batch's parts.

In one program XLA spreads each product over all cores, which then wait for each other at every one, and attention's products are
too small to be spread at all. A program that has a core to itself keeps its part of the batch in that core's cache. What it costs
is a gradient of all parameters for each core.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from minibert.cores import cores
from minibert.model.dropout import key_of_part
from minibert.model.throughput import ONE_CORE_A_PROGRAM
from minibert.training.layout import compiler_options, for_training
from minibert.training.optimiser import OptimiserOptions
from minibert.training.options import TrainingOptions
from minibert.training.parallel import Placement
from minibert.training.step import (
    Batch,
    Measured,
    Objective,
    TrainingState,
    first_state,
    key_of,
    on_leaves,
    state_update,
    training_step,
    which_learn,
)

MOST_CORES = 4
"""With more, their gradients take more memory and their parts of a batch are too small for good products."""


def parts_at_once(options: TrainingOptions) -> int:
    """Into how many parts a batch is divided that are computed at the same time: a part for each core, or 1 for one program.

    It is 1 on accelerators, on several devices or processes, on more than `MOST_CORES` cores, where the cores do not divide
    the batch, and where the batch is divided or layers are rematerialised already to save memory.
    """
    count = cores()
    is_alone = jax.default_backend() == "cpu" and jax.device_count() == 1
    saves_memory = options.accumulation > 1 or options.rematerialise
    return count if is_alone and not saves_memory and count <= MOST_CORES and options.batch_size % count == 0 else 1


def start_and_step(
    model: Any, objective: Objective, total_steps: int, options: TrainingOptions, placement: Placement
) -> tuple[TrainingState, Callable[[list[Array], Batch], tuple[list[Array], Measured]]]:
    """The state before the first step, laid out for training and placed, and the step from and to the arrays of such a state.

    A step of one program is a function of `jax.jit`. Raises InputError as `optimiser` does.
    """
    parts = parts_at_once(options)
    fast = for_training(model, rematerialise=options.rematerialise, devices=placement.count, one_core=parts > 1)
    state = placement.place(first_state(fast, total_steps, options.optimiser, seed=options.seed))
    layout = (jax.tree.leaves(placement.shardings(state)), placement.everywhere)
    if parts > 1:
        return state, StepSideBySide(state, objective, total_steps, options.optimiser, parts, layout)
    step = training_step(
        fast,
        objective,
        total_steps,
        options.optimiser,
        accumulation=options.accumulation,
        gathered=placement.gathered,
    )
    return state, jax.jit(
        on_leaves(step, jax.tree.structure(state)),
        donate_argnums=0,
        out_shardings=layout,
        compiler_options=compiler_options(fast, rematerialise=options.rematerialise),
    )


class StepSideBySide:
    """A step from and to a list of arrays, as `on_leaves` has it. It differs from one program's by rounding.

    The first call with each shape compiles.

    Args:
        state: before a step; its values are not kept.
        objective, total_steps, options: as of `training_step`.
        parts: from 2 up; they divide the rows of every batch.
        layout: how the arrays after a step and what is measured lie, `out_shardings` of `jax.jit`.
    """

    def __init__(
        self,
        state: TrainingState,
        objective: Objective,
        total_steps: int,
        options: OptimiserOptions,
        parts: int,
        layout: Any,
    ) -> None:
        self.objective, self.parts = objective, parts
        model, model_leaves = state.model, jax.tree.leaves(state.model)
        self.model_structure = jax.tree.structure(model)
        self.model_size = len(model_leaves)
        self.learns = which_learn(model, options)
        self.structure = jax.tree.structure(state)
        self.state_update = state_update(model, total_steps, options)
        self.options = compiler_options(model)
        self.programs: dict[Any, Callable[..., tuple[Array, list[Array]]]] = {}
        # JAX runs one after the other what one thread has begun: a thread for each part.
        self.threads = [ThreadPoolExecutor(1, thread_name_prefix=f"part {part} of a batch") for part in range(parts)]
        self.update = jax.jit(
            self._updated,
            donate_argnums=0,
            out_shardings=layout,
            compiler_options=self.options,
        )

    def __call__(self, leaves: list[Array], batch: Batch) -> tuple[list[Array], Measured]:
        """The arrays after a step, and what was measured; those before it are given up."""
        step, _, seed = leaves[self.model_size :][-3:]
        before = (leaves[: self.model_size], seed, step, batch)
        program = self._program(before)
        begun = [thread.submit(program, *before, jnp.int32(part)) for part, thread in enumerate(self.threads)]
        losses, gradients = zip(*(part.result() for part in begun), strict=True)
        return self.update(leaves, losses, gradients)

    def _program(self, before: tuple[list[Array], Array, Array, Batch]) -> Callable[..., tuple[Array, list[Array]]]:
        """Compiled here, as every thread would do it for itself."""
        arrays, structure = jax.tree.flatten(before[-1])
        shapes = (structure, *((array.shape, array.dtype) for array in arrays))
        if shapes not in self.programs:
            gradient = jax.jit(self._gradient, compiler_options=self.options | ONE_CORE_A_PROGRAM)
            self.programs[shapes] = gradient.lower(*before, jnp.int32(0)).compile()
        return self.programs[shapes]

    def _gradient(
        self, model_leaves: list[Array], seed: Array, step: Array, batch: Batch, part: Array
    ) -> tuple[Array, list[Array]]:
        """The share of one part in the loss, and in the gradients of what learns."""
        key = key_of_part(key_of(seed, step), part)

        def of_part(array: Array) -> Array:
            size = array.shape[0] // self.parts
            return jax.lax.dynamic_slice_in_dim(array, part * size, size)

        rows = jax.tree.map(of_part, dict(batch))
        learning = [leaf for leaf, learns in zip(model_leaves, self.learns, strict=True) if learns]

        def loss_of(learning: list[Array]) -> Array:
            found = iter(learning)
            leaves = [next(found) if learns else leaf for leaf, learns in zip(model_leaves, self.learns, strict=True)]
            model = jax.tree.unflatten(self.model_structure, leaves)
            return self.objective.loss(model, rows, self.objective.weights(batch), key)

        return jax.value_and_grad(loss_of)(learning)

    def _updated(
        self, leaves: list[Array], losses: tuple[Array, ...], gradients: tuple[list[Array], ...]
    ) -> tuple[list[Array], Measured]:
        state = jax.tree.unflatten(self.structure, leaves)
        summed = iter([sum(of_parts[1:], start=of_parts[0]) for of_parts in zip(*gradients, strict=True)])
        # The optimiser wants a gradient of what is frozen too, and makes nothing of it.
        complete = [
            next(summed) if learns else jnp.zeros_like(leaf)
            for leaf, learns in zip(leaves[: self.model_size], self.learns, strict=True)
        ]
        loss = sum(losses[1:], start=losses[0])
        state, measured = self.state_update(state, loss, jax.tree.unflatten(self.model_structure, complete))
        return jax.tree.leaves(state), measured
