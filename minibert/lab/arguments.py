"""Checks of arguments that several functions of the laboratory take."""

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import InputError, shown
from minibert.model import Bert, BertWithHeads

Metric = Callable[[Any], Array]
"""From a model's output to an array that has a row a text.

It is compiled when it first comes, and found again by itself: what it reads from outside (a global, a variable of the function
around it, an attribute) stays as it was then. For another value give another function.
"""
MOST = (1 << 31) - 1


def as_python(number: Any) -> Any:
    """A whole number of NumPy's, such as argsort gives, as Python's; anything else as it is."""
    return number.item() if isinstance(number, np.integer) else number


def listed_numbers(given: Any) -> list[Any] | None:
    """What a list, a tuple, a range or an array of NumPy holds, whole numbers as Python's; None for anything else."""
    values = given.tolist() if isinstance(given, np.ndarray) else given
    return [as_python(value) for value in values] if isinstance(values, list | tuple | range) else None


def whole_number(name: str, value: Any, least: int, most: int = MOST) -> int:
    """The value of an argument as Python's number, be it NumPy's or Python's own; InputError unless it is within the range."""
    found = as_python(value)
    if type(found) is not int or not least <= found <= most:
        is_too_large = type(found) is int and found > most
        upwards = "up" if most == MOST and not is_too_large else f"to {most:,}"
        raise InputError(f"{name} is {shown(value)}; expected a whole number from {least} {upwards}")
    return found


def number_above_zero(name: str, value: Any) -> float:
    """The value of an argument as Python's number; InputError unless it is finite and above zero."""
    found = value.item() if isinstance(value, np.integer | np.floating) else value
    if type(found) not in (int, float) or not 0.0 < found <= sys.float_info.max:
        raise InputError(f"{name} is {shown(value)}; expected a finite number above 0")
    return found


def true_or_false(name: str, value: Any) -> bool:
    """The value of an argument; InputError for anything that only counts as true or false."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {shown(value)}; expected True or False")
    return value


def check_model(model: Any, kind: Any = Bert | BertWithHeads, what: str = "the model") -> None:
    """InputError for what is no model."""
    if not isinstance(model, kind):
        raise InputError(f"{what} is {shown(model)}; expected one that minibert.load gave")


def check_metric(metric: Any) -> None:
    """InputError for what cannot be called, or cannot be the key under which its compiled program is found."""
    if not callable(metric):
        raise InputError(f"the metric is {shown(metric)}; expected a function of the model's output")
    try:
        hash(metric)
    except TypeError:
        raise InputError(
            f"the metric is of the type {type(metric).__name__}, which has no hash; give a function, which is compiled once"
        ) from None


def measured(metric: Metric, output: Any, texts: int, *, a_number_each: bool) -> Array:
    """What a metric makes of an output, within a program that is being compiled.

    Raises InputError, before anything is computed, for a metric that computes with NumPy, and for what is no array of JAX with a
    row a text, or with `a_number_each` a number a text of which there is a gradient.
    """
    try:
        found = metric(output)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        raise InputError(
            "the metric computes with NumPy, or asks for a value by float(), if, or a mask, and there is none yet while it is "
            "compiled; write it with jax.numpy alone: jnp.where in place of if"
        ) from None
    wanted = "[batch]" if a_number_each else "[batch, …]"
    if not isinstance(found, jax.Array):
        raise InputError(f"the metric gives {_kind(found)}; expected an array of JAX, {wanted}, with a row a text")
    if a_number_each:
        is_right = found.shape == (texts,) and jnp.issubdtype(found.dtype, jnp.floating)
        expected = f"{wanted} of floating point, a number a text"
    else:
        is_right, expected = found.ndim > 0 and found.shape[0] == texts, f"{wanted}, a row a text"
    if not is_right:
        raise InputError(f"the metric gives {list(found.shape)} of {found.dtype}; expected {expected}")
    return found


def check_real(mask: np.ndarray) -> None:
    """InputError for a text of which every token is padding: it has no mean, no first token, and nothing to read from."""
    empty = np.flatnonzero(~(np.asarray(mask) > 0).any(axis=1))
    if len(empty):
        raise InputError(f"text {empty[0]} of the batch is padding only; leave it out")


def _kind(value: Any) -> str:
    return "None" if value is None else f"the type {type(value).__name__}"
