"""Gradients with respect to intermediates, and attributions that are made of them."""

import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import InputError, shown
from minibert.lab.arguments import Metric, check_metric, measured, whole_number
from minibert.lab.edits import add, replace
from minibert.lab.named_array import NamedArray, axes_of
from minibert.lab.names import names_like
from minibert.lab.running import Editing, Model, forward, inputs_of, run, shapes_of
from minibert.model.inputs import ModelInputs
from minibert.model.numerics import hidden_dtype


def gradients(model: Model, batch: Mapping[str, Any], metric: Metric, names: str | Iterable[str]) -> dict[str, NamedArray]:
    """The gradient of a metric with respect to intermediates, each as large as the intermediate.

    Args:
        model: as `minibert.load` gives it.
        batch: the texts.
        metric: of the model's output, an array of JAX with a number a text; texts do not touch each other, so that the
            gradient of their sum is that of each. Compiled once: what it reads from outside stays as it was the first time.
        names: of intermediates, or patterns with *.

    Raises InputError for a batch that the model does not take, for names there are not, and for a metric that gives no number a
    text.
    """
    check_metric(metric)
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
    """As large as the intermediate; their sum over a text is `difference`, within the tolerance."""
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
    tolerance: float = 1e-3,
    most_steps: int = 1024,
) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017) from a baseline to an intermediate's own value, on a straight line.

    Args:
        model, batch, metric: as of `gradients`; the metric has a number a text.
        name: of the intermediate.
        baseline: a number, or an array that is or spreads to the intermediate.
        steps: points of Gauss and Legendre's rule, at which gradients are taken, to begin with.
        tolerance: the line is divided, into pieces of so many points each, until every text's values add up to its difference
            within this share of the metric's largest size.
        most_steps: at most so many points are there on the line; a warning says when they do not do.

    Raises InputError for a batch that the model does not take, a name there is not, numbers out of range, a metric that gives no
    number a text, and where the metric or its gradient is not finite.
    """
    check_metric(metric)
    steps, most_steps = whole_number("steps", steps, 1, 1000), whole_number("most_steps", most_steps, 1)
    if most_steps < steps:
        raise InputError(f"most_steps is {most_steps}, fewer than steps, {steps}; expected as many at least")
    tolerance = tolerance.item() if isinstance(tolerance, np.floating) else tolerance
    if type(tolerance) not in (int, float) or not 0.0 < tolerance < 1.0:
        raise InputError(f"tolerance is {shown(tolerance)}; expected a number between 0 and 1")
    inputs = inputs_of(model, batch)
    shapes = shapes_of(model, inputs)
    if name not in names_like(name, shapes):
        raise InputError(f"name is {shown(name)}; expected a single one, without *")
    start = replace(name, baseline)
    start.check(shapes)
    here = run(model, batch, capture=name).captured[name].values
    begin = jnp.broadcast_to(start.value_for(name, here.ndim, hidden_dtype(model.config)), here.shape)
    ends = [np.asarray(_measured(model, inputs, jnp.asarray(value), name, metric), np.float64) for value in (begin, here)]
    for end, whence in zip(ends, ("from the baseline", "as the model is"), strict=True):
        _check_finite(end, f"the metric {whence}")
    difference, size = ends[1] - ends[0], max(float(np.abs(end).max()) for end in ends)
    pieces = 1
    while True:
        values = _in_pieces(model, inputs, begin, jnp.asarray(here), steps, pieces, name, metric)
        _check_finite(values, "a gradient between the baseline and the value")
        error = float(np.abs(values.reshape(len(values), -1).sum(axis=1) - difference).max())
        if error <= tolerance * size or 2 * pieces * steps > most_steps:
            break
        pieces *= 2
    if error > tolerance * size:
        share = error / size if size else np.inf
        warnings.warn(
            f"with {pieces * steps} steps the attributions add up to the difference within {share:.1e} of the "
            f"metric's size, not {tolerance:g}; give more, most_steps={4 * pieces * steps}, or another baseline: from zeros the "
            "line may begin where LayerNorm divides by next to nothing",
            stacklevel=2,
        )
    return Attribution(NamedArray(values, axes_of(name, values.ndim)), NamedArray(difference, ("batch",)))


@partial(jax.jit, static_argnames="metric")
def _gradients(model: Model, inputs: ModelInputs, zeros: dict[str, Array], metric: Metric) -> dict[str, Array]:
    def total(added: dict[str, Array]) -> Array:
        edits = [add(name, value) for name, value in added.items()]
        output = forward(model, inputs, Editing(model, inputs, edits))
        return measured(metric, output, inputs.input_ids.shape[0], a_number_each=True).sum()

    return jax.grad(total)(zeros)


def _in_pieces(
    model: Model, inputs: ModelInputs, begin: Array, end: Array, steps: int, pieces: int, name: str, metric: Metric
) -> np.ndarray:
    """The integral over the line in so many pieces of one length, each by Gauss and Legendre's rule."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros(end.shape)
    for piece in range(pieces):
        rule = (jnp.asarray((piece + (points + 1.0) / 2.0) / pieces, end.dtype), jnp.asarray(weights / 2.0 / pieces, end.dtype))
        total += np.asarray(_integrated(model, inputs, begin, end, rule, name, metric))
    return total


def _check_finite(values: np.ndarray, what: str) -> None:
    is_sound = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not is_sound.all():
        raise InputError(f"{what} is not finite for text {int(np.argmin(is_sound))}; give another baseline, or another metric")


@partial(jax.jit, static_argnames=("name", "metric"))
def _measured(model: Model, inputs: ModelInputs, value: Array, name: str, metric: Metric) -> Array:
    """The metric [batch] of the model with an intermediate in whose place `value` is."""
    output = forward(model, inputs, Editing(model, inputs, [replace(name, value)]))
    return measured(metric, output, inputs.input_ids.shape[0], a_number_each=True)


@partial(jax.jit, static_argnames=("name", "metric"))
def _integrated(
    model: Model, inputs: ModelInputs, begin: Array, end: Array, rule: tuple[Array, Array], name: str, metric: Metric
) -> Array:
    def at(value: Array) -> Array:
        return _measured(model, inputs, value, name, metric)

    def add_point(total: Array, point: tuple[Array, Array]) -> tuple[Array, None]:
        share, weight = point
        return total + weight * jax.grad(lambda value: at(value).sum())(begin + share * (end - begin)), None

    mean, _ = jax.lax.scan(add_point, jnp.zeros_like(end), rule)
    return mean * (end - begin)
