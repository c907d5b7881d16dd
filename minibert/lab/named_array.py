"""Arrays whose axes have names, and what the axes of each intermediate are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.config import BertConfig
from minibert.errors import InputError, shown
from minibert.lab.arguments import as_python, listed_numbers

HEADS = ("batch", "heads", "tokens", "head_dim")
PAIRS = ("batch", "heads", "tokens", "attended")
ROWS = ("batch", "tokens", "hidden")
AXES = {
    "attention.query": HEADS,
    "attention.key": HEADS,
    "attention.value": HEADS,
    "attention.scores": PAIRS,
    "attention.probabilities": PAIRS,
    # What each head gathered, side by side: [batch, tokens, hidden] to the model.
    "attention.context": ("batch", "tokens", "heads", "head_dim"),
    "feed_forward.intermediate": ("batch", "tokens", "intermediate"),
    "feed_forward.activation": ("batch", "tokens", "intermediate"),
    "pooler.dense": ("batch", "hidden"),
    "pooler.output": ("batch", "hidden"),
}


def axes_of(name: str, dimensions: int = 3) -> tuple[str, ...]:
    """The axes of an intermediate; those of heads, by how many `dimensions` they have."""
    for part, axes in AXES.items():
        if name.endswith(part):
            return axes
    if name.startswith("heads."):
        return ("batch", "tokens", "outputs") if dimensions == 3 else ("batch", "outputs")
    return ROWS


def by_axes(name: str, value: Any, config: BertConfig) -> Any:
    """An intermediate as the tap gives it, with as many axes as it has names."""
    if name.endswith("attention.context"):
        # As many heads as there are: a pruned layer has fewer than the configuration says.
        return value.reshape(*value.shape[:-1], -1, config.head_dim)
    return value


@dataclass(frozen=True, eq=False)
class NamedArray:
    """An array of NumPy and the names of its axes.

    `np.asarray` gives the values; `array.at(heads=3, tokens=[0, 1])` what lies there, without the axes of single numbers.
    """

    values: np.ndarray
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.values, np.ndarray):
            raise InputError(f"values are of the type {type(self.values).__name__}; expected an array of NumPy")
        if not isinstance(self.axes, tuple) or not all(isinstance(axis, str) for axis in self.axes):
            raise InputError(f"axes are {shown(self.axes)}; expected a tuple of names")
        if len(set(self.axes)) < len(self.axes):
            raise InputError(f"axes are {', '.join(self.axes)}; expected a name of its own for each")
        if self.values.ndim != len(self.axes):
            raise InputError(f"axes are {', '.join(self.axes)}; expected {self.values.ndim} names, one for each axis")

    @property
    def shape(self) -> dict[str, int]:
        """How long each axis is."""
        return dict(zip(self.axes, self.values.shape, strict=True))

    def at(self, **places: int | slice | Sequence[int]) -> "NamedArray":
        """What lies at places of some axes. Raises InputError for an axis or a place that it does not have."""
        values, axes = self.values, self.axes
        for axis, place in places.items():
            if axis not in axes:
                raise InputError(f"there is no axis {shown(axis)}; expected one of {', '.join(axes)}")
            dimension = axes.index(axis)
            place = as_python(place)
            where = _where(axis, place)
            try:
                values = values[(slice(None),) * dimension + (where,)]
            except (IndexError, ValueError):
                length = self.shape[axis]
                raise InputError(
                    f"{axis} is {shown(place)}; expected places from 0 to {length - 1}, or from -1 down to -{length}"
                ) from None
            if isinstance(where, int):
                axes = axes[:dimension] + axes[dimension + 1 :]
        return NamedArray(values, axes)

    def mean(self, *over: str) -> "NamedArray":
        """The mean over some axes; over all if none is named."""
        over = over or self.axes
        unknown = [axis for axis in over if not isinstance(axis, str) or axis not in self.axes]
        if unknown:
            raise InputError(f"there is no axis {shown(unknown[0])}; expected some of {', '.join(self.axes)}")
        over = tuple(dict.fromkeys(over))
        values = self.values.mean(axis=tuple(self.axes.index(axis) for axis in over))
        return NamedArray(np.asarray(values), tuple(axis for axis in self.axes if axis not in over))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"[{', '.join(f'{axis} {length}' for axis, length in self.shape.items())}] {self.values.dtype}\n{self.values}"


def _where(axis: str, place: Any) -> int | slice | list[int]:
    """Places of an axis in Python's terms; InputError for what are none."""
    if isinstance(place, slice) or type(place) is int:
        return place
    numbers = listed_numbers(place)
    if numbers is None or not all(type(number) is int for number in numbers):
        raise InputError(f"{axis} is {shown(place)}; expected a number, a list of them, or a slice")
    return numbers
