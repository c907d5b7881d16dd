"""Heads taken out for good (Michel et al. 2019): the kernels shrink, and the result is that of heads that say nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.errors import InputError, shown
from minibert.lab.arguments import as_python, listed_numbers
from minibert.lab.edits import zero
from minibert.lab.running import run
from minibert.lab.surgery.depth import steps_of
from minibert.lab.surgery.sizes import number_of_parameters
from minibert.lab.surgery.swapping import AnyModel, encoder_of, take_over, with_parts
from minibert.lab.surgery.twins import NumpyPart
from minibert.model.attention import Attention
from minibert.model.numerics import Dense


class NumpyPruned(NumpyPart):
    """Attention of fewer heads, each as wide as it was."""

    def split_heads(self, x: Float[np.ndarray, "batch tokens width"]) -> Float[np.ndarray, "batch kept tokens head_dim"]:
        """Each token's vector in pieces, one for each head that was kept, and the heads before the tokens."""
        batch, tokens, _ = x.shape
        return x.reshape(batch, tokens, len(self.part.kept), self.config.head_dim).transpose(0, 2, 1, 3)

    def merge_heads(self, x: Float[np.ndarray, "batch kept tokens head_dim"]) -> Float[np.ndarray, "batch tokens width"]:
        """The inverse of `split_heads`."""
        batch, _, tokens, _ = x.shape
        return x.transpose(0, 2, 1, 3).reshape(batch, tokens, len(self.part.kept) * self.config.head_dim)


class PrunedAttention(Attention):
    """`Attention` with some of the heads; `kept` are their numbers in the model that was pruned, in rising order.

    Queries, keys and values are [hidden, len(kept) · head_dim] kernels, the projection is the rows of these heads. The taps of
    heads show the kept ones.
    """

    numpy_twin = NumpyPruned

    def __init__(self, old: Attention, *, rngs: nnx.Rngs | None = None, kept: Sequence[int]):
        take_over(self, old, Attention)
        self.kept = tuple(kept)
        heads, width = self.config.num_attention_heads, self.config.head_dim
        if not self.kept or sorted(set(self.kept)) != list(self.kept) or not all(0 <= head < heads for head in self.kept):
            raise InputError(f"kept is {shown(kept)}; expected some of the numbers from 0 to {heads - 1}, in rising order")
        columns = np.concatenate([np.arange(head * width, (head + 1) * width) for head in self.kept])
        for name in ("query", "key", "value"):
            dense = getattr(self, name)
            if type(dense) is not Dense:
                raise InputError(
                    f"{name} is of the class {type(dense).__name__}, which has no kernel to cut; merge it, or prune first"
                )
            setattr(self, name, _with(dense, dense.kernel[...][:, columns], dense.bias[...][columns]))
        self.projection = _with(self.projection, self.projection.kernel[...][columns], self.projection.bias[...])

    def split_heads(self, hidden: Float[Array, "rows width"], batch: int) -> Float[Array, "batch kept tokens head_dim"]:
        """Cut each row into the kept heads and bring them before the tokens."""
        return hidden.reshape(batch, -1, len(self.kept), self.config.head_dim).swapaxes(1, 2)

    def merge_heads(self, context: Float[Array, "batch kept tokens head_dim"]) -> Float[Array, "rows width"]:
        """The inverse of `split_heads`."""
        return context.swapaxes(1, 2).reshape(-1, len(self.kept) * self.config.head_dim)


class PruningReport(NamedTuple):
    """What pruning did to a model, on a batch."""

    parameters_before: int
    parameters_after: int
    difference_to_masking: float
    """The largest of the last hidden states to those of the whole model whose pruned heads are set to zero."""

    def __str__(self) -> str:
        share = 1.0 - self.parameters_after / self.parameters_before
        return (
            f"{self.parameters_before:,} parameters before, {self.parameters_after:,} after ({share:.1%} fewer); last hidden "
            f"states differ from those with the heads masked by {self.difference_to_masking:.1e} at most"
        )


