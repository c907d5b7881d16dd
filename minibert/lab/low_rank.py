"""Low-rank adaptation (Hu et al. 2021, LoRA): dense layers that learn by a small product beside their kernel."""

import math
import re
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.errors import InputError, shown
from minibert.lab.arguments import check_model, number_above_zero, whole_number
from minibert.lab.surgery.swapping import children_of, put
from minibert.lab.surgery.twins import NumpyPart
from minibert.model.numerics import Dense, product
from minibert.model.paths import FROZEN, path_of

AnyModel = TypeVar("AnyModel", bound=nnx.Module)
QUERIES_AND_VALUES = r"attention\.(query|value)$"
"""What the paper adapts (section 4.2)."""
HIGHEST_RANK, MOST_FACTOR = 1 << 16, 1e6


class NumpyLowRank(NumpyPart):
    """A dense layer and what was learned beside it."""

    def dense(self, name: str, x: Float[np.ndarray, "*batch inputs"]) -> Float[np.ndarray, "*batch outputs"]:
        """`x W + b + (x A) B · alpha / rank`."""
        learned = self.product(self.product(x, self.parameter(f"{name}.down")), self.parameter(f"{name}.up"))
        return super().dense(f"{name}.dense", x) + learned * self.dtype.type(self.part.factor)


class LowRankDense(nnx.Module):
    """`x W + b + (x A) B · alpha / rank`; A [in, rank] begins random, B [rank, out] zero, so that nothing changes at first."""

    numpy_twin = NumpyLowRank

    def __init__(self, dense: Dense, rank: int, alpha: float, *, rngs: nnx.Rngs):
        rank, alpha = _checked(rank, alpha)
        self.dense = dense
        self.config = dense.config
        self.factor = alpha / rank
        ins, outs = dense.kernel[...].shape
        dtype = dense.kernel[...].dtype
        # As the paper's own code draws it: uniform, as wide as a dense layer of torch begins.
        self.down = nnx.Param(jax.random.uniform(rngs.params(), (ins, rank), dtype, -1.0, 1.0) / math.sqrt(ins))
        self.up = nnx.Param(jnp.zeros((rank, outs), dtype))

    def __call__(self, hidden: Float[Array, "rows in_features"]) -> Float[Array, "rows out_features"]:
        """The layer's own result and what was learned beside it."""
        learned = product(product(hidden, self.down[...], self.config), self.up[...], self.config)
        return self.dense(hidden) + learned * self.factor

    def merged(self) -> Dense:
        """A dense layer that gives the same: `W + A B · alpha / rank`."""
        dense: Dense = jax.tree.map(lambda leaf: leaf, self.dense)
        learned = jnp.matmul(self.down[...], self.up[...], precision=jax.lax.Precision.HIGHEST)
        dense.kernel = nnx.Param(dense.kernel[...] + learned * self.factor)
        return dense


def adapted(model: AnyModel, *, rank: int = 8, alpha: float = 16.0, layers: str = QUERIES_AND_VALUES, seed: int = 0) -> AnyModel:
    """A model some of whose dense layers learn by a low-rank product; all that it had, but its heads, is frozen for `fit`.

    What is swapped into it afterwards learns, but for parameters that it took over.

    Args:
        model: which stays as it was; the copy shares its parameters.
        rank: of the products.
        alpha: by alpha / rank what they give is multiplied.
        layers: a regular expression that the path of a dense layer in the encoder matches, `encoder.layers.0.attention.query`, or
            that of a head, `heads.masked_lm.dense`.
        seed: of the random numbers.

    Raises InputError for a rank or alpha that makes no sense, for layers that are adapted already, and for a pattern that matches
    no dense layer.
    """
    rank, alpha = _checked(rank, alpha)
    seed = whole_number("seed", seed, 0)
    check_model(model, nnx.Module)
    try:
        re.compile(layers).search("")
    except (re.error, TypeError) as problem:
        raise InputError(f"layers is {shown(layers)}, which is no regular expression: {problem}") from None
    if any(isinstance(each, LowRankDense) and _fits(layers, path) for _, _, each, path in children_of(model)):
        raise InputError(
            f"layers that {shown(layers)} matches are adapted already; merge them first (lab.merged), or name others"
        )
    copy: AnyModel = jax.tree.map(lambda leaf: leaf, model)
    rngs, count = nnx.Rngs(seed), 0
    for parent, name, dense, path in children_of(copy):
        if isinstance(dense, Dense) and not isinstance(parent, LowRankDense) and _fits(layers, path):
            put(parent, name, LowRankDense, {"rank": rank, "alpha": alpha}, rngs)
            count += 1
    if count == 0:
        raise InputError(f"layers is {shown(layers)}, which no dense layer's path matches; expected one as {QUERIES_AND_VALUES}")
    freeze_all_else(copy)
    return copy


def _checked(rank: int, alpha: float) -> tuple[int, float]:
    rank, alpha = whole_number("rank", rank, 1, HIGHEST_RANK), number_above_zero("alpha", alpha)
    if alpha / rank > MOST_FACTOR:
        raise InputError(f"alpha is {alpha} for the rank {rank}; expected a quotient of the two of at most {MOST_FACTOR:g}")
    return rank, alpha


def _fits(layers: str, path: str) -> bool:
    return re.search(layers, path.removeprefix("bert.")) is not None


def freeze_all_else(model: nnx.Module) -> None:
    """Name to the optimiser, in an attribute of the model, all but low-rank products and heads."""
    paths = [path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(model)]
    frozen = tuple(path for path in paths if not path.startswith("heads.") and not path.endswith((".down", ".up")))
    setattr(model, FROZEN, frozen)


def merged(model: AnyModel) -> AnyModel:
    """The model with what was learned added to its kernels: as it was made, with nothing frozen, to be saved like any other."""
    check_model(model, nnx.Module)
    copy: AnyModel = jax.tree.map(lambda leaf: leaf, model)
    for parent, name, layer, _ in children_of(copy):
        if isinstance(layer, LowRankDense):
            setattr(parent, name, layer.merged())
    for _, part in list(nnx.iter_graph(copy)):
        if isinstance(part, nnx.Module) and FROZEN in vars(part):
            delattr(part, FROZEN)
    return copy
