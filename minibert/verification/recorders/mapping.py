"""The mapping file: where another implementation computes what minibert has a name for.

A TOML file, or a dict of the same form. Everything but `names` may be left out:

    implementation = "BERT of chapter 7, commit 1f3a"   # what the trace says computed it; the model's class if absent
    num_attention_heads = 12                            # needed where heads are to be split

    [arguments]                                         # with which inputs the model is called, and their names there;
    input_ids = "tokens"                                # if absent, with those of the batch under minibert's names
    attention_mask = "mask"

    [names]                                             # minibert's name -> where it is found
    "embeddings.output" = "embed.norm"
    "layers.{i}.attention.query" = { module = "blocks.{i}.attn.q", axes = "batch tokens heads*head_dim" }
    "layers.{i}.attention.probabilities" = { module = "blocks.{i}.attn", item = 1 }
    "layers.{i}.attention.context" = { module = "blocks.{i}.attn.out", input = 0 }
    "layers.{i}.output" = "blocks.{i}"

The names are those of `minibert.model.tap`, in quotes, for they have dots; `{i}` stands for the number of each layer. A place
is the path of a part of the model, or a table with more about it:

    module   the path: attributes, numbers of lists and keys of dicts with dots between them; "" is the model itself
    input    take not the part's output but its input: the number of a positional argument, or the name of a keyword
    item     of an output or input that is a tuple or list: the number of its item; of a dict or an object: the name
    axes     how the values lie, if not as minibert's do: see `minibert.verification.recorders.axes`
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from minibert.config import LARGEST
from minibert.errors import TraceError
from minibert.model.tap import intermediate_names, is_intermediate_name
from minibert.strict_json import read_regular_file
from minibert.verification.recorders.axes import check_axes, our_axes
from minibert.verification.trace import check_names
from minibert.verification.trace_file import INPUTS

LAYER = "{i}"
MISSING = object()


@dataclass(frozen=True)
class Place:
    """Where one intermediate is found, or with `{i}` one of every layer."""

    name: str
    module: str
    input: int | str | None
    item: int | str | None
    axes: str

    @property
    def what(self) -> str:
        """The value in words, for messages."""
        of = self.module or "the model"
        value = f"the output of {of}" if self.input is None else f"the input {self.input} of {of}"
        return value if self.item is None else f"item {self.item} of {value}"

    def of_layer(self, number: int | str) -> "Place":
        """The place in one layer."""
        name, module = (text.replace(LAYER, str(number)) for text in (self.name, self.module))
        return Place(name, module, self.input, self.item, self.axes)


class Finding(NamedTuple):
    """A place in one layer, and the part of the model that is there."""

    place: Place
    part: Any


@dataclass(frozen=True)
class NameMapping:
    """A mapping that has been read and checked."""

    places: tuple[Place, ...]
    arguments: dict[str, str] | None
    num_attention_heads: int | None
    implementation: str | None

    @classmethod
    def read(cls, mapping: Mapping[str, Any] | Path | str) -> "NameMapping":
        """From a dict or a TOML file. Raises TraceError, naming the file and the key, for whatever is not of the format."""
        if isinstance(mapping, Mapping):
            return _checked(mapping, "the mapping")
        data = read_regular_file(Path(mapping), error=TraceError, max_bytes=1 << 20)
        try:
            return _checked(tomllib.loads(data.decode("utf-8")), str(mapping))
        except ValueError as problem:  # of decoding, too
            raise TraceError(f"{mapping} is not valid TOML: {problem}") from None

    def findings(self, model: object) -> list[Finding]:
        """Every place of every layer in `model`, with the part there.

        Raises TraceError for a path that leads nowhere, with the nearest part that exists, and for a name found twice.
        """
        layers = max((_layers(model, place.module) for place in self.places if LAYER in place.module), default=0)
        found: dict[str, Finding] = {}
        for place in self.places:
            # Without a single layer, the first is looked for all the same: the message says where the path ends.
            numbers: Sequence[int | str] = range(max(layers, 1)) if LAYER in place.module else [""]
            for one in map(place.of_layer, numbers):
                if one.name in found:
                    raise TraceError(f"{one.name} is mapped twice: to {found[one.name].place.what} and to {one.what}")
                found[one.name] = Finding(one, _part(model, one))
        return list(found.values())

    def places_at(self, path: str) -> Iterator[Place]:
        """The places that a part at `path` has."""
        for place in self.places:
            pattern = re.escape(place.module).replace(re.escape(LAYER), "(0|[1-9][0-9]*)")
            match = re.fullmatch(pattern, path)
            if match is not None:
                yield place.of_layer(match.group(1) if match.groups() else "")


def _checked(mapping: Mapping[str, Any], where: str) -> NameMapping:
    _check_keys(mapping, ("names", "arguments", "num_attention_heads", "implementation"), where)
    names, arguments = mapping.get("names"), mapping.get("arguments")
    if not isinstance(names, Mapping) or not names:
        raise TraceError(f"{where} has no table `names`; expected at least one name and where it is found")
    if arguments is not None:
        if not isinstance(arguments, Mapping) or not all(isinstance(argument, str) for argument in arguments.values()):
            raise TraceError(f"{where}: arguments is {arguments!r}; expected a table from {', '.join(INPUTS)} to other names")
        _check_keys(arguments, INPUTS, f"{where}: arguments")
        if "input_ids" not in arguments:
            raise TraceError(f"{where}: arguments lacks input_ids; the model is called with the arguments that stand there alone")
    heads, implementation = mapping.get("num_attention_heads"), mapping.get("implementation")
    if heads is not None and (type(heads) is not int or heads < 1):
        raise TraceError(f"{where}: num_attention_heads is {heads!r}; expected a whole number from 1 up")
    if implementation is not None and not isinstance(implementation, str):
        raise TraceError(f"{where}: implementation is {implementation!r}; expected a few words in quotes")
    places = tuple(_place(str(name), place, where) for name, place in names.items())
    return NameMapping(places, None if arguments is None else dict(arguments), heads, implementation)


def _place(name: str, place: object, where: str) -> Place:
    known = [known.replace("layers.0.", f"layers.{LAYER}.") for known in intermediate_names(1)]
    if not is_intermediate_name(name.replace(LAYER, "0")):
        if isinstance(place, Mapping) and "module" not in place:
            raise TraceError(f"{where}: names has a table {name}, which names no module; a name with dots stands in quotes")
        try:
            check_names([name], known)
        except TraceError as problem:
            raise TraceError(f"{where}: {problem}") from None
    table: Mapping[str, Any] = place if isinstance(place, Mapping) else {"module": place}
    _check_keys(table, ("module", "input", "item", "axes"), f"{where}: {name}")
    module, axes = table.get("module"), table.get("axes", our_axes(name))
    if not isinstance(module, str) or not isinstance(axes, str):
        raise TraceError(f"{where}: {name} is {place!r}; expected the path of a module in quotes, or a table with module = it")
    if (LAYER in name) != (LAYER in module):
        raise TraceError(
            f"{where}: {name} is found at {module!r}; {LAYER}, the number of the layer, stands in both or in neither"
        )
    for key in ("input", "item"):
        value = table.get(key, 0)
        if not (isinstance(value, str) or (type(value) is int and value >= 0)):
            raise TraceError(f"{where}: {name} has {key} = {value!r}; expected a number from 0 up or a name")
    check_axes(name, axes)
    return Place(name, module, table.get("input"), table.get("item"), axes)


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = [str(key) for key in table if key not in known]
    if unknown:
        raise TraceError(f"{where} has {', '.join(unknown)}; the keys are {', '.join(known)}")


def _layers(model: object, path: str) -> int:
    """How many layers there are below the part that the steps of `path` before its first `{i}` lead to."""
    steps = path.split(".")
    start = steps[: next(place for place, step in enumerate(steps) if LAYER in step) + 1]
    number = 0
    while number < LARGEST["num_hidden_layers"] and _walk(model, ".".join(start).replace(LAYER, str(number)))[1] is None:
        number += 1
    return number


def _part(model: object, place: Place) -> object:
    part, missing = _walk(model, place.module)
    if missing is None:
        return part
    nearest = place.module.removesuffix(missing).removesuffix(".") or "the model"
    below = ", ".join(_steps(part)) or "nothing"
    raise TraceError(f"{place.name}: the model has no part {place.module!r}; the nearest is {nearest}, with {below} below it")


def _walk(part: object, path: str) -> tuple[Any, str | None]:
    """The part at `path`, and None; or the last part on the way to it, and the rest of the path."""
    steps = path.split(".") if path else []
    for place, step in enumerate(steps):
        below = _below(part, step)
        if below is MISSING:
            return part, ".".join(steps[place:])
        part = below
    return part, None


def _below(part: object, step: str) -> object:
    if isinstance(part, Mapping):
        return part.get(step, MISSING)
    if isinstance(part, Sequence) and not isinstance(part, str) and step.isdecimal():
        return part[int(step)] if int(step) < len(part) else MISSING
    return getattr(part, step, MISSING)


def _steps(part: object) -> list[str]:
    """The names of what is right below a part, for a message."""
    if isinstance(part, Mapping):
        return [str(key) for key in part]
    if isinstance(part, Sequence):
        return [f"0 to {len(part) - 1}"] if part else []
    if hasattr(part, "named_children"):
        return [name for name, _ in part.named_children()]
    return [name for name in getattr(part, "__dict__", {}) if not name.startswith("_")]
