"""Reading stored references, and refusing what is none."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert import TraceError, compare
from minibert.verification import Reference, stored_references

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"


def test_a_reference_holds_inputs_truth_and_floors():
    reference = Reference.read(GELU / "reference.safetensors")
    assert {values.shape for values in reference.inputs.values()} == {(4, 6)}
    assert set(reference.truth) == set(reference.float32) == set(reference.floor)
    assert {values.dtype for values in reference.truth.values()} == {np.dtype(np.float64)}
    assert all(floor.shape == (4,) and (floor >= 0.0).all() for floor in reference.floor.values())
    assert reference.positions is None


def test_the_truth_lies_within_the_floor_of_the_float32():
    reference = Reference.read(GELU / "reference.safetensors")
    for name, truth in reference.truth.items():
        if name.startswith("pooler."):
            assert np.abs(truth - reference.float32[name]).max() <= reference.floor[name].max(), name


def test_a_reference_says_who_computed_it_and_from_what():
    reference = next(reference for reference in stored_references("minilm-l6") if reference.path.stem == "pair")
    assert reference.texts == [["hello", "world"]]
    assert set(reference.metadata) == {"implementation", "versions", "checkpoint_sha256", "texts"}


def test_a_name_without_references_is_refused():
    with pytest.raises(TraceError, match="no stored references for 'nothing'"):
        stored_references("nothing")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(TraceError, match="does not exist"):
        Reference.read(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("content", [b"", b"text", b"\x10\0\0\0\0\0\0\0{not json at all}"])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "reference.safetensors"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"reference\.safetensors"):
        Reference.read(path)


@pytest.mark.parametrize("kept", [4, 1000, -1])
def test_a_reference_cut_short_is_refused(tmp_path: Path, kept: int):
    path = tmp_path / "reference.safetensors"
    path.write_bytes((GELU / "reference.safetensors").read_bytes()[:kept])
    with pytest.raises(TraceError, match=r"reference\.safetensors"):
        compare({}, path)


def test_weights_are_no_reference():
    with pytest.raises(TraceError, match="is no stored reference: it lacks input_ids"):
        Reference.read(GELU / "model.safetensors")


def test_inputs_alone_are_no_reference(tmp_path: Path):
    ones = np.ones((1, 2), np.int32)
    save_file({"input_ids": ones, "attention_mask": ones, "token_type_ids": ones}, tmp_path / "inputs.safetensors")
    with pytest.raises(TraceError, match="records no intermediate"):
        Reference.read(tmp_path / "inputs.safetensors")


@pytest.mark.parametrize("part", ["correction", "floor"])
def test_what_a_reference_lacks_is_named(tmp_path: Path, part: str):
    tensors = load_file(GELU / "reference.safetensors")
    del tensors[f"{part}.layers.1.output"]
    save_file(tensors, tmp_path / "reference.safetensors")
    with pytest.raises(TraceError, match=rf"it lacks {part}\.layers\.1\.output"):
        Reference.read(tmp_path / "reference.safetensors")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("correction.layers.0.output", np.zeros((4, 6, 3), np.float32)),
        ("floor.layers.0.output", np.zeros(2)),
        ("token_type_ids", np.zeros((4, 5), np.int32)),
        ("attention_mask", np.zeros((4, 6), np.int32)),
    ],
)
def test_arrays_that_do_not_fit_one_another_are_refused(tmp_path: Path, name: str, array: np.ndarray):
    tensors = load_file(GELU / "reference.safetensors") | {name: array}
    save_file(tensors, tmp_path / "damaged.safetensors")
    with pytest.raises(TraceError, match="is no stored reference"):
        Reference.read(tmp_path / "damaged.safetensors")
