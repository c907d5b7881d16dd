"""The true values of every intermediate, and how far float32 is from them, by the NumPy BERT alone."""

import copy
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from minibert.checkpoints.blueprint import parameters_of
from minibert.checkpoints.parameters import read_parameters
from minibert.errors import InputError
from minibert.model import Bert
from minibert.model.anatomy import MADE_WITH, foreign_parts
from minibert.model.inputs import check_inputs
from minibert.numpy_bert import NumpyBert
from minibert.verification.measures import real_positions
from minibert.verification.reference import Reference
from minibert.verification.trace import Trace, check_names
from minibert.verification.trace_file import versions

Model = Bert | NumpyBert | str | Path

WAYS = 12
"""How often the float32 NumPy BERT computes the same batch for the floor: the error of a single run is luck."""

DEVIATIONS = 3.0
"""The floor is at least so many standard deviations of the value whose error varies most: few values have few large errors."""

ROWS_AT_ONCE = 16
"""Products of fewer rows take another path in the library, with smaller errors than any other implementation's."""

FLOAT64_BUDGET = 1e-12
"""How far a float64 implementation may be from the truth, in units of the largest value of an intermediate, at least of 1."""


def oracle_of(model: Model) -> NumpyBert:
    """The float64 NumPy BERT with a model's parameters, or with those of a checkpoint by its name or folder.

    Raises as `minibert.load` does, and InputError for a model whose parts `minibert.lab` swapped.
    """
    if isinstance(model, NumpyBert):
        return model
    if isinstance(model, Bert):
        for path, part in foreign_parts(model).items():
            # A fault is planted in the same way; of a model with one the truth is that of its parameters.
            if hasattr(part, MADE_WITH):
                raise InputError(
                    f"{path} is of the class {type(part).__name__}, whose sums the NumPy BERT does not do; give "
                    "minibert.lab.numpy_twin(model) instead"
                )
        return NumpyBert(
            model.config, {path: np.asarray(variable.get_value()) for path, variable in parameters_of(model).items()}
        )
    return NumpyBert(*read_parameters(model))


def record_numpy(model: Model, batch: Mapping[str, Any], names: Sequence[str] | None = None, dtype: Any = np.float64) -> Trace:
    """Run the NumPy BERT on a batch and keep its intermediates, all or those in `names`.

    Arguments and errors as `minibert.record` and `oracle_of` have them; `dtype` is that of the arithmetic, any float.
    """
    oracle = oracle_of(model)
    inputs = inputs_of(oracle, batch)
    computing = copy.copy(oracle)
    computing.dtype = np.dtype(dtype)
    values = _run(computing, inputs)
    if names is not None:
        check_names(names, list(values))
        values = {name: values[name] for name in values if name in names}
    metadata = {
        "implementation": "minibert NumpyBert",
        "versions": versions("minibert", "numpy", "scipy"),
        "config": json.dumps(dataclasses.asdict(oracle.config)),
        "dtype": np.dtype(dtype).name,
        "device": "cpu",
    }
    return Trace(values, inputs, metadata)


def inputs_of(oracle: NumpyBert, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The four input arrays of a batch, checked. Raises InputError as `Bert.__call__` does."""
    if not isinstance(batch, Mapping):
        raise InputError(f"the batch is a {type(batch).__name__}; expected the mapping that a Tokenizer returns")
    return {name: np.asarray(array) for name, array in check_inputs(oracle.config, **batch)._asdict().items()}


def computed_reference(
    model: Model, batch: Mapping[str, Any], names: Sequence[str] | None = None, dtype: str = "float32"
) -> Reference:
    """What `compare` needs for these inputs: the truth in float64, and the floor of arithmetic in `dtype`.

    The floor of float32 is measured by Monte Carlo arithmetic (Parker 1997): the NumPy BERT computes the batch in float32 `WAYS`
    times, each time adding the terms of its products up in another order and moving every intermediate by a random part of
    its last place, up or down. At each name the floor is the largest error over all texts, values and runs, or `DEVIATIONS`
    standard deviations of the value that varies most, if that is more. Of float64 it is what makes 1.5 times the floor
    `FLOAT64_BUDGET`.
    """
    oracle = oracle_of(model)
    truth = record_numpy(oracle, batch, names)
    inputs = truth.inputs
    if dtype == "float64":
        sizes = {name: max(1.0, float(np.abs(values).max())) for name, values in truth.items()}
        floor = {name: np.full(len(values), FLOAT64_BUDGET / 1.5 * sizes[name]) for name, values in truth.items()}
        float32 = {name: values.astype(np.float32) for name, values in truth.items()}
    else:
        float32, floor = _float32_floor(oracle, truth)
    return Reference(None, truth.metadata | {"texts": "[]"}, inputs, float32, dict(truth), floor, None)


class RoundedAnew:
    """A float32 BERT with rounding errors of its own, another set for each `seed`; `moved` is part of them, to be its tap."""

    def __init__(self, oracle: NumpyBert, seed: int):
        self.bert = copy.copy(oracle)
        self.bert.dtype = np.dtype(np.float32)
        self.bert.product = self.product  # type: ignore[method-assign]
        self.random = np.random.default_rng(seed)

    def product(
        self, left: Float[np.ndarray, "*batch rows terms"], right: Float[np.ndarray, "*#batch terms columns"]
    ) -> Float[np.ndarray, "*batch rows columns"]:
        """`left @ right` with its terms in another order."""
        order = self.random.permutation(left.shape[-1])
        rows = left.shape[-2]
        copies = -(-ROWS_AT_ONCE // rows)
        shuffled = np.concatenate([left[..., order]] * copies, axis=-2)
        return (shuffled @ right[..., order, :])[..., :rows, :]

    def moved(self, value: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Each number moved by less than the distance to the next one."""
        step = np.spacing(np.abs(value)) * self.random.uniform(-1.0, 1.0, value.shape).astype(np.float32)
        return value + step


def _float32_floor(oracle: NumpyBert, truth: Trace) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One run's values, and the floor of each text, the same for all."""
    first: dict[str, np.ndarray] = {}
    largest = dict.fromkeys(truth, 0.0)
    squares: dict[str, Any] = dict.fromkeys(truth, 0.0)
    for seed in range(WAYS):
        bert = RoundedAnew(oracle, seed)

        def keep(name: str, value: np.ndarray, bert: RoundedAnew = bert) -> np.ndarray:
            value = bert.moved(value)
            if name in truth:
                real = real_positions(name, truth.inputs["attention_mask"], value.shape)
                error = np.where(real, np.abs(value - truth[name]), 0.0)
                first.setdefault(name, value)
                largest[name] = max(largest[name], float(error.max()))
                squares[name] = squares[name] + error * error
            return value

        bert.bert(**truth.inputs, tap=keep)
    deviations = {name: DEVIATIONS * math.sqrt(float(squares[name].max()) / WAYS) for name in truth}
    floor = {name: np.full(len(values), max(largest[name], deviations[name])) for name, values in truth.items()}
    return first, floor


def _run(bert: NumpyBert, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {}

    def keep(name: str, value: np.ndarray) -> np.ndarray:
        values[name] = value
        return value

    bert(**inputs, tap=keep)
    return values
