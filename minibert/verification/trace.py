"""`record`: every named intermediate of one forward pass, as NumPy arrays."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from minibert.errors import InputError, TraceError
from minibert.model import Bert, BertWithHeads
from minibert.model.inputs import ModelInputs, check_inputs
from minibert.model.tap import data_flow_order, intermediate_names
from minibert.verification.trace_file import checked_inputs, checked_values, read_trace_file, versions, write_trace_file


class Trace(Mapping[str, np.ndarray]):
    """Named intermediates in data-flow order, `trace["layers.3.attention.probabilities"]`, and the inputs that gave them.

    `values` are floating-point numbers with the texts as their first axis; `inputs` at least `input_ids` [batch, tokens], the
    others have their defaults; `metadata` says who computed it, under the names of `minibert.verification.trace_file`.

    Raises TraceError for values or inputs that are none.
    """

    def __init__(
        self, values: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
    ):
        self.inputs = checked_inputs(inputs, "a trace's ")
        texts = len(self.inputs["input_ids"])
        names = sorted(values, key=data_flow_order)
        self.values_by_name = {name: checked_values(name, values[name], texts, "a trace's ") for name in names}
        self.metadata = dict(metadata or {})

    @classmethod
    def read(cls, path: Path | str) -> "Trace":
        """The trace in a file. Raises TraceError for a file that is no trace."""
        return cls(*read_trace_file(Path(path)))

    def save(self, path: Path | str) -> None:
        """Write the trace into a file, in the format of `minibert.verification.trace_file`.

        Raises TraceError where nothing can be written.
        """
        write_trace_file(Path(path), self.values_by_name, self.inputs, self.metadata)

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self.values_by_name[name]
        except KeyError:
            raise KeyError(f"{name!r} is not in this trace, which holds {', '.join(self.values_by_name)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def __repr__(self) -> str:
        return f"Trace of {len(self)} intermediates for input_ids {list(self.inputs['input_ids'].shape)}"


class Recorder:
    """A tap that keeps what it is shown, of the names it wants, and changes nothing."""

    def __init__(self, names: frozenset[str] | None = None):
        self.names = names
        self.recorded: dict[str, Array] = {}

    def __call__(self, name: str, value: Array) -> Array:
        """Keep `value` if it is wanted, and hand it back."""
        if self.wants(name):
            self.recorded[name] = value
        return value

    def wants(self, name: str) -> bool:
        """Whether `name` is among those to keep; all are, if none were given."""
        return self.names is None or name in self.names


def record(model: Bert | BertWithHeads, batch: Mapping[str, Any], names: list[str] | None = None) -> Trace:
    """Run the model on a batch and keep its intermediates.

    Args:
        model: the model, with heads or without; the pass is compiled, and looking at it changes no bit of its results.
        batch: the keyword arguments of `model(...)`, as a Tokenizer gives them.
        names: which intermediates to keep, all by default.

    Raises:
        TraceError: a name that the model does not have.
        InputError: a batch that the model cannot take.
    """
    if not isinstance(batch, Mapping):
        raise InputError(f"record() was given a {type(batch).__name__}; expected the mapping that a Tokenizer returns")
    encoder = model.bert if isinstance(model, BertWithHeads) else model
    known = intermediate_names(model.config.num_hidden_layers, pooler=encoder.pooler is not None)
    heads = [f"heads.{name}." for name in model.heads] if isinstance(model, BertWithHeads) else []
    # What a head tells is its own affair.
    check_names([name for name in names or () if not name.startswith(tuple(heads))], [*known, *(f"{head}…" for head in heads)])
    inputs, choices = (
        model.checked_inputs(**batch) if isinstance(model, BertWithHeads) else (check_inputs(model.config, **batch), 0)
    )
    metadata = {
        "implementation": f"minibert {type(model).__name__}, compiled",
        "versions": versions("minibert", "jax", "jaxlib", "flax"),
        "config": json.dumps(dataclasses.asdict(model.config)),
        "dtype": model.config.dtype,
        "device": jax.default_backend(),
    }
    wanted = None if names is None else frozenset(names)
    recorded = _compiled_record(model, inputs, wanted, choices)
    of_heads = [name for name in recorded if name.startswith(tuple(heads))]
    values = {name: np.asarray(recorded[name]) for name in [*known, *of_heads] if name in recorded}
    check_names(names or (), list(values))
    return Trace(values, {name: np.asarray(array) for name, array in inputs._asdict().items()}, metadata)


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Raise TraceError that names whatever is not among the `known` names of a model's intermediates."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise TraceError(f"{', '.join(unknown)} is no intermediate of this model; the names are {', '.join(known)}")


@partial(jax.jit, static_argnames=("names", "choices"))
def _compiled_record(
    model: Bert | BertWithHeads, inputs: ModelInputs, names: frozenset[str] | None, choices: int
) -> dict[str, Array]:
    recorder = Recorder(names)
    if isinstance(model, BertWithHeads):
        model.forward(inputs, choices, tap=recorder)
    else:
        model.forward(*inputs, tap=recorder)
    return recorder.recorded
