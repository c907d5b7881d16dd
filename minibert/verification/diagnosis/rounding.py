"""Arithmetic of fewer bits than float32, as roundings of float64 numbers to the nearest that the format has."""

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from jaxtyping import Float

from minibert.numpy_bert import NumpyBert, Tap

Round = Callable[[Float[np.ndarray, "*shape"]], Float[np.ndarray, "*shape"]]


@dataclass(frozen=True)
class Rounding:
    """A format: the fault's name, and how a number is rounded to it. `stores`: whether arrays are kept in it too."""

    fault: str
    round: Round
    stores: bool
    operands: str = "operands of products"
    """What a diagnosis says of operands that were rounded so."""


def to_bfloat16(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """To 8 bits of significand."""
    return x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def to_float16(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """To 11 bits of significand, infinite above 65,504."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float64)


def to_tf32(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """To the 11 bits of significand that NVIDIA's tensor cores keep of a float32, with its exponent."""
    bits = x.astype(np.float32).view(np.uint32)
    half_down = np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))
    return ((bits + half_down) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)


ROUNDINGS = (
    Rounding("bfloat16", to_bfloat16, stores=True),
    # Operands of either have 11 bits of significand, and only the smallest numbers could tell them apart.
    Rounding("tf32", to_tf32, stores=False, operands="operands of products; those of float16 have as many bits"),
    Rounding("float16", to_float16, stores=True),
)


class RoundedProducts(NumpyBert):
    """Operands of every product rounded, sums and everything else as they are: how minibert itself computes in few bits.

    The softmax is divided by its sum before the product with the values, or behind it.
    """

    def __init__(self, oracle: NumpyBert, round: Round, *, divide_first: bool):
        super().__init__(oracle.config, oracle.parameters, oracle.dtype)
        self.round = round
        self.divide_first = divide_first

    def product(
        self, left: Float[np.ndarray, "*batch rows terms"], right: Float[np.ndarray, "*#batch terms columns"]
    ) -> Float[np.ndarray, "*batch rows columns"]:
        """The product of the rounded operands."""
        return super().product(self.round(left), self.round(right))

    def mix(
        self,
        probabilities: Float[np.ndarray, "batch heads tokens tokens"],
        value: Float[np.ndarray, "batch heads tokens head_dim"],
    ) -> Float[np.ndarray, "batch heads tokens head_dim"]:
        """The mixture of the values, by probabilities or by weights of which the largest is 1."""
        if self.divide_first:
            return super().mix(probabilities, value)
        weights = probabilities / probabilities.max(axis=-1, keepdims=True)
        return self.product(weights, value) / weights.sum(axis=-1, keepdims=True)


class RoundedResults(RoundedProducts):
    """Operands and results of products rounded, and what is made of one result alone; not sums and norms: torch's autocast."""

    def dense(self, name: str, x: Float[np.ndarray, "*batch inputs"]) -> Float[np.ndarray, "*batch outputs"]:
        """Rounded once, with the bias."""
        return self.round(super().dense(name, x))

    def scores(self, query: np.ndarray, key: np.ndarray) -> Float[np.ndarray, "batch heads tokens tokens"]:
        """Rounded before they are scaled, and then once more."""
        width = np.sqrt(self.config.head_dim)
        return self.round(self.round(super().scores(query, key) * width) / width)

    def mix(self, probabilities: np.ndarray, value: np.ndarray) -> Float[np.ndarray, "batch heads tokens head_dim"]:
        """The mixture, rounded."""
        return self.round(super().mix(probabilities, value))

    def activation(self, x: Float[np.ndarray, "*batch width"]) -> Float[np.ndarray, "*batch width"]:
        """The activation, rounded."""
        return self.round(super().activation(x))

    def pooler(self, hidden: np.ndarray, tap: Tap) -> Float[np.ndarray, "batch hidden"]:
        """Both of its steps rounded."""
        return super().pooler(hidden, lambda name, value: tap(name, self.round(value)))


class RoundedParameters(NumpyBert):
    """Every parameter rounded and nothing else: a checkpoint that was stored in fewer bits than it is computed in."""

    def __init__(self, oracle: NumpyBert, round: Round):
        super().__init__(oracle.config, oracle.parameters, oracle.dtype)
        self.round = round

    def rows(self, name: str, indices: np.ndarray) -> Float[np.ndarray, "batch tokens hidden"]:
        """Rows of a rounded table."""
        return self.round(super().rows(name, indices))

    def parameter(self, path: str) -> Float[np.ndarray, "..."]:
        """A rounded parameter."""
        return self.round(super().parameter(path))


class RoundedEverywhere(RoundedParameters):
    """Every parameter and every intermediate rounded, sums within one step not: a torch model after `.bfloat16()`."""

    def embeddings(
        self, input_ids: np.ndarray, token_type_ids: np.ndarray, position_ids: np.ndarray, tap: Tap
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """The sum of three tables is rounded twice."""
        seen: dict[str, np.ndarray] = {}

        def rounded_sum(name: str, value: np.ndarray) -> np.ndarray:
            if name == "embeddings.sum":
                first = self.round(seen["embeddings.word"] + seen["embeddings.token_type"])
                value = first + seen["embeddings.position"]
            seen[name] = self.tapped(tap, name, value)
            return seen[name]

        return super().embeddings(input_ids, token_type_ids, position_ids, rounded_sum)

    def layer(self, name: str, hidden: np.ndarray, mask: np.ndarray, tap: Tap) -> Float[np.ndarray, "batch tokens hidden"]:
        """What the layer is given is rounded as well: it may come from a part of the model that is not."""
        return super().layer(name, self.round(hidden), mask, tap)

    def attention(self, name: str, hidden: np.ndarray, mask: np.ndarray, tap: Tap) -> Float[np.ndarray, "batch tokens hidden"]:
        """Every intermediate of it rounded."""
        return super().attention(name, hidden, mask, lambda part, value: self.tapped(tap, part, value))

    def feed_forward(self, name: str, hidden: np.ndarray, tap: Tap) -> Float[np.ndarray, "batch tokens hidden"]:
        """Every intermediate of it rounded."""
        return super().feed_forward(name, hidden, lambda part, value: self.tapped(tap, part, value))

    def pooler(self, hidden: np.ndarray, tap: Tap) -> Float[np.ndarray, "batch hidden"]:
        """Every intermediate of it rounded."""
        return super().pooler(hidden, lambda part, value: self.tapped(tap, part, value))

    def scores(self, query: np.ndarray, key: np.ndarray) -> Float[np.ndarray, "batch heads tokens tokens"]:
        """Rounded before they are scaled, and then once more."""
        width = np.sqrt(self.config.head_dim)
        return self.round(super().scores(query, key) * width) / width

    def residual(self, name: str, x: np.ndarray, before: np.ndarray) -> Float[np.ndarray, "batch tokens hidden"]:
        """The sum rounded before it is normalised."""
        return self.round(super().residual(name, x, before))

    def tapped(self, tap: Tap, name: str, value: np.ndarray) -> np.ndarray:
        """An intermediate, rounded before it is seen."""
        return tap(name, self.round(value))
