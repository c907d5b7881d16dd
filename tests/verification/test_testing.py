"""The assertion that users import into their own tests."""

from pathlib import Path

import numpy as np
import pytest

from minibert import Trace, load, record
from minibert.verification import Reference, plant
from minibert.verification.testing import assert_traces_agree

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"
REFERENCE = GELU / "reference.safetensors"


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return Reference.read(REFERENCE).inputs


def test_what_agrees_passes_and_gives_the_report(inputs: dict[str, np.ndarray]):
    trace = record(load(GELU), inputs)
    for reference in (GELU, str(GELU), load(GELU), REFERENCE):
        assert assert_traces_agree(trace, reference).agrees


def test_what_parts_fails_with_the_table_and_the_reason(inputs: dict[str, np.ndarray]):
    trace = record(plant(load(GELU), "query_key_swapped", layer=1), inputs)
    with pytest.raises(AssertionError) as failure:
        assert_traces_agree(trace, GELU)
    message = str(failure.value)
    assert message.startswith("parts first at layers.1.attention.query, where the error is ")
    assert "layers.1.attention.key" in message
    assert "query and key in each other's place" in message


def test_against_a_stored_reference_the_reason_needs_the_model(inputs: dict[str, np.ndarray]):
    trace = record(plant(load(GELU), "query_key_swapped", layer=1), inputs)
    for model, says_why in ((None, False), (GELU, True)):
        with pytest.raises(AssertionError) as failure:
            assert_traces_agree(trace, REFERENCE, model=model)
        assert ("query and key" in str(failure.value)) == says_why


def test_names_that_must_be_there_and_are_not_fail(inputs: dict[str, np.ndarray]):
    trace = record(load(GELU), inputs, ["layers.0.output"])
    assert_traces_agree(trace, GELU, names=["layers.0.output"])
    with pytest.raises(AssertionError, match=r"lacks layers\.1\.output, pooler\.output, which the test asks for"):
        assert_traces_agree(trace, GELU, names=["pooler.output", "layers.1.output", "layers.0.output"])


def test_a_trace_of_another_implementation_is_a_reference_with_its_model(inputs: dict[str, np.ndarray], tmp_path: Path):
    model = load(GELU)
    record(model, inputs).save(tmp_path / "theirs.safetensors")
    for theirs in (tmp_path / "theirs.safetensors", Trace.read(tmp_path / "theirs.safetensors")):
        assert assert_traces_agree(record(model, inputs), theirs, model=GELU).agrees
