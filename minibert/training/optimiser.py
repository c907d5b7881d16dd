"""BERT's optimiser: AdamW, a warm-up and a decay, clipped gradients, and parts of the model that learn slower or not at all.

Devlin et al. 2018, appendix A.2 and A.3; google-research/bert, optimization.py. Of Google's code we differ as transformers does:
Adam's moments are corrected for their start at zero.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from minibert.errors import InputError, shown
from minibert.model.paths import frozen_parameters, path_of

SCHEDULES = ("linear", "cosine", "constant")
NOT_DECAYED = ("bias", "layer_norm")
"""Parts of the paths of parameters that weight decay leaves alone."""
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


@dataclass(frozen=True)
class OptimiserOptions:
    """How a model learns.

    Args:
        learning_rate: the highest, at the end of the warm-up.
        weight_decay: what share of it each weight loses a step; biases and LayerNorms lose none.
        warm_up: the share of all steps in which the learning rate rises from zero.
        schedule: what it does then: falls to zero in a line (`linear`) or as half a cosine (`cosine`), or stays (`constant`).
        max_gradient_norm: longer gradients, of all parameters together, are shortened to it; None for never.
        beta1, beta2, epsilon: Adam's; epsilon is the paper's code's.
        layer_decay: every layer learns by this factor slower than the one above it; the embeddings stand below the first.
        frozen_layers: so many layers from below, and with the first of them the embeddings, do not learn.
        freeze_encoder: nothing learns but the heads.

    Raises InputError for a value out of range, and for a decay over layers of which none learns.
    """

    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warm_up: float = 0.1
    schedule: str = "linear"
    max_gradient_norm: float | None = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    layer_decay: float = 1.0
    frozen_layers: int = 0
    freeze_encoder: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (
            ("learning_rate", 0.0, 1e3),
            ("weight_decay", 0.0, 1.0),
            ("warm_up", 0.0, 1.0),
            # Adam divides by 1 − beta, and by epsilon where a gradient is zero.
            ("beta1", 0.0, 0.9999999),
            ("beta2", 0.0, 0.9999999),
            ("epsilon", 1e-30, 1.0),
            ("layer_decay", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if type(value) not in (int, float) or not least <= value <= most:
                raise InputError(f"{name} is {shown(value)}; expected a number from {least:g} to {most:g}")
        if self.max_gradient_norm is not None and not (
            type(self.max_gradient_norm) in (int, float) and self.max_gradient_norm > 0.0
        ):
            raise InputError(f"max_gradient_norm is {shown(self.max_gradient_norm)}; expected a number above 0, or None")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {shown(self.schedule)}; expected one of {', '.join(SCHEDULES)}")
        if self.freeze_encoder and self.layer_decay != 1.0:
            raise InputError("layer_decay was given with freeze_encoder, where no layer learns; leave one of them out")
        if type(self.frozen_layers) is not int or self.frozen_layers < 0:
            raise InputError(f"frozen_layers is {shown(self.frozen_layers)}; expected a whole number from 0 up")


def optimiser(model: Any, total_steps: int, options: OptimiserOptions | None = None) -> optax.GradientTransformationExtraArgs:
    """What makes steps of gradients, for `optax.apply_updates(model, updates)`.

    Its `update` takes `gradient_norm=` from who has it, the norm of all that learns, and computes it otherwise.

    Args:
        model: a `BertWithHeads`, whose parameters' paths say what decays, learns slower or stays as it is.
        total_steps: of the whole training, warm-up included.
        options: OptimiserOptions, the defaults if absent.

    Raises InputError for more frozen layers than the model has, and for no step.
    """
    options = OptimiserOptions() if options is None else options
    if type(total_steps) is not int or total_steps < 1:
        raise InputError(f"total_steps is {shown(total_steps)}; expected a whole number from 1 up")
    depth = model.config.num_hidden_layers
    if options.frozen_layers > depth:
        raise InputError(f"frozen_layers is {options.frozen_layers}; the model has {depth} layers")
    rates = learning_shares(model, options)
    paths = _paths(model)
    learns = jax.tree.map(lambda share: share > 0.0, rates)
    decays = jax.tree.map(lambda path: not any(part in path for part in NOT_DECAYED), paths)
    steps = [
        # What is frozen counts for nothing in the norm of the gradient, as if it were not there.
        optax.masked(optax.set_to_zero(), jax.tree.map(lambda share: share == 0.0, rates)),
        optax.identity() if options.max_gradient_norm is None else _shortened_to(options.max_gradient_norm),
        optax.masked(
            optax.adamw(
                learning_rate(total_steps, options),
                b1=options.beta1,
                b2=options.beta2,
                eps=options.epsilon,
                weight_decay=options.weight_decay,
                mask=decays,
            ),
            learns,
        ),
        optax.stateless(lambda updates, _: jax.tree.map(lambda update, share: update * share, updates, rates)),
    ]
    return optax.with_extra_args_support(optax.chain(*steps))


def _shortened_to(most: float) -> optax.GradientTransformationExtraArgs:
    """`optax.clip_by_global_norm`, but by a factor: its quotient of every value would be an array as large as the model."""

    def shorten(
        gradients: Any, state: Any, parameters: Any = None, *, gradient_norm: Array | None = None, **_: Any
    ) -> tuple[Any, Any]:
        norm = optax.tree.norm(gradients) if gradient_norm is None else gradient_norm
        factor = jnp.minimum(1.0, most / norm)
        return jax.tree.map(lambda gradient: gradient * factor, gradients), state

    return optax.GradientTransformationExtraArgs(lambda parameters: optax.EmptyState(), shorten)


def learning_shares(model: Any, options: OptimiserOptions) -> Any:
    """The model's tree with, for each parameter, by what its learning rate is multiplied: zero for what does not learn."""
    depth = model.config.num_hidden_layers
    frozen = frozen_parameters(model)
    return jax.tree.map(lambda path: 0.0 if path in frozen else _share(path, depth, options), _paths(model))


def learning_rate(total_steps: int, options: OptimiserOptions) -> Callable[[Any], Any]:
    """The learning rate of each step, counted from 0: zero at the first of a warm-up, as transformers' schedules have it."""
    warm_up = round(total_steps * options.warm_up)
    rest = max(1, total_steps - warm_up)
    after: dict[str, Callable[[], Callable[[Any], Any]]] = {
        "linear": lambda: optax.linear_schedule(options.learning_rate, 0.0, rest),
        "cosine": lambda: optax.cosine_decay_schedule(options.learning_rate, rest),
        "constant": lambda: optax.constant_schedule(options.learning_rate),
    }
    if warm_up == 0:
        return after[options.schedule]()
    rising = optax.linear_schedule(0.0, options.learning_rate, warm_up)
    return optax.join_schedules([rising, after[options.schedule]()], [warm_up])


def _paths(model: Any) -> Any:
    """The model's tree with the path of each parameter in its place: `bert.encoder.layers.0.attention.query.kernel`."""
    return jax.tree_util.tree_map_with_path(lambda keys, _: path_of(keys), model)


def _share(path: str, depth: int, options: OptimiserOptions) -> float:
    """By what a parameter's learning rate is multiplied; zero for what does not learn."""
    layer = _LAYER.search(path)
    # 0 for the embeddings, 1 for the first layer, and above the last one pooler and heads.
    height = int(layer[1]) + 1 if layer else 0 if ".embeddings." in path else depth + 1
    if (options.freeze_encoder and not path.startswith("heads.")) or (options.frozen_layers and height <= options.frozen_layers):
        return 0.0
    return float(options.layer_decay ** (depth + 1 - height))
