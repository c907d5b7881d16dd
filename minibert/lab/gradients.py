"""Gradients with respect to intermediates, and attributions that are made of them."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import InputError, shown
from minibert.lab.edits import add, replace
from minibert.lab.named_array import NamedArray, axes_of
from minibert.lab.names import names_like
from minibert.lab.patching import Metric
from minibert.lab.running import Editing, Model, forward, inputs_of, run, shapes_of
from minibert.model.inputs import ModelInputs
from minibert.model.numerics import hidden_dtype


def gradients(model: Model, batch: Mapping[str, Any], metric: Metric, names: str | Iterable[str]) -> dict[str, NamedArray]:
    """The gradient of a metric with respect to intermediates, each as large as the intermediate.

    Args:
        model: as `minibert.load` gives it.
        batch: the texts.
        metric: of the model's output, an array of JAX with a number a text; texts do not touch each other, so that the
            gradient of their sum is that of each.
        names: of intermediates, or patterns with *.

    Raises InputError for a batch that the model does not take and for names there are not.
    """
    inputs = inputs_of(model, batch)
    shapes = shapes_of(model, inputs)
    found = names_like(names, shapes)
    zeros = {name: jnp.zeros(shapes[name], hidden_dtype(model.config)) for name in found}
    values = _gradients(model, inputs, zeros, metric)
    return {name: NamedArray(np.asarray(values[name]), axes_of(name, values[name].ndim)) for name in found}


def value_times_gradient(
    model: Model, batch: Mapping[str, Any], metric: Metric, names: str | Iterable[str] = "layers.*.attention.probabilities"
) -> dict[str, NamedArray]:
    """Each value times the metric's gradient by it: to first order, what the metric would lose were the value zero.

    Of attention's probabilities, the default, it is attention x gradient (Chefer et al. 2021 begin with it; section 3.1).
    Arguments and errors as of `gradients`.
    """
    found = gradients(model, batch, metric, names)
    values = run(model, batch, capture=list(found)).captured
    return {name: NamedArray(values[name].values * slopes.values, slopes.axes) for name, slopes in found.items()}


class Attribution(NamedTuple):
    """What each value of an intermediate adds to a metric."""

    values: NamedArray
    """As large as the intermediate; their sum over a text is nearly `difference`."""
    difference: NamedArray
    """[batch]: the metric as it is, less what it is from the baseline."""


def integrated_gradients(
    model: Model,
    batch: Mapping[str, Any],
    metric: Metric,
    *,
    name: str = "embeddings.output",
    baseline: Any = 0.0,
    steps: int = 32,
) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017) from a baseline to an intermediate's own value, on a straight line.

    Args:
        model, batch, metric: as of `gradients`; the metric has a number a text.
        name: of the intermediate.
        baseline: a number, or an array that is or spreads to the intermediate.
        steps: points of Gauss and Legendre's rule, at which gradients are taken.

    Raises InputError for a batch that the model does not take, a name there is not, or no step.
    """
    if type(steps) is not int or not 1 <= steps <= 1000:
        raise InputError(f"steps is {shown(steps)}; expected a whole number from 1 to 1,000")
    inputs = inputs_of(model, batch)
    shapes = shapes_of(model, inputs)
    if name not in names_like(name, shapes):
        raise InputError(f"name is {shown(name)}; expected a single one, without *")
    start = replace(name, baseline)
    start.check(shapes)
    here = run(model, batch, capture=name).captured[name].values
    points, weights = np.polynomial.legendre.leggauss(steps)
    dtype = hidden_dtype(model.config)
    rule = (jnp.asarray((points + 1.0) / 2.0, dtype), jnp.asarray(weights / 2.0, dtype))
    begin = jnp.broadcast_to(jnp.asarray(start.value, dtype), here.shape)
    values, difference = _integrated(model, inputs, begin, jnp.asarray(here), rule, name, metric)
    return Attribution(NamedArray(np.asarray(values), axes_of(name, values.ndim)), NamedArray(np.asarray(difference), ("batch",)))


@partial(jax.jit, static_argnames="metric")
def _gradients(model: Model, inputs: ModelInputs, zeros: dict[str, Array], metric: Metric) -> dict[str, Array]:
    def total(added: dict[str, Array]) -> Array:
        edits = [add(name, value) for name, value in added.items()]
        return metric(forward(model, inputs, Editing(model, inputs, edits))).sum()

    return jax.grad(total)(zeros)


@partial(jax.jit, static_argnames=("name", "metric"))
def _integrated(
    model: Model, inputs: ModelInputs, begin: Array, end: Array, rule: tuple[Array, Array], name: str, metric: Metric
) -> tuple[Array, Array]:
    def at(value: Array) -> Array:
        return metric(forward(model, inputs, Editing(model, inputs, [replace(name, value)])))

    def add_point(total: Array, point: tuple[Array, Array]) -> tuple[Array, None]:
        share, weight = point
        return total + weight * jax.grad(lambda value: at(value).sum())(begin + share * (end - begin)), None

    mean, _ = jax.lax.scan(add_point, jnp.zeros_like(end), rule)
    return mean * (end - begin), at(end) - at(begin)
