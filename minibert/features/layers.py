"""Which hidden states make a vector: the layer strategies of the BERT paper (section 5.3, table 7)."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from minibert.errors import InputError, shown

NAMED = {"last": -1, "second-to-last": -2, "first": 0}
_LAST_FEW = re.compile(r"(sum|concat)-last-([1-9][0-9]{0,3})")
_EXPECTED = (
    "'last', 'second-to-last', 'first' (the embeddings), 'sum-last-4', 'concat-last-4', numbers of hidden states such as '-1' or "
    "'0,6,-1' (concatenated; 0 is the embeddings, 1 the first layer), or weights such as '0.25*-2+0.75*-1'"
)


@dataclass(frozen=True)
class Layers:
    """Hidden states, and how they become one vector a token.

    `indices` are places in `hidden_states`, the embeddings being 0, the first layer 1 and the last −1. They are put one behind
    the other, or, with `weights`, multiplied and added up.
    """

    indices: tuple[int, ...] = (-1,)
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.indices, Sequence) or not isinstance(self.weights, Sequence | None):
            raise InputError(f"layers is {shown((self.indices, self.weights))}; expected {_EXPECTED}")
        indices, weights = tuple(self.indices), None if self.weights is None else tuple(self.weights)
        if not indices or not all(type(index) is int for index in indices):
            raise InputError(f"layers is {shown(indices)}; expected {_EXPECTED}")
        if weights is not None and not (
            len(weights) == len(indices) and all(type(weight) in (int, float) and math.isfinite(weight) for weight in weights)
        ):
            raise InputError(
                f"layers has the weights {shown(weights)} for {len(indices)} hidden states; expected a number for each"
            )
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "weights", weights)

    @classmethod
    def of(cls, choice: "Layers | str | int | Sequence[int] | Mapping[str, Any]") -> "Layers":
        """The choice that a user types: a name, a number, a list of numbers, or Layers itself.

        Names are 'last', 'second-to-last', 'first', 'sum-last-4', 'concat-last-4'; texts also hold what lists hold ('0,6,-1')
        and weighted sums ('0.25*-2+0.75*-1'). What `to_json` gave is taken too. Raises InputError for anything else.
        """
        if isinstance(choice, Layers):
            return choice
        if type(choice) is int:
            return cls((choice,))
        if isinstance(choice, str):
            return cls._of_text(choice)
        if isinstance(choice, Mapping) and list(choice) == ["indices", "weights"]:
            return cls(*(tuple(each) if isinstance(each, list) else each for each in choice.values()))
        indices: tuple[Any, ...] = tuple(choice) if isinstance(choice, Sequence) else ()
        if not indices or not all(type(index) is int for index in indices):
            raise InputError(f"layers is {shown(choice)}; expected {_EXPECTED}")
        return cls(indices)

    @classmethod
    def _of_text(cls, text: str) -> "Layers":
        if text in NAMED:
            return cls((NAMED[text],))
        if few := _LAST_FEW.fullmatch(text):
            indices = tuple(range(-int(few[2]), 0))
            return cls(indices, (1.0,) * len(indices) if few[1] == "sum" else None)
        try:
            if "*" in text:
                pairs = [term.split("*") for term in text.split("+")]
                return cls(tuple(int(index) for _, index in pairs), tuple(float(weight) for weight, _ in pairs))
            return cls(tuple(int(index) for index in text.split(",")))
        except ValueError:
            raise InputError(f"layers is {shown(text)}; expected {_EXPECTED}") from None

    def within(self, num_hidden_layers: int) -> "Layers":
        """The same with all indices counted from the embeddings; InputError for one that the model has not."""
        count = num_hidden_layers + 1
        for index in self.indices:
            if not -count <= index < count:
                raise InputError(
                    f"layers asks for hidden state {index}; the model has {count}, the embeddings and {num_hidden_layers} "
                    f"layers: {-count} to {count - 1}"
                )
        return Layers(tuple(index % count for index in self.indices), self.weights)

    def width(self, hidden_size: int) -> int:
        """How many numbers a vector has."""
        return hidden_size if self.weights is not None else hidden_size * len(self.indices)

    def mix(self, hidden_states: Sequence[Float[Array, "*tokens hidden"]]) -> Float[Array, "*tokens width"]:
        """The chosen hidden states as one array."""
        chosen = [hidden_states[index] for index in self.indices]
        if self.weights is None:
            return jnp.concatenate(chosen, axis=-1) if len(chosen) > 1 else chosen[0]
        return sum(
            (weight * states for weight, states in zip(self.weights, chosen, strict=True)), start=jnp.zeros_like(chosen[0])
        )

    def to_json(self) -> dict[str, Any]:
        """For a receipt."""
        return {"indices": list(self.indices), "weights": None if self.weights is None else list(self.weights)}
