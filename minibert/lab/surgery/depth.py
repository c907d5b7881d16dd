"""Depth: layers left out, repeated, brought into another order, or shared."""

import re
from collections.abc import Sequence

import jax
from flax import nnx

from minibert.errors import InputError, shown
from minibert.lab.arguments import listed_numbers, true_or_false
from minibert.lab.surgery.sizes import with_config
from minibert.lab.surgery.swapping import AnyModel, encoder_of, put
from minibert.model import Bert
from minibert.model.encoder import Encoder, Layer
from minibert.model.paths import FROZEN


class SharedEncoder(Encoder):
    """An encoder some of whose layers serve several times, with the same parameters (Lan et al. 2020, ALBERT, section 3.1).

    `order` names for each step the layer that serves; the taps count steps: layers.{step}. Each has dropout of its own.
    """

    def __init__(self, old: Encoder, *, rngs: nnx.Rngs | None = None, order: Sequence[int]):
        self.rematerialise = False
        self.order = tuple(order)
        if not self.order or not all(type(number) is int and 0 <= number < len(old.layers) for number in self.order):
            raise InputError(f"order is {shown(order)}; expected numbers from 0 to {len(old.layers) - 1}, one for each step")
        self.layers = nnx.List([old.layers[number] for number in range(max(self.order) + 1)])

    def in_order(self) -> list[Layer]:
        """For each step the layer that serves."""
        return [self.layers[number] for number in self.order]


def steps_of(model: Bert) -> tuple[int, ...]:
    """For each step the number of the stored layer that serves."""
    encoder = model.encoder
    return encoder.order if isinstance(encoder, SharedEncoder) else tuple(range(len(encoder.layers)))


def with_layers(model: AnyModel, layers: Sequence[int], *, shared: bool = False) -> AnyModel:
    """A model of these layers of another, in this order.

    `[0, 2, 4]` leaves every second one out, `[0, 1, 1, 2, 2, 3]` repeats two. What comes of it without `shared` is a BERT
    like any other, which `minibert.save` writes and other libraries open.

    Args:
        model: which stays as it was.
        layers: the numbers of layers, counted from 0.
        shared: a layer that is repeated stays one, with one set of parameters, which all its steps train.

    Raises InputError for no layer, one that there is not, and for a model whose layers are shared already.
    """
    encoder = encoder_of(model).encoder
    depth = len(encoder.layers)
    if isinstance(encoder, SharedEncoder):
        raise InputError("the layers of this model are shared already; begin with the model as it was loaded")
    numbers = listed_numbers(layers)
    if not numbers or any(type(number) is not int or not 0 <= number < depth for number in numbers):
        raise InputError(f"layers is {shown(layers)}; expected some of the numbers from 0 to {depth - 1}")
    copy: AnyModel = with_config(model, num_hidden_layers=len(numbers))
    inner = encoder_of(copy)
    own = list(dict.fromkeys(numbers)) if true_or_false("shared", shared) else numbers
    # A layer that stands twice is made twice: the tree of a model holds nothing in two places.
    inner.encoder.layers = nnx.List([jax.tree.map(lambda leaf: leaf, inner.encoder.layers[number]) for number in own])
    if shared and len(own) < len(numbers):
        order = [own.index(number) for number in numbers]
        put(inner, "encoder", SharedEncoder, {"order": order}, nnx.Rngs(0))
    for module in {id(each): each for each in (copy, inner)}.values():
        if hasattr(module, FROZEN):
            setattr(module, FROZEN, _renumbered(getattr(module, FROZEN), own))
    return copy


def _renumbered(paths: Sequence[str], layers: Sequence[int]) -> tuple[str, ...]:
    """The paths of parameters when these layers of the former ones are the only ones, in this order."""
    found = []
    for path in paths:
        of_layer = re.match(r"((?:bert\.)?encoder\.layers\.)(\d+)(\..*)", path)
        if of_layer is None:
            found.append(path)
        else:
            places = [place for place, layer in enumerate(layers) if layer == int(of_layer[2])]
            found += [f"{of_layer[1]}{place}{of_layer[3]}" for place in places]
    return tuple(found)
