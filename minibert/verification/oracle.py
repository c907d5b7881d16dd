"""The true values of every intermediate, and how far float32 is from them, by the NumPy BERT alone."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from minibert.checkpoints.loading import parameters_of
from minibert.checkpoints.parameters import read_parameters
from minibert.errors import InputError
from minibert.model import Bert
from minibert.model.inputs import check_inputs
from minibert.numpy_bert import NumpyBert
from minibert.verification.measures import error_of_each_text
from minibert.verification.reference import Reference
from minibert.verification.trace import Trace, check_names
from minibert.verification.trace_file import versions

Model = Bert | NumpyBert | str | Path

WAYS = 4
"""How many orders of summation the float32 floor is taken over: the error of a single one is luck."""

FLOAT64_BUDGET = 1e-12
"""How far a float64 implementation may be from the truth, in units of the largest value of an intermediate, at least of 1."""


def oracle_of(model: Model) -> NumpyBert:
    """The float64 NumPy BERT with a model's parameters, or with those of a checkpoint by its name or folder.

    Raises as `minibert.load` does.
    """
    if isinstance(model, NumpyBert):
        return model
    if isinstance(model, Bert):
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
    values = _run(NumpyBert(oracle.config, oracle.parameters, dtype), inputs)
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

    The floor of float32 at an intermediate is the largest error, over all texts, of the NumPy BERT in float32 when it adds
    the terms of its products up in `WAYS` different orders. Of float64 it is what makes 1.5 times the floor
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
        runs = [_run(ShuffledSums(oracle, seed), inputs) for seed in range(WAYS)]
        float32 = {name: runs[0][name] for name in truth}
        floor = {}
        for name, values in truth.items():
            errors = [error_of_each_text(name, run[name], values, inputs["attention_mask"]).max() for run in runs]
            floor[name] = np.full(len(values), max(errors))
    metadata = truth.metadata | {"texts": "[]"}
    return Reference(None, metadata, inputs, float32, dict(truth), floor, None)


class ShuffledSums(NumpyBert):
    """A float32 BERT that adds the terms of every product up in an order of its own: `seed` says which."""

    def __init__(self, oracle: NumpyBert, seed: int):
        super().__init__(oracle.config, oracle.parameters, np.float32)
        self.random = np.random.default_rng(seed)

    def product(
        self, left: Float[np.ndarray, "*batch rows terms"], right: Float[np.ndarray, "*#batch terms columns"]
    ) -> Float[np.ndarray, "*batch rows columns"]:
        """`left @ right` with its terms in another order."""
        order = self.random.permutation(left.shape[-1])
        return left[..., order] @ right[..., order, :]


def _run(bert: NumpyBert, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    values: dict[str, np.ndarray] = {}

    def keep(name: str, value: np.ndarray) -> np.ndarray:
        values[name] = value
        return value

    bert(**inputs, tap=keep)
    return values
