"""Recording: which names are kept, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from minibert import Bert, InputError, Trace, TraceError, load, record
from minibert.verification import Reference

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"


@pytest.fixture(scope="module")
def model() -> Bert:
    return load(GELU)


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    return Reference.read(GELU / "reference.safetensors").inputs


def test_only_the_names_asked_for_are_kept_in_data_flow_order(model: Bert, batch: dict[str, np.ndarray]):
    names = ["pooler.output", "embeddings.sum", "layers.1.attention.scores"]
    some, everything = record(model, batch, names), record(model, batch)
    assert list(some) == ["embeddings.sum", "layers.1.attention.scores", "pooler.output"]
    for name, values in some.items():
        np.testing.assert_array_equal(values, everything[name])


@pytest.mark.parametrize("name", ["layers.2.output", "layers.0.attention.querry", "", "output"])
def test_a_name_that_the_model_does_not_have_is_refused(model: Bert, batch: dict[str, np.ndarray], name: str):
    with pytest.raises(TraceError, match=f"{name} is no intermediate of this model; the names are embeddings.word"):
        record(model, batch, ["layers.0.output", name])


def test_a_batch_that_the_model_cannot_take_is_refused(model: Bert, batch: dict[str, np.ndarray]):
    with pytest.raises(InputError, match=r"input_ids\[0, 0\] is 37"):
        record(model, batch | {"input_ids": np.full((4, 6), 37)})


def test_a_trace_keeps_the_inputs_that_gave_it(model: Bert, batch: dict[str, np.ndarray]):
    trace = record(model, batch)
    assert list(trace.inputs) == ["input_ids", "attention_mask", "token_type_ids", "position_ids"]
    for name, values in batch.items():
        np.testing.assert_array_equal(trace.inputs[name], values)
    np.testing.assert_array_equal(trace.inputs["position_ids"], np.tile(np.arange(6), (4, 1)))


def test_a_trace_holds_numpy_arrays(model: Bert, batch: dict[str, np.ndarray]):
    assert {type(values) for values in record(model, batch).values()} == {np.ndarray}


def test_a_name_that_a_trace_lacks_is_refused_with_those_it_has():
    trace = Trace({"embeddings.output": np.zeros((1, 1, 2))}, {"input_ids": np.zeros((1, 1), int)})
    with pytest.raises(KeyError, match=r"'layers\.0\.output' is not in this trace, which holds embeddings\.output"):
        trace["layers.0.output"]
