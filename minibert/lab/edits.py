"""Edits: what is put in the place of an intermediate, or of a part of it, while a model runs.

An edit is a value. What it does and to which names is part of the compiled program; numbers and places are not, so that another
head, position or factor needs no compilation.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import InputError, shown
from minibert.lab.arguments import MOST
from minibert.lab.named_array import NamedArray, axes_of
from minibert.lab.names import fits, names_like

Places = int | Sequence[Any]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["value", "at"], meta_fields=["names", "action", "axes"])
@dataclass(frozen=True, eq=False)
class Edit:
    """Made by `replace`, `zero`, `scale`, `add` and `mean_ablate`."""

    names: str
    """An intermediate's name, or a pattern with * for several: "layers.*.attention.context"."""
    action: str
    value: Any
    at: Mapping[str, Any]
    """Places by axis, whole numbers; the edit is made where all of them are met."""
    axes: tuple[str, ...] | None = None
    """Of the value, where it has names for them: it is laid along these."""

    def concerns(self, name: str) -> bool:
        """Whether it edits this intermediate."""
        return fits(name, self.names)

    def apply(self, name: str, value: Array, real: Array) -> Array:
        """The intermediate, [batch, …] with all its axes, edited. `real` [batch, tokens] is 1 where a token is no padding."""
        axes = axes_of(name, value.ndim)
        given = self.value_for(name, value.ndim, value.dtype)
        if self.action == "replace":
            edited = jnp.broadcast_to(given, value.shape)
        elif self.action == "scale":
            edited = value * given
        elif self.action == "add":
            edited = value + given
        else:
            edited = jnp.broadcast_to(_mean(value, axes, real), value.shape)
        is_there = jnp.ones((1,) * value.ndim, bool)
        for axis, places in self.at.items():
            dimension = axes.index(axis)
            along = (jnp.arange(value.shape[dimension])[:, None] == jnp.reshape(places, (1, -1))).any(axis=1)
            is_there = is_there & along.reshape(-1, *[1] * (value.ndim - dimension - 1))
        return jnp.where(is_there, edited, value)

    def value_for(self, name: str, dimensions: int, dtype: Any) -> Array:
        """The value as it spreads to an intermediate of so many axes: a NamedArray's axes are brought to those of their names."""
        value = jnp.asarray(self.value, dtype)
        if self.axes is None:
            return value
        axes = axes_of(name, dimensions)
        order = [self.axes.index(axis) for axis in axes if axis in self.axes]
        return value.transpose(order).reshape(self._shape_along(axes))

    def _shape_along(self, axes: tuple[str, ...]) -> tuple[int, ...]:
        """The shape of the value as it spreads to an intermediate of these axes."""
        shape = np.shape(self.value)
        if self.axes is None:
            return shape
        lengths = dict(zip(self.axes, shape, strict=True))
        return tuple(lengths.get(axis, 1) for axis in axes)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """InputError where it fits none of the intermediates, by their names, or not all that it concerns."""
        for name in names_like(self.names, shapes):
            shape, axes = shapes[name], axes_of(name, len(shapes[name]))
            for axis, places in self.at.items():
                if axis not in axes:
                    raise InputError(f"{name} has no axis {shown(axis)}; expected one of {', '.join(axes)}")
                length = shape[axes.index(axis)]
                if any(not 0 <= place < length for place in np.ravel(places).tolist()):
                    told = shown(np.asarray(places).tolist())
                    raise InputError(f"{axis} of the edit of {name} is {told}; expected places from 0 to {length - 1}")
            if self.axes is not None and not set(self.axes) <= set(axes):
                raise InputError(
                    f"the value for {name} has the axes {', '.join(self.axes)}; expected some of {', '.join(axes)}, or an array "
                    "without names"
                )
            try:
                spreads = np.broadcast_shapes(self._shape_along(axes), shape) == shape
            except ValueError:
                spreads = False
            if not spreads:
                raise InputError(
                    f"the value for {name} has shape {list(np.shape(self.value))}; expected a number or what spreads to "
                    f"{list(shape)} [{', '.join(axes)}]"
                )


