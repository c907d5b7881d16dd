"""The trace file: what is written is read back, what another program may leave out, and what is no trace."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minibert import Trace, TraceError, load, record
from minibert.verification import Reference
from minibert.verification.trace_file import FORMAT

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"
IDS = np.array([[1, 2, 3]], np.int32)
OUTPUT = np.zeros((1, 3, 4), np.float32)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record(load(GELU), Reference.read(GELU / "reference.safetensors").inputs)


def written(folder: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
    save_file(tensors, folder / "trace.safetensors", metadata)
    return folder / "trace.safetensors"


def test_what_is_saved_is_read_back(trace: Trace, tmp_path: Path):
    trace.save(tmp_path / "trace.safetensors")
    found = Trace.read(str(tmp_path / "trace.safetensors"))
    assert list(found) == list(trace)
    for ours, theirs in ((trace, found), (trace.inputs, found.inputs)):
        for name, values in ours.items():
            np.testing.assert_array_equal(theirs[name], values)
    assert found.metadata == trace.metadata | {"format": FORMAT}


def test_a_trace_says_what_computed_it(trace: Trace):
    assert trace.metadata["implementation"] == "minibert Bert, compiled"
    assert set(json.loads(trace.metadata["versions"])) == {"minibert", "jax", "jaxlib", "flax"}
    assert json.loads(trace.metadata["config"])["hidden_size"] == 24
    assert (trace.metadata["dtype"], trace.metadata["device"]) == ("float32", "cpu")


def test_another_program_may_leave_out_all_but_the_ids_and_one_name(tmp_path: Path):
    found = Trace.read(written(tmp_path, {"inputs.input_ids": IDS.astype(np.int64), "layers.0.output": OUTPUT}))
    assert {name: values.tolist() for name, values in found.inputs.items()} == {
        "input_ids": [[1, 2, 3]],
        "attention_mask": [[1, 1, 1]],
        "token_type_ids": [[0, 0, 0]],
        "position_ids": [[0, 1, 2]],
    }
    assert found.metadata == {}


def test_names_come_in_data_flow_order_however_they_were_stored(tmp_path: Path):
    names = ["pooler.output", "layers.10.output", "layers.9.output", "embeddings.sum", "heads.masked_lm.logits"]
    tensors = {name: np.zeros((1, 4) if name.startswith("pooler") else (1, 3, 4), np.float32) for name in names}
    found = Trace.read(written(tmp_path, {"inputs.input_ids": IDS} | tensors))
    assert list(found) == ["embeddings.sum", "layers.9.output", "layers.10.output", "pooler.output", "heads.masked_lm.logits"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"layers.0.output": OUTPUT}, r"is no trace: it holds no tensor inputs\.input_ids"),
        ({"inputs.input_ids": IDS}, "is an empty trace: it holds inputs and no intermediate"),
        ({"inputs.input_ids": IDS, "layer.0.out": OUTPUT}, r"holds layer\.0\.out, which is no intermediate's name"),
        ({"inputs.input_ids": IDS, "inputs.mask": IDS, "layers.0.output": OUTPUT}, r"holds inputs\.mask, which is no"),
        ({"inputs.input_ids": IDS[0], "layers.0.output": OUTPUT}, r"inputs\.input_ids is int32 \[3\]; expected integers"),
        ({"inputs.input_ids": IDS.astype(np.float32), "layers.0.output": OUTPUT}, r"inputs\.input_ids is float32 \[1, 3\]"),
        (
            {"inputs.input_ids": IDS, "inputs.attention_mask": IDS[:, :2], "layers.0.output": OUTPUT},
            r"attention_mask is int32 \[1, 2\]",
        ),
        ({"inputs.input_ids": IDS, "layers.0.output": OUTPUT.astype(np.int32)}, r"layers\.0\.output is int32 \[1, 3, 4\]"),
        ({"inputs.input_ids": IDS, "layers.0.output": np.zeros((2, 3, 4), np.float32)}, "with the batch of 1 text as"),
        ({"inputs.input_ids": IDS, "layers.0.output": np.zeros((1,), np.float32)}, r"layers\.0\.output is float32 \[1\]"),
    ],
)
def test_what_is_no_trace_is_an_error_that_names_the_file(tensors: dict, message: str, tmp_path: Path):
    with pytest.raises(TraceError, match=message) as error:
        Trace.read(written(tmp_path, tensors))
    assert str(tmp_path / "trace.safetensors") in str(error.value)


@pytest.mark.parametrize("content", [b"", b"text", b"\x10\0\0\0\0\0\0\0{not json at all}"])
def test_a_file_of_another_kind_is_an_error(content: bytes, tmp_path: Path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TraceError, match="not a sound safetensors file|is not valid JSON"):
        Trace.read(tmp_path / "file")


def test_a_place_that_cannot_be_written_is_an_error(trace: Trace, tmp_path: Path):
    with pytest.raises(TraceError, match="cannot be written"):
        trace.save(tmp_path / "absent" / "trace.safetensors")
