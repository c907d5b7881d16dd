"""The assertion that users import into their own tests."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from minibert import Trace, load, record
from minibert.errors import FetchError, TraceError
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


def test_a_trace_may_be_given_as_its_file(inputs: dict[str, np.ndarray], tmp_path: Path):
    path = tmp_path / "mine.safetensors"
    record(plant(load(GELU), "query_key_swapped", layer=1), inputs).save(path)
    for trace in (path, str(path)):
        with pytest.raises(AssertionError, match="query and key in each other's place"):
            assert_traces_agree(trace, GELU)


@pytest.mark.parametrize(
    ("trace", "found"),
    [
        (GELU, "gelu' is a folder; expected a Trace, a mapping of names to arrays, or the path of a trace file"),
        ("minilm-l6", "the trace 'minilm-l6' does not exist; expected a Trace"),
        ("no/such.safetensors", "the trace 'no/such.safetensors' does not exist; expected a Trace"),
        ("", "the trace '' does not exist; expected a Trace"),
        (REFERENCE, "reference.safetensors is no trace: it holds no tensor inputs.input_ids"),
        (GELU / "config.json", "config.json is not a sound safetensors file"),
        (None, "the trace is a NoneType; expected a Trace"),
        (Reference.read(REFERENCE), "the trace is a Reference; expected a Trace"),
    ],
    ids=["folder", "name", "absent", "empty", "reference file", "other file", "None", "Reference"],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_no_trace_is_named_with_what_is_expected(trace: object, found: str, inputs: dict[str, np.ndarray]):
    for reference in (GELU, record(load(GELU), inputs)):
        with pytest.raises(TraceError, match=re.escape(found)):
            assert_traces_agree(trace, reference)


@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_no_reference_is_named(inputs: dict[str, np.ndarray]):
    trace = record(load(GELU), inputs)
    with pytest.raises(TraceError, match="the reference is a dict; expected a model"):
        assert_traces_agree(trace, dict(trace))


def test_names_that_are_one_string_are_refused(inputs: dict[str, np.ndarray]):
    trace = record(load(GELU), inputs)
    with pytest.raises(TraceError, match=r"^names is the string 'layers\.1\.output'; expected a list of names, names=\["):
        assert_traces_agree(trace, GELU, names="layers.1.output")


def test_the_fetched_checkpoint_that_a_reference_names_gives_the_reason(
    inputs: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sha256 = Reference.read(REFERENCE).metadata["checkpoint_sha256"]
    for place in ("compare", "testing"):
        # By its module: minibert.verification.compare is the function of that name, too.
        monkeypatch.setattr(import_module(f"minibert.verification.{place}"), "find_weights", {sha256: GELU}.get)
    theirs = record(load(GELU), inputs)
    theirs.metadata["checkpoint_sha256"] = sha256
    theirs.save(tmp_path / "theirs.safetensors")
    trace = record(plant(load(GELU), "query_key_swapped", layer=1), inputs)
    for reference in (Reference.read(REFERENCE), REFERENCE, theirs, tmp_path / "theirs.safetensors"):
        with pytest.raises(AssertionError, match="query and key in each other's place"):
            assert_traces_agree(trace, reference)


def test_a_checkpoint_that_is_no_longer_the_one_named_gives_no_reason(
    inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    trace = record(plant(load(GELU), "query_key_swapped", layer=1), inputs)

    def broken(sha256: str) -> Path:
        raise FetchError("registry.toml is broken")

    for find in (lambda sha256: GELU.parent / "relu", lambda sha256: GELU.parent, broken):
        monkeypatch.setattr("minibert.verification.testing.find_weights", find)
        with pytest.raises(AssertionError, match=r"parts first at layers\.1\.attention\.query") as failure:
            assert_traces_agree(trace, Reference.read(REFERENCE))
        assert "likely reason" not in str(failure.value)