def replace(names: str, value: Any, **at: Places) -> Edit:
    """Put `value` in the place of an intermediate, or of the part at some places.

    Args:
        names: an intermediate's name, or a pattern with *.
        value: a number, or an array that is or spreads to the whole intermediate, of which the part at the same places is
            taken: so a captured intermediate of another text can be given as it is. The axes of a NamedArray are laid along
            those of the same names: one of [heads] has a number for each head.
        at: places by axis: `heads=3`, `tokens=[0, 1]`, `batch=0`, `hidden=308`; everywhere if absent.

    Raises InputError for what is no number, no array of numbers, or too large for float32, and for what are no places; whether
    they fit the intermediate is seen when a model is run.
    """
    return _edit(names, "replace", value, at)


def zero(names: str, **at: Places) -> Edit:
    """Put zeros there; arguments as of `replace`."""
    return replace(names, 0.0, **at)


def scale(names: str, factor: Any, **at: Places) -> Edit:
    """Multiply by a factor, or an array of them; arguments as of `replace`."""
    return _edit(names, "scale", factor, at)


def add(names: str, value: Any, **at: Places) -> Edit:
    """Add to what is there; arguments as of `replace`."""
    return _edit(names, "add", value, at)


def mean_ablate(names: str, **at: Places) -> Edit:
    """Put its mean over the batch's texts and real tokens there, so that it tells them apart no more; arguments as of `replace`.

    Of scores and probabilities it is the mean over texts and attending tokens.
    """
    return _edit(names, "mean", 0.0, at)


def _edit(names: str, action: str, value: Any, at: Mapping[str, Places]) -> Edit:
    if not isinstance(names, str):
        raise InputError(f"the intermediate to edit is {shown(names)}; expected a name, or a pattern with *: 'layers.*.output'")
    axes = value.axes if isinstance(value, NamedArray) else None
    return Edit(names, action, _plain(value.values if isinstance(value, NamedArray) else value), _places(at), axes)


def _plain(value: Any) -> Any:
    try:
        found = value if isinstance(value, jax.Array) else np.asarray(value)
    except (TypeError, ValueError):
        found = None
    if found is None or not jnp.issubdtype(found.dtype, jnp.number) or jnp.iscomplexobj(found):
        raise InputError(f"the value of an edit is {shown(value)}; expected a number or an array of them")
    if isinstance(found, jax.Array):
        return found
    if not isinstance(value, np.ndarray | np.generic):
        # One dtype for all numbers of Python's, so that another one needs no compilation.
        found = found.astype(np.float64)
    widest = jax.dtypes.canonicalize_dtype(np.float64)
    with np.errstate(over="ignore"):
        if not np.array_equal(np.isinf(found), np.isinf(found.astype(widest))):
            raise InputError(f"the value of an edit is {shown(value)}, which {widest.name} cannot hold; give a smaller one")
    return found


def _places(at: Mapping[str, Places]) -> dict[str, np.ndarray]:
    found = {}
    for axis, places in at.items():
        try:
            array = np.asarray(places)
        except ValueError:
            raise InputError(f"{axis} is {shown(places)}; expected a whole number from 0 up, or a list of them") from None
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size == 0 or array.min() < 0 or array.max() > MOST:
            raise InputError(f"{axis} is {shown(places)}; expected a whole number from 0 up, or a list of them")
        found[axis] = array.astype(np.int32)
    return found


def _mean(value: Array, axes: tuple[str, ...], real: Array) -> Array:
    over = tuple(axes.index(axis) for axis in ("batch", "tokens") if axis in axes)
    weights = jnp.ones(real.shape[:1]) if "tokens" not in axes else real
    shape = [length if dimension in over else 1 for dimension, length in enumerate(value.shape)]
    weights = weights.reshape(shape).astype(value.dtype)
    return (value * weights).sum(axis=over, keepdims=True) / weights.sum()