def pruned(model: AnyModel, heads: Mapping[int, Sequence[int]]) -> AnyModel:
    """A model without some of its heads, whose kernels are smaller by them.

    Args:
        model: which stays as it was.
        heads: by the number of the layer, the numbers of the heads to take out; of a model with shared layers these are counted
            as they are stored, each once.

    Raises InputError for layers and heads that there are not, for all heads of a layer, and for a layer pruned before.
    """
    depth, config = len(encoder_of(model).encoder.layers), model.config
    for layer, numbers in _checked(heads, depth, config.num_attention_heads).items():
        kept = [head for head in range(config.num_attention_heads) if head not in numbers]
        if not kept:
            raise InputError(
                f"heads[{layer}] are all that the layer has; leave one at least, or leave the layer out (with_layers)"
            )
        # Kernels that are cut are no new ones.
        model = with_parts(model, f"layers.{layer}.attention", PrunedAttention, {"kept": kept})
    return model


def pruning_report(
    model: AnyModel, without: AnyModel, heads: Mapping[int, Sequence[int]], batch: Mapping[str, Any]
) -> PruningReport:
    """Hold a pruned model against the whole one with the same heads masked.

    Args:
        model, without: the whole model, and what `pruned(model, heads)` made of it.
        heads: as given there.
        batch: on which both are run; as of `run`.

    Raises InputError for heads that are not those by which the two models differ, and where hidden states are not finite.
    """
    encoders = [encoder_of(each) for each in (model, without)]
    given = _checked(heads, len(encoders[0].encoder.layers), model.config.num_attention_heads)
    kept = [[_kept(layer.attention) for layer in encoder.encoder.layers] for encoder in encoders]
    pairs = list(enumerate(zip(*kept, strict=False)))
    gone = {layer: set(one) - set(other) for layer, (one, other) in pairs if one != other}
    is_smaller = len(kept[0]) == len(kept[1]) and all(set(other) <= set(one) for _, (one, other) in pairs)
    if not is_smaller or {layer: set(numbers) for layer, numbers in given.items()} != gone:
        told = {layer: sorted(numbers) for layer, numbers in gone.items()}
        raise InputError(f"heads is {shown(dict(heads))}; the heads that the second model lacks are {told}")
    order = steps_of(encoders[0])
    masks = [
        zero(f"layers.{step}.attention.context", heads=numbers)
        for layer, numbers in given.items()
        for step, serving in enumerate(order)
        if serving == layer
    ]
    masked = run(encoders[0], batch, edits=masks).output.last_hidden_state
    difference = jnp.abs(masked - run(encoders[1], batch).output.last_hidden_state).max()
    if not jnp.isfinite(difference):
        raise InputError("the last hidden states are not finite for this batch; see minibert doctor")
    return PruningReport(number_of_parameters(model), number_of_parameters(without), float(difference))


def _kept(attention: Attention) -> list[int]:
    return list(attention.kept if isinstance(attention, PrunedAttention) else range(attention.config.num_attention_heads))


def _checked(heads: Any, layers: int, most: int) -> dict[int, list[int]]:
    """With Python's numbers in place of NumPy's, such as argsort gives them; InputError for layers and heads there are not."""
    if not isinstance(heads, Mapping) or not heads:
        raise InputError(f"heads is {shown(heads)}; expected a mapping from layers to lists of heads, {{0: [3, 7]}}")
    found = {}
    for layer, numbers in heads.items():
        found[as_python(layer)] = _checked_numbers(as_python(layer), numbers, layers, most)
    return found


def _checked_numbers(layer: Any, numbers: Any, layers: int, heads: int) -> list[int]:
    if type(layer) is not int or not 0 <= layer < layers:
        raise InputError(f"heads names the layer {shown(layer)}; expected numbers from 0 to {layers - 1}")
    given = listed_numbers(numbers)
    if not given or any(type(n) is not int or not 0 <= n < heads for n in given):
        found = numbers if given is None else given
        raise InputError(f"heads[{layer}] is {shown(found)}; expected a list of numbers from 0 to {heads - 1}")
    return given


def _with(dense: Dense, kernel: Array, bias: Array) -> Dense:
    copy: Dense = jax.tree.map(lambda leaf: leaf, dense)
    copy.kernel, copy.bias = nnx.Param(kernel), nnx.Param(bias)
    return copy
