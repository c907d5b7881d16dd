"""Tap: the one mechanism by which a running model is observed and changed.

A tap is a function `(name, value) -> value`. Every module passes each of its named intermediates through the tap that it is
given and goes on with what comes back. Recording returns the value it was given; ablation and patching return another.
Under `jit` the identity tap costs nothing. The names, in data-flow order:

    embeddings.word  embeddings.position  embeddings.token_type  embeddings.sum  embeddings.output
    layers.{i}.attention.query  .key  .value  .scores  .probabilities  .context  .projection  .output
    layers.{i}.feed_forward.intermediate  .activation  .projection  .output
    layers.{i}.output  pooler.dense  pooler.output
"""

import re
from collections.abc import Callable

from jax import Array
from jaxtyping import Float

from minibert.errors import InputError

Tap = Callable[[str, Array], Array]


def identity(name: str, value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The tap that neither looks nor changes."""
    return value


def within(tap: Tap, part: str) -> Tap:
    """The tap to hand to a submodule: it puts `part` and a dot before every name."""
    return identity if tap is identity else _Within(tap, part)


def wants(tap: Tap, name: str) -> bool:
    """Whether the tap may look at or replace `name`: a tap says so by a method `wants(name)`, without one it wants all."""
    if tap is identity:
        return False
    return tap.wants(name) if hasattr(tap, "wants") else True


def checked(tap: Tap) -> Tap:
    """The same tap, with an InputError that names the intermediate when what it hands back is no array of the same shape."""
    return identity if tap is identity else _Checked(tap)


class _Checked:
    def __init__(self, tap: Tap):
        self.tap = tap

    def __call__(self, name: str, value: Array) -> Array:
        result = self.tap(name, value)
        if getattr(result, "shape", None) != value.shape:
            found = f"an array of shape {list(result.shape)}" if hasattr(result, "shape") else f"{type(result).__name__}"
            raise InputError(
                f"the tap handed back {found} for {name!r}; expected an array of shape {list(value.shape)}: return the value "
                "itself to leave it as it is"
            )
        return result

    def wants(self, name: str) -> bool:
        return wants(self.tap, name)


class _Within:
    def __init__(self, tap: Tap, part: str):
        self.tap = tap
        self.part = part

    def __call__(self, name: str, value: Array) -> Array:
        return self.tap(f"{self.part}.{name}", value)

    def wants(self, name: str) -> bool:
        return wants(self.tap, f"{self.part}.{name}")


def tap_rows(tap: Tap, name: str, rows: Float[Array, "rows width"], batch: int) -> Float[Array, "rows width"]:
    """Pass `rows` [batch·tokens, width] through the tap as [batch, tokens, width], the shape that every user sees."""
    if tap is identity:
        return rows
    return tap(name, rows.reshape(batch, -1, rows.shape[-1])).reshape(rows.shape)


def intermediate_names(num_hidden_layers: int, *, pooler: bool = True) -> list[str]:
    """Every name that a model of this depth passes through its tap, in data-flow order."""
    attention = ("query", "key", "value", "scores", "probabilities", "context", "projection", "output")
    feed_forward = ("intermediate", "activation", "projection", "output")
    names = [f"embeddings.{part}" for part in ("word", "position", "token_type", "sum", "output")]
    for layer in range(num_hidden_layers):
        names += [f"layers.{layer}.attention.{part}" for part in attention]
        names += [f"layers.{layer}.feed_forward.{part}" for part in feed_forward]
        names.append(f"layers.{layer}.output")
    return names + (["pooler.dense", "pooler.output"] if pooler else [])


def data_flow_order(name: str) -> tuple[int, int, int]:
    """A key that sorts names of intermediates in the order in which a model computes them; unknown ones come last."""
    layer = re.match(r"layers\.(\d+)\.", name)
    if layer is not None:
        inside = f"layers.0.{name[layer.end() :]}"
        return 1, int(layer.group(1)), _LAYER_ORDER.get(inside, len(_LAYER_ORDER))
    return (
        0 if name.startswith("embeddings.") else 2 if name.startswith("pooler.") else 3,
        0,
        _OTHER_ORDER.get(name, len(_OTHER_ORDER)),
    )


def is_intermediate_name(name: str) -> bool:
    """Whether a BERT of some depth, or one of its heads, has an intermediate of this name."""
    layer = re.match(r"layers\.(0|[1-9][0-9]{0,3})\.", name)
    if layer is None:
        return name in _OTHER_ORDER or re.fullmatch(r"heads\.\w+\.\w+", name) is not None
    return f"layers.0.{name[layer.end() :]}" in _LAYER_ORDER


_OTHER_ORDER = {name: place for place, name in enumerate(intermediate_names(0))}
_LAYER_ORDER = {name: place for place, name in enumerate(intermediate_names(1)) if name not in _OTHER_ORDER}


def layer_output_names(num_hidden_layers: int, *, pooler: bool = True) -> list[str]:
    """The outputs of the embeddings, of every layer and of the pooler: a model's course in a few names."""
    layers = [f"layers.{layer}.output" for layer in range(num_hidden_layers)]
    return ["embeddings.output", *layers, *(["pooler.output"] if pooler else [])]
