"""One step of training as one compiled program: gradients, perhaps of a batch in parts, and what the optimiser makes of them.

A step whose loss or gradient is not finite changes nothing, and neither does any step after it: the state says at which step it
happened, and everything that led to it is still there to be looked at.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Int, UInt32

from minibert.training.losses import Loss, mean_of
from minibert.training.optimiser import OptimiserOptions, learning_shares, optimiser

Batch = Mapping[str, Any]
"""`input_ids`, `attention_mask`, `token_type_ids` [rows, tokens] (of multiple choice [rows, choices, tokens]) and `labels`: an
array, or one for each head by its name."""


def inputs_of(batch: Batch) -> tuple[Any, Any, Any]:
    """What a model is called with."""
    return batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]


class TrainingState(NamedTuple):
    """All that a step changes."""

    model: Any
    optimiser: Any
    step: Int[Array, ""]
    """How many steps were made; also what the next one's dropout is drawn from."""
    failed_at: Int[Array, ""]
    """The step, counted from 0, whose loss or gradient was not finite; −1 while there was none."""
    seed: UInt32[Array, ""]
    """Of dropout's random numbers; no constant of the program, which then serves for every seed."""


class Measured(NamedTuple):
    """What a step tells."""

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    """Of all parameters that learn, before it was shortened."""


class Objective(NamedTuple):
    """What is minimised: the sum of the losses of the model's heads."""

    losses: Mapping[str, Loss]
    """By the heads' names."""
    class_weights: Mapping[str, Array] = {}
    """By the heads' names, where labels count unequally."""

    def labels(self, batch: Batch) -> Mapping[str, Array]:
        """Each head's labels."""
        labels = batch["labels"]
        return labels if isinstance(labels, Mapping) else {next(iter(self.losses)): labels}

    def weights(self, batch: Batch) -> dict[str, Array]:
        """By what each head's sums are divided."""
        tokens = batch["input_ids"].shape[-1]
        return {
            name: self.losses[name].weights(labels, tokens, self.class_weights.get(name))
            for name, labels in self.labels(batch).items()
        }

    def loss(self, model: Any, batch: Batch, weights: Mapping[str, Array], dropout_key: Array | None) -> Float[Array, ""]:
        """The share of this batch, or part of one, in the loss of all that `weights` counts."""
        logits = model(*inputs_of(batch), dropout_key=dropout_key).logits_by_head
        return sum(
            (
                mean_of(self.losses[name].sums(logits[name], labels, self.class_weights.get(name)), weights[name])
                for name, labels in self.labels(batch).items()
            ),
            start=jnp.zeros((), jnp.float32),
        )


def first_state(model: Any, total_steps: int, options: OptimiserOptions, *, seed: int = 0) -> TrainingState:
    """Before the first step; `seed` is dropout's. Raises InputError as `optimiser` does."""
    transform = optimiser(model, total_steps, options)
    start, none = jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32)
    return TrainingState(model, transform.init(model), start, none, jnp.full((), seed, jnp.uint32))


def training_step(
    model: Any,
    objective: Objective,
    total_steps: int,
    options: OptimiserOptions,
    *,
    accumulation: int = 1,
    gathered: Callable[[Any], Any] = lambda model: model,
) -> Callable[[TrainingState, Batch], tuple[TrainingState, Measured]]:
    """The function of a step, to be compiled: `jax.jit(training_step(…), donate_argnums=0)`.

    Args:
        model: whose parameters' paths say what learns; its values are not kept.
        objective: what is minimised.
        total_steps, options: as of `optimiser`, which raises InputError.
        accumulation: into so many parts a batch is divided, one after the other, to save memory; its rows are a multiple. The
            gradient is that of the whole batch, whatever labels the parts hold.
        gathered: what brings a model whose parameters lie in pieces together, where one device is to compute with all of it.
    """
    update = state_update(model, total_steps, options)

    def step(state: TrainingState, batch: Batch) -> tuple[TrainingState, Measured]:
        key = key_of(state.seed, state.step)
        weights = objective.weights(batch)

        def loss_of(model: Any, rows: Batch, key: Array) -> Float[Array, ""]:
            return objective.loss(gathered(model), rows, weights, key)

        if accumulation == 1:
            loss, gradients = jax.value_and_grad(loss_of)(state.model, batch, key)
        else:
            loss, gradients = _accumulated(loss_of, state.model, batch, key, accumulation)
        return update(state, loss, gradients)

    return step


