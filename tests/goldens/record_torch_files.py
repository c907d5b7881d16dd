"""Records tests/goldens/torch_files: files of torch.save in both formats, and files of PyTorch that hold something else.

    python tests/goldens/record_torch_files.py

Needs the extra `reference`; the tests that read the files do not: `state_arrays` gives what was written.
"""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from unittest import mock

import ml_dtypes
import numpy as np

FOLDER = Path(__file__).parent / "torch_files"
DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint8": np.uint8,
    "bool": np.bool_,
}


def array(name: str, dtype: str, *shape: int) -> np.ndarray:
    """An array of any bits, the same for the same name, with any version of NumPy."""
    values = np.empty(shape, DTYPES[dtype])
    raw = np.frombuffer(hashlib.shake_128(name.encode()).digest(values.nbytes), np.uint8)
    values.reshape(-1).view(np.uint8)[:] = raw & 1 if dtype == "bool" else raw
    return values


def state_arrays() -> dict[str, np.ndarray]:
    """What the state dict in the files holds. Views of one array are views of one storage there."""
    table = array("table", "float32", 6, 4)
    return {f"dtypes.{dtype}": array(dtype, dtype, 3, 5) for dtype in DTYPES} | {
        "embeddings.weight": table,
        "decoder.weight": table,
        "table.transposed": table.T,
        "table.part": table[1:5:2, ::3],
        "table.row": table[4],
        "table.repeated": np.broadcast_to(table[2, :1], (2, 3, 4)),
        "table.nothing": table[6:, 2:],
        "permuted": array("permuted", "int16", 2, 3, 4).transpose(1, 2, 0),
        "parameter": array("parameter", "float32", 5),
        "empty": array("empty", "float32", 0, 3),
        "scalar": array("scalar", "int64"),
        "ein Gewicht – größer": array("name", "bool", 7),
    }


def small_arrays() -> dict[str, np.ndarray]:
    """What the small files hold, of which every byte is damaged in turn."""
    return {"a": array("a", "float16", 3, 2).T, "b": array("b", "bool", 2)}


def main() -> None:
    """Writes every file anew."""
    import torch

    def tensor(values: np.ndarray) -> torch.Tensor:
        written = torch.empty(values.shape, dtype=getattr(torch, values.dtype.name))
        if values.size:
            written.reshape(-1).view(torch.uint8).numpy()[:] = values.reshape(-1).view(np.uint8)
        return written

    table = tensor(array("table", "float32", 6, 4))
    views = {
        "embeddings.weight": table,
        "decoder.weight": table,
        "table.transposed": table.t(),
        "table.part": table[1:5:2, ::3],
        "table.row": table[4],
        "table.repeated": table[2, :1].expand(2, 3, 4),
        "table.nothing": table[6:, 2:],
        "permuted": tensor(array("permuted", "int16", 2, 3, 4)).permute(1, 2, 0),
        "parameter": torch.nn.Parameter(tensor(array("parameter", "float32", 5))),
    }
    state = OrderedDict((name, views[name] if name in views else tensor(values)) for name, values in state_arrays().items())
    state._metadata = OrderedDict({"": {"version": 1}, "embeddings": {"version": 1}})
    FOLDER.mkdir(exist_ok=True)
    os.chdir(FOLDER)
    torch.save(state, "zip.bin")
    torch.save(state, "stream.bin", _use_new_zipfile_serialization=False)
    torch.save(dict(state), "zip_dict.bin", _disable_byteorder_record=True)
    torch.save(dict(state), "stream_dict.bin", _use_new_zipfile_serialization=False)
    # What a file says that was saved from a GPU; the writer asks this function for the place of each storage.
    with mock.patch("torch.serialization.location_tag", return_value="cuda:0"):
        torch.save(state, "zip_cuda.bin")
        torch.save(state, "stream_cuda.bin", _use_new_zipfile_serialization=False)
    small = {"a": tensor(array("a", "float16", 3, 2)).t(), "b": tensor(array("b", "bool", 2))}
    torch.save(small, "small_zip.bin")
    torch.save(small, "small_stream.bin", _use_new_zipfile_serialization=False)
    layer = torch.nn.Linear(2, 3)
    torch.jit.save(torch.jit.script(layer), "other_torchscript.bin")
    torch.save(layer, "other_module.bin")
    torch.save({"epoch": 3, "state_dict": layer.state_dict()}, "other_nested.bin")
    torch.save(layer.weight, "other_tensor.bin")
    torch.save({"a": torch.ones(2), "note": "text"}, "other_note.bin")
    torch.save({"a": torch.ones(2)}, "other_protocol.bin", pickle_protocol=4)
    torch.save({"a": torch.ones(2, dtype=torch.uint16)}, "other_uint16.bin")
    torch.save({"a": torch.ones(2, 2).to_sparse()}, "other_sparse.bin")
    torch.save({"a": torch.ones(2, dtype=torch.complex64)}, "other_complex.bin")
    torch.save({"a": torch._neg_view(torch.ones(2))}, "other_negative.bin")


if __name__ == "__main__":
    main()
