"""Activation patching, swept over layers and positions or heads (Vig et al. 2020; Meng et al. 2022, "causal tracing")."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import InputError, shown
from minibert.lab.arguments import Metric, check_metric, measured, whole_number
from minibert.lab.named_array import NamedArray, axes_of, by_axes
from minibert.lab.names import names_like
from minibert.lab.running import Model, forward, inputs_of, run, shapes_of
from minibert.model.inputs import ModelInputs


def patching_sweep(
    model: Model,
    batch: Mapping[str, Any],
    source: Mapping[str, Any],
    metric: Metric,
    *,
    part: str = "output",
    axis: str = "tokens",
    rows_at_once: int = 64,
) -> NamedArray:
    """What a metric of `batch` becomes when one place of one layer is as it was for `source`, for every layer and place.

    Args:
        model: as `minibert.load` gives it.
        batch: the texts that are run.
        source: as many texts of as many tokens; their intermediates are put in.
        metric: of the model's output for the batch, an array [batch, …] of JAX; called for every patch by itself; compiled, and
            once only if the same function comes again, so that what it reads from outside stays as it was the first time.
        part: of each layer, as in "layers.3.output" or "layers.3.attention.context".
        axis: which places: `tokens`, or `heads` where the part has them.
        rows_at_once: how many texts a pass of the compiled program takes.

    Returns:
        [layers, axis, batch, …]; what the metric is without any patch, `metric(model(**batch))` tells.

    Raises InputError for texts that do not correspond, for a part or an axis that there is not, and for a metric that gives no
    row a text.
    """
    check_metric(metric)
    rows_at_once = whole_number("rows_at_once", rows_at_once, 1)
    inputs, other = inputs_of(model, batch), inputs_of(model, source)
    if inputs.input_ids.shape != other.input_ids.shape:
        raise InputError(
            f"source has shape {list(other.input_ids.shape)}; expected that of the batch, {list(inputs.input_ids.shape)}: as "
            "many texts of as many tokens"
        )
    if not isinstance(part, str) or "*" in part:
        raise InputError(f"part is {shown(part)}; expected one intermediate of a layer, like 'attention.context'")
    names = names_like(f"layers.*.{part}", shapes_of(model, inputs))
    axes = axes_of(names[0])
    if not isinstance(axis, str) or axis not in axes[1:]:
        raise InputError(f"axis is {shown(axis)}; {names[0]} has {', '.join(axes[1:])}")
    captured = run(model, source, capture=names).captured
    lengths = {captured[name].shape[axis] for name in names}
    if len(lengths) > 1:
        raise InputError(
            f"the layers have different numbers of {axis} ({min(lengths)} to {max(lengths)}); patch them with lab.run"
        )
    patches = tuple(captured[name].values for name in names)
    places = patches[0].shape[axes.index(axis)]
    texts = inputs.input_ids.shape[0]
    count = len(names) * places
    variants = max(1, min(rows_at_once // texts, count))
    repeated = ModelInputs(*(np.tile(array, (variants, 1)) for array in inputs))
    found = []
    for first in range(0, count, variants):
        # The last pass goes over its own end, so that all have the same shape.
        numbers = np.arange(first, first + variants) % count
        found.append(_patched(model, repeated, patches, numbers // places, numbers % places, names, axis, metric))
    values = np.concatenate([np.asarray(each) for each in found])[:count]
    further = tuple(f"metric_{number}" for number in range(values.ndim - 2))
    return NamedArray(values.reshape(len(names), places, *values.shape[1:]), ("layers", axis, "batch", *further))


@partial(jax.jit, static_argnames=("names", "axis", "metric"))
def _patched(
    model: Model,
    inputs: ModelInputs,
    patches: tuple[Array, ...],
    layers: Array,
    places: Array,
    names: tuple[str, ...],
    axis: str,
    metric: Metric,
) -> Array:
    variants = layers.shape[0]
    texts = inputs.input_ids.shape[0] // variants

    def tap(name: str, value: Array) -> Array:
        number = names.index(name)
        patch, axes = patches[number], axes_of(name)
        by_variant = by_axes(name, value, model.config).reshape(variants, *patch.shape)
        dimension = axes.index(axis)
        along = (layers == number)[:, None] & (places[:, None] == jnp.arange(patch.shape[dimension]))  # [variants, axis]
        shape = [1] * (patch.ndim + 1)
        shape[0], shape[dimension + 1] = along.shape
        return jnp.where(along.reshape(shape), patch, by_variant).reshape(value.shape)

    output = forward(model, inputs, _Only(tap, names))
    by_variant = jax.tree.map(lambda leaf: leaf.reshape(variants, texts, *leaf.shape[1:]), output)
    # Each variant by itself: a metric may know something of each text, or look from one text at another.
    return jax.vmap(lambda each: measured(metric, each, texts, a_number_each=False))(by_variant)


class _Only:
    """A tap that looks at some names only."""

    def __init__(self, tap: Callable[[str, Array], Array], names: tuple[str, ...]) -> None:
        self.tap, self.names = tap, names

    def __call__(self, name: str, value: Array) -> Array:
        return self.tap(name, value) if name in self.names else value

    def wants(self, name: str) -> bool:
        return name in self.names
