"""`record_by_mapping`: the trace of any BERT in torch or JAX, through a mapping from our names to its parts."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from minibert.config import LARGEST, BertConfig
from minibert.errors import TraceError
from minibert.verification.recorders.arrays import checked_batch, dtype_name, is_floating, is_torch, numpy_copy
from minibert.verification.recorders.axes import to_our_axes
from minibert.verification.recorders.mapping import NameMapping, Place
from minibert.verification.recorders.watching import watch_linen, watch_objects, watch_torch
from minibert.verification.trace import Trace
from minibert.verification.trace_file import INPUTS, versions

ANY_SIZES = BertConfig(
    vocab_size=LARGEST["vocab_size"],
    max_position_embeddings=LARGEST["max_position_embeddings"],
    type_vocab_size=LARGEST["type_vocab_size"],
)
"""Of a model that does not say how large its tables are."""


def record_by_mapping(
    model: Any, batch: Mapping[str, Any], mapping: Mapping[str, Any] | Path | str, *, call: Callable[..., Any] | None = None
) -> Trace:
    """Run another implementation on a batch and keep the intermediates that a mapping names.

    Args:
        model: a module of torch; an object in Python with callable parts, such as a module of Flax NNX; or a module of Flax
            linen. It is left as it was. Dropout is on where the model has it on.
        batch: `input_ids` and, if there are, `attention_mask`, `token_type_ids` and `position_ids`, each [batch, tokens].
        mapping: a dict or the path of a TOML file, in the form that `minibert.verification.recorders.mapping` describes.
        call: what to call in the model's place, with the same keywords, where a model needs something else:
            `lambda input_ids, mask: model(input_ids, mask == 0)`. A linen module always needs it:
            `lambda **inputs: module.apply(variables, **inputs)`.

    The arguments are int64 tensors on the model's device for torch, int32 arrays of JAX for a model that holds arrays of
    JAX, of NumPy for any other. What a program under `jax.jit` computes is recorded while it runs, if it is compiled during
    this call: one that was compiled before no longer passes through the model's Python.

    Raises:
        TraceError: a mapping that is not of its format; a name, a part, an input or an item that does not exist; a value that
            is no array of floating-point numbers or has another shape; a name that was computed never, or more than once.
        InputError: a batch that is none.
    """
    names = NameMapping.read(mapping)
    inputs = checked_batch(ANY_SIZES, batch)
    arguments = _arguments(model, names, inputs, list(batch))
    run, seen = model if call is None else call, _Seen()
    parts = model
    if _is_linen(model):
        if call is None:
            raise TraceError(
                "a linen module does not hold its variables; give call=lambda **inputs: module.apply(variables, **inputs)"
            )
        with watch_linen(names, seen) as parts:
            run(**arguments)
        if not parts:
            raise TraceError("no linen module was called: if call= is compiled, it was before this; give one that is not")
    else:
        with (watch_torch if is_torch(model) else watch_objects)(names.findings(model), seen):
            run(**arguments)
    jax.effects_barrier()  # what compiled programs hand over may still be on its way
    places = [place for place, _ in names.findings(parts)]
    values = {place.name: _value(place, seen.values.get(place.name, []), names, inputs) for place in places}
    return Trace(values, inputs, _metadata(model, names, seen))


class _Seen:
    """What the watched parts were given and gave, by our names."""

    def __init__(self) -> None:
        self.values: dict[str, list[np.ndarray]] = {}
        self.dtypes: set[str] = set()

    def __call__(self, place: Place, arguments: Sequence[Any], keywords: Mapping[str, Any], output: Any) -> None:
        value = _picked(place, arguments, keywords, output)
        self.dtypes.add(dtype_name(value))
        keep = partial(self._keep, place.name)
        if isinstance(value, jax.core.Tracer):
            jax.debug.callback(keep, value)
        else:
            keep(value)

    def _keep(self, name: str, value: Any) -> None:
        self.values.setdefault(name, []).append(numpy_copy(value))


def _picked(place: Place, arguments: Sequence[Any], keywords: Mapping[str, Any], output: Any) -> Any:
    """The value that the place means, of one call of its part."""
    value = output
    if place.input is not None:
        given = dict(keywords) | dict(enumerate(arguments))
        if place.input not in given:
            found = ", ".join(map(str, given)) or "nothing"
            raise TraceError(f"{place.name}: {place.what} is not there; what it was called with is {found}")
        value = given[place.input]
    if place.item is not None:
        value = _item(place, value)
    if getattr(value, "is_nested", False):  # and has not even a shape
        raise TraceError(f"{place.name}: {place.what} is a nested tensor; expected one with padding: switch nested tensors off")
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        found = f"a {type(value).__name__}"
        if isinstance(value, Mapping | Sequence):
            found += f" of {len(value)}, of which item = … takes one"
        raise TraceError(f"{place.name}: {place.what} is {found}; expected an array")
    if not is_floating(value):
        raise TraceError(f"{place.name}: {place.what} is of {dtype_name(value)}; expected an array of floating-point numbers")
    return value


def _item(place: Place, value: Any) -> Any:
    item = place.item
    try:
        if isinstance(item, str) and not isinstance(value, Mapping):
            return getattr(value, item)
        return value[item]
    except (LookupError, TypeError, AttributeError):
        found = f"has {len(value)} items" if isinstance(value, Sequence) else f"is a {type(value).__name__}"
        raise TraceError(f"{place.name}: {place.what} is not there; the value {found}") from None


def _value(place: Place, seen: list[np.ndarray], names: NameMapping, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    if not seen:
        raise TraceError(
            f"{place.name} was never computed: {place.module or 'the model'} is there, but was not called; map the part that is, "
            "or, of a compiled model, give the one that it was compiled from"
        )
    if len(seen) > 1:
        raise TraceError(
            f"{place.name} was computed {len(seen)} times: {place.module or 'the model'} is called by several parts, or in a "
            "loop; map a part that is called once"
        )
    batch, tokens = inputs["input_ids"].shape
    sizes = {"batch": batch, "tokens": tokens}
    if names.num_attention_heads is not None:
        sizes["heads"] = names.num_attention_heads
    return to_our_axes(place.name, seen[0], place.axes, sizes, place.what)


def _arguments(model: Any, names: NameMapping, inputs: Mapping[str, np.ndarray], given: list[str]) -> dict[str, Any]:
    """What the model is called with, in its own library's arrays."""
    called = {name: name for name in given} if names.arguments is None else names.arguments
    defaults = {
        "attention_mask": np.ones_like(inputs["input_ids"]),
        "token_type_ids": np.zeros_like(inputs["input_ids"]),
        "position_ids": np.broadcast_to(np.arange(inputs["input_ids"].shape[1]), inputs["input_ids"].shape),
    }
    for name in INPUTS:
        if name not in called and not np.array_equal(inputs[name], defaults[name]):
            raise TraceError(
                f"the batch has {name} of its own, which the mapping's table of arguments leaves out; name the argument that "
                "the model takes it by, or record texts that do not need it"
            )
    arrays = {argument: inputs[name] for name, argument in called.items()}
    if is_torch(model):
        import torch

        device = next((parameter.device for parameter in model.parameters()), None)
        return {name: torch.tensor(array, dtype=torch.int64, device=device) for name, array in arrays.items()}
    holds_jax = isinstance(model, nnx.Module) or any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(model))
    if holds_jax or _is_linen(model):
        return {name: jnp.asarray(array) for name, array in arrays.items()}
    return arrays


def _is_linen(model: Any) -> bool:
    linen = sys.modules.get("flax.linen")
    return linen is not None and isinstance(model, linen.Module)


def _metadata(model: Any, names: NameMapping, seen: _Seen) -> dict[str, str]:
    own = type(model)
    library, device = own.__module__.split(".")[0], jax.default_backend()
    frameworks = ["jax", "jaxlib", "flax"]
    implementation = names.implementation or f"{own.__module__}.{own.__qualname__}"
    if is_torch(model):
        frameworks, device = ["torch"], next((parameter.device.type for parameter in model.parameters()), "cpu")
        if any(module.training for module in model.modules()):
            implementation += ", in training mode"
    return {
        "implementation": implementation,
        "versions": versions(*dict.fromkeys([library, *frameworks])),
        "dtype": min(seen.dtypes, key=lambda name: (jnp.dtype(name).itemsize, name)),
        "device": device,
    }
