"""One run of a model with edits, and what was captured on the way."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.config import BertConfig
from minibert.errors import InputError, shown
from minibert.lab.arguments import check_model
from minibert.lab.edits import Edit
from minibert.lab.named_array import NamedArray, axes_of, by_axes
from minibert.lab.names import names_like
from minibert.model import Bert, BertWithHeads
from minibert.model.inputs import ModelInputs, check_inputs

Model = Bert | BertWithHeads


class Run(NamedTuple):
    """What came of a run."""

    output: Any
    """BertOutput or HeadsOutput."""
    captured: dict[str, NamedArray]
    """In data-flow order, after edits."""


def run(model: Model, batch: Mapping[str, Any], *, edits: Edit | Sequence[Edit] = (), capture: str | Iterable[str] = ()) -> Run:
    """Run a model on a batch, with edits, and keep some of its intermediates.

    Args:
        model: as `minibert.load` gives it.
        batch: `input_ids`, `attention_mask`, `token_type_ids` [batch, tokens], as a tokenizer gives it.
        edits: made in their order, each on what those before it left; a single one may be given as it is.
        capture: names of intermediates, or patterns with *: "layers.*.attention.probabilities".

    Raises InputError for a batch that the model does not take, for edits that fit no intermediate, and for names there are not.
    """
    inputs = inputs_of(model, batch)
    shapes = shapes_of(model, inputs)
    if not isinstance(edits, Edit | Iterable) or isinstance(edits, str):
        raise InputError(f"edits is {shown(edits)}; expected what lab.replace, zero, scale, add or mean_ablate gives, or a list")
    edits = (edits,) if isinstance(edits, Edit) else tuple(edits)
    for edit in edits:
        if not isinstance(edit, Edit):
            raise InputError(f"an edit is {shown(edit)}; expected what lab.replace, zero, scale, add or mean_ablate gives")
        edit.check(shapes)
        if edit.action == "mean" and not np.asarray(inputs.attention_mask).any():
            raise InputError("the batch is padding only, and there is no mean over real tokens; give texts")
    names = names_like(capture, shapes)
    output, captured = _compiled(model, inputs, edits, names)
    return Run(output, {name: NamedArray(np.asarray(captured[name]), axes_of(name, captured[name].ndim)) for name in names})


def inputs_of(model: Model, batch: Mapping[str, Any]) -> ModelInputs:
    """The batch with its defaults filled in. Raises InputError as the model itself does, and for questions with choices."""
    check_model(model)
    known = ModelInputs._fields
    if not isinstance(batch, Mapping) or not set(batch) <= set(known) or "input_ids" not in batch:
        found = f"the names {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else f"the type {type(batch).__name__}"
        raise InputError(f"the batch has {found}; expected a mapping of {', '.join(known)}, as a tokenizer gives it")
    if not isinstance(model, BertWithHeads):
        return check_inputs(model.config, **batch)
    if "multiple_choice" in model.heads:
        raise InputError("the laboratory takes no model with the head multiple_choice; give its encoder: model.bert")
    return model.checked_inputs(**batch)[0]


def shapes_of(model: Model, inputs: ModelInputs) -> dict[str, tuple[int, ...]]:
    """The shape of every intermediate with all its axes, in data-flow order."""
    leaves, structure = jax.tree.flatten(model)
    return _shapes(structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves), inputs.input_ids.shape)


# Going through a model takes longer than running it on a few texts.
@lru_cache(64)
def _shapes(structure: Any, leaves: tuple[Any, ...], shape_of_inputs: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    model = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    inputs = ModelInputs(*[np.zeros(shape_of_inputs, np.int32)] * 4)
    noting = _Noting(model.config)
    jax.eval_shape(lambda model, inputs: forward(model, inputs, noting), model, inputs)
    return noting.shapes


class _Noting:
    """The tap that notes every shape there is."""

    def __init__(self, config: BertConfig) -> None:
        self.config = config
        self.shapes: dict[str, tuple[int, ...]] = {}

    def __call__(self, name: str, value: Array) -> Array:
        self.shapes[name] = by_axes(name, value, self.config).shape
        return value

    def wants(self, name: str) -> bool:
        # Fused attention never forms them.
        return self.config.attention_implementation != "fused" or not name.endswith(("scores", "probabilities"))


def forward(model: Model, inputs: ModelInputs, tap: Any) -> Any:
    """The model's own pure function, whichever model it is."""
    return model.forward(inputs, tap=tap) if isinstance(model, BertWithHeads) else model.forward(*inputs, tap=tap)


class Editing:
    """The tap that edits, and captures what comes of it."""

    def __init__(self, model: Model, inputs: ModelInputs, edits: Sequence[Edit], names: Sequence[str] = ()) -> None:
        self.config, self.edits, self.names = model.config, edits, frozenset(names)
        self.real = jnp.asarray(inputs.attention_mask)
        self.captured: dict[str, Array] = {}

    def __call__(self, name: str, value: Array) -> Array:
        """What the model goes on with."""
        given = value
        for edit in self.edits:
            if edit.concerns(name):
                value = edit.apply(name, by_axes(name, value, self.config), self.real).reshape(given.shape)
        if name in self.names:
            self.captured[name] = by_axes(name, value, self.config)
        return value

    def wants(self, name: str) -> bool:
        """Whether an edit concerns it, or it is captured."""
        return name in self.names or any(edit.concerns(name) for edit in self.edits)


def forward_with(model: Model, inputs: ModelInputs, edits: Sequence[Edit], names: Sequence[str]) -> tuple[Any, dict[str, Array]]:
    """The model's output with edits, and the intermediates of these names, with all their axes."""
    tap = Editing(model, inputs, edits, names)
    return forward(model, inputs, tap), tap.captured


_compiled = jax.jit(forward_with, static_argnames="names")
