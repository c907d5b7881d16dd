"""Swapping: a part of a model becomes a module of the user's own, which may take over parameters of the one that it replaces."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx

from minibert.checkpoints.blueprint import parameters_of
from minibert.errors import InputError, MinibertError, shown
from minibert.lab.arguments import check_model, whole_number
from minibert.lab.names import fits, in_short
from minibert.model import Bert, BertWithHeads
from minibert.model.anatomy import MADE_WITH, foreign_parts
from minibert.model.paths import FROZEN
from minibert.strict_json import parse_json_object

AnyModel = TypeVar("AnyModel", Bert, BertWithHeads)
Part = Callable[..., nnx.Module]
"""`Part(old, rngs=…, **options)`: made from the module that it replaces, and called as that one is."""


def swapped(model: AnyModel, where: str, part: Part, *, seed: int = 0, **options: Any) -> AnyModel:
    """A model some of whose parts are others.

    Args:
        model: a `Bert` or a `BertWithHeads`, which stays as it was; what is not swapped is shared with it.
        where: the name of a part as the names of its intermediates begin, or a pattern with *: "layers.*.attention",
            "layers.2.feed_forward", "embeddings", "layers.*.attention.query".
        part: the class of the new part, called as `part(old, rngs=rngs, **options)`; or another function, whose part is not
            saved. What it makes is an NNX module that is called, and calls its tap, as the old one does. To be verified against
            a NumPy twin its class has an attribute `numpy_twin`: see `numpy_twin`.
        seed: of its random numbers.
        options: given to it, as they come back from a file: of what JSON can hold, with lists in place of tuples and arrays.

    Raises InputError for a pattern that no part fits, for a part that was swapped before: the second would undo the first, for
    options that no file can hold, and for a part that cannot be made of what it is to replace.
    """
    copy = with_parts(model, where, part, options, whole_number("seed", seed, 0))
    _let_learn_what_is_new(copy, model)
    return copy


def with_parts(model: AnyModel, where: str, part: Part, options: Mapping[str, Any], seed: int = 0) -> AnyModel:
    """`swapped`, but that what does not learn is as it was."""
    check_model(model)
    if not callable(part):
        raise InputError(f"the part is {shown(part)}; expected the class of a module, or a function that makes one")
    copy: AnyModel = jax.tree.map(lambda leaf: leaf, model)
    encoder = encoder_of(copy)
    parts = {name: (parent, attribute) for name, parent, attribute in parts_of(encoder)}
    chosen = [name for name in parts if isinstance(where, str) and fits(name, where)]
    if not chosen:
        raise InputError(f"where is {shown(where)}; this model has the parts {in_short(parts)}")
    foreign = foreign_parts(encoder)
    rngs = nnx.Rngs(seed)
    for name in chosen:
        path = path_of_part(name)
        lost = [each for each in foreign if each == path or each.startswith(f"{path}.")]
        if lost:
            raise InputError(
                f"{name_of_part(lost[0])} is of the class {type(foreign[lost[0]]).__name__} already, whose work could be lost; "
                "write one part that does both, merge what is adapted (lab.merged), or begin with the model as it was loaded "
                "and swap the outer part first"
            )
        put(*parts[name], part, options, rngs)
    _check_depth(encoder)
    return copy


def _check_depth(encoder: Bert) -> None:
    """InputError for another number of steps than the configuration has, which other functions go by."""
    in_order = getattr(encoder.encoder, "in_order", None)
    wanted = encoder.config.num_hidden_layers
    if in_order is not None and len(in_order()) != wanted:
        raise InputError(
            f"the new encoder has {len(in_order())} layers in place of {wanted}; bring layers into order by lab.with_layers"
        )


def _let_learn_what_is_new(copy: Any, model: Any) -> None:
    """Take from what never learns the parameters that are not those of the model any more."""
    for new, old in ((copy, model), (encoder_of(copy), encoder_of(model))):
        if hasattr(new, FROZEN):
            mine, theirs = parameters_of(new), parameters_of(old)
            same = {path for path in mine.keys() & theirs.keys() if mine[path].get_value() is theirs[path].get_value()}
            setattr(new, FROZEN, tuple(path for path in getattr(new, FROZEN) if path in same))


def encoder_of(model: Bert | BertWithHeads) -> Bert:
    """The model itself, or the encoder under its heads. InputError for what is no model."""
    check_model(model)
    return model.bert if isinstance(model, BertWithHeads) else model


def put(parent: Any, attribute: str, part: Part, options: Mapping[str, Any], rngs: nnx.Rngs) -> None:
    """Replace one part, and let the new one remember how it was made.

    Raises InputError for options that JSON cannot hold, and for a part that cannot be made of what is there.
    """
    stored = _stored(options)
    old, called = getattr(parent, attribute), getattr(part, "__name__", shown(part))
    try:
        new = part(old, rngs=rngs, **json.loads(stored))
    except MinibertError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError) as problem:
        raise InputError(
            f"{called} cannot be made of the {type(old).__name__} that is there and the options {shown(dict(options))}: {problem}"
        ) from problem
    if not isinstance(new, nnx.Module) or not callable(new):
        raise InputError(f"{called} made {shown(new)}; expected an NNX module that is called as {type(old).__name__} is")
    if type(new) is part:
        # What a function made of them, nobody but the function can make again.
        setattr(new, MADE_WITH, stored)
    setattr(parent, attribute, new)


def take_over(new: nnx.Module, old: Any, kind: type[nnx.Module]) -> None:
    """Give a part all that the one holds which it replaces; InputError where that is of another kind."""
    if not isinstance(old, kind):
        raise InputError(
            f"{type(new).__name__} replaces a part of the class {kind.__name__}, and this one is {type(old).__name__}"
        )
    for name, value in vars(old).items():
        setattr(new, name, value)


def _stored(options: Mapping[str, Any]) -> str:
    """The options as JSON that `lab.load` reads; InputError where it would not."""
    try:
        text = json.dumps(_plain(options), sort_keys=True, allow_nan=False)
        parse_json_object(text.encode(), "the options", error=InputError)
    except (TypeError, ValueError, RecursionError, InputError):
        raise InputError(
            f"the options {shown(dict(options))} cannot be stored; give finite numbers, texts, lists of them, and mappings with "
            "texts for keys"
        ) from None
    return text


def _plain(value: Any) -> Any:
    """A value as JSON gives it back. TypeError for a mapping from anything but texts, whose keys would come back as texts."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is no text")
        return {key: _plain(each) for key, each in value.items()}
    return value


def parts_of(encoder: Bert) -> Iterator[tuple[str, Any, str]]:
    """Every part: its name as its intermediates' names begin, the module that holds it, and what it is called there."""
    for parent, attribute, child, path in children_of(encoder):
        if not isinstance(parent, nnx.List) and not isinstance(child, nnx.List):
            yield name_of_part(path), parent, attribute


def children_of(model: nnx.Module) -> list[tuple[Any, str, Any, str]]:
    """Every module with what holds it before it: the holder, its name there, itself, and its path."""
    found = []
    for path, module in list(nnx.iter_graph(model)):
        if isinstance(module, nnx.Module):
            for attribute, child in list(vars(module).items()):
                if isinstance(child, nnx.Module):
                    found.append((module, attribute, child, ".".join([*map(str, path), attribute])))
    return found


def name_of_part(path: str) -> str:
    """Of a path in the module tree; "encoder.layers.0.attention" is called "layers.0.attention"."""
    return path.removeprefix("encoder.") if path.startswith("encoder.layers.") else path


def path_of_part(name: str) -> str:
    """The inverse of `name_of_part`."""
    return f"encoder.{name}" if name.startswith("layers.") else name