def state_update(
    model: Any, total_steps: int, options: OptimiserOptions
) -> Callable[[TrainingState, Float[Array, ""], Any], tuple[TrainingState, Measured]]:
    """What follows the gradient in a step: its norm, the optimiser, and the state after it.

    `model`, `total_steps` and `options` are as of `training_step`; the function takes the loss and the gradients of a batch.
    """
    transform = optimiser(model, total_steps, options)
    learns = which_learn(model, options)

    def update(model: Any, optimiser_state: Any, gradients: Any, norm: Array) -> tuple[Any, Any]:
        updates, optimiser_state = transform.update(gradients, optimiser_state, model, gradient_norm=norm)
        return optax.apply_updates(model, updates), optimiser_state

    def updated(state: TrainingState, loss: Float[Array, ""], gradients: Any) -> tuple[TrainingState, Measured]:
        # Without what is frozen, whose gradients the compiler then never computes.
        learning = [gradient for gradient, counts in zip(jax.tree.leaves(gradients), learns, strict=True) if counts]
        norm = optax.tree.norm(learning)
        is_sound = jnp.isfinite(loss) & jnp.isfinite(norm) & (state.failed_at < 0)
        # In a branch, parameters change in their place; chosen one by one they would all be copied first.
        model, optimiser_state = jax.lax.cond(
            is_sound,
            update,
            lambda model, optimiser_state, *_: (model, optimiser_state),
            state.model,
            state.optimiser,
            gradients,
            norm,
        )
        failed_at = jnp.where(is_sound | (state.failed_at >= 0), state.failed_at, state.step)
        return TrainingState(model, optimiser_state, state.step + 1, failed_at, state.seed), Measured(loss, norm)

    return updated


def which_learn(model: Any, options: OptimiserOptions) -> list[bool]:
    """Of each of the model's parameters, in the order of its tree."""
    return [share > 0.0 for share in jax.tree.leaves(learning_shares(model, options))]


def on_leaves(
    step: Callable[[TrainingState, Batch], tuple[TrainingState, Measured]], structure: jax.tree_util.PyTreeDef
) -> Callable[[list[Array], Batch], tuple[list[Array], Measured]]:
    """The step from and to a list of arrays, which `structure` makes a state of: `leaves, structure = jax.tree.flatten(state)`.

    A state's modules are taken apart and put together in Python, for which a small model takes longer than for its sums.
    """

    def step_of_leaves(leaves: list[Array], batch: Batch) -> tuple[list[Array], Measured]:
        state, measured = step(jax.tree.unflatten(structure, leaves), batch)
        return jax.tree.leaves(state), measured

    return step_of_leaves


def key_of(seed: Any, step: Any) -> Array:
    """Of the dropout of a step, which is counted from 0."""
    return jax.random.fold_in(jax.random.key(seed), step)


def divided(batch: Batch, key: Array, parts: int) -> tuple[Batch, Array]:
    """A batch as so many parts, its arrays [parts, rows, …], and the key of each.

    Every part takes rows from everywhere, so that it is spread over devices as the whole batch is.
    """

    def of_parts(array: Array) -> Array:
        return array.reshape(array.shape[0] // parts, parts, *array.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(of_parts, dict(batch)), jax.random.split(key, parts)


def _accumulated(
    loss_of: Callable[[Any, Batch, Array], Array], model: Any, batch: Batch, key: Array, parts: int
) -> tuple[Float[Array, ""], Any]:
    """Loss and gradients of a batch, summed over parts of it."""

    def add(total: Any, part: tuple[Batch, Array]) -> tuple[Any, None]:
        rows, part_key = part
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss_of)(model, rows, part_key)), None

    zeros = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, model))
    total, _ = jax.lax.scan(add, zeros, divided(batch, key, parts))
    return total
