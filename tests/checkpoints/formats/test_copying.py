"""Copies of tensors: equal to what they are views of, free of the file, verified on the way."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from minibert.checkpoints.formats import file_checksum
from minibert.checkpoints.formats.copying import copied
from minibert.checkpoints.formats.tensor_bundle import open_tensor_bundle, write_tensor_bundle
from minibert.checkpoints.tensors import open_checkpoint
from minibert.errors import CheckpointError

GOLDENS = Path(__file__).parents[2] / "goldens"
FILES = [
    *sorted((GOLDENS / "flax_files").glob("*.msgpack")),
    *sorted((GOLDENS / "torch_files").glob("z*.bin")),
    *sorted((GOLDENS / "torch_files").glob("s*.bin")),
    *sorted(path.with_suffix("") for path in (GOLDENS / "tensor_bundles").glob("*.index")),
    GOLDENS / "tiny" / "gelu" / "model.safetensors",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_copies_are_the_tensors_of_every_format(path: Path):
    tensors = open_checkpoint(path).tensors
    arrays = copied(tensors)
    assert list(arrays) == list(tensors)
    for name, tensor in tensors.items():
        assert (arrays[name].dtype, arrays[name].shape) == (tensor.dtype, tensor.shape)
        assert arrays[name].tobytes() == tensor.read().tobytes()
        assert arrays[name].flags.writeable
        assert arrays[name].ctypes.data % 64 == 0 or arrays[name].size == 0


def test_a_copy_outlives_the_file(tmp_path: Path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    save_file({"a": values}, tmp_path / "a.safetensors")
    arrays = copied(open_checkpoint(tmp_path / "a.safetensors").tensors)
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.write(bytes(200))
    np.testing.assert_array_equal(arrays["a"], values)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_copy_may_have_another_dtype(tmp_path: Path, dtype: type):
    values = np.linspace(-3, 3, 12).reshape(3, 4)
    save_file({"a": values}, tmp_path / "a.safetensors")
    array = copied(open_checkpoint(tmp_path / "a.safetensors").tensors, np.dtype(dtype))["a"]
    assert array.tobytes() == values.astype(dtype).tobytes()


def test_values_beyond_the_range_of_the_dtype_are_an_error(tmp_path: Path):
    save_file({"a": np.full(3, 70_000, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"a\.safetensors: a has values too large for param_dtype float16"):
        copied(open_checkpoint(tmp_path / "a.safetensors").tensors, np.dtype(np.float16))


@pytest.mark.parametrize("size", [100, 3_000, 40_000])
def test_a_flipped_byte_is_found_while_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int):
    monkeypatch.setattr(file_checksum, "WINDOW_BYTES", 10_000)
    write_tensor_bundle(tmp_path / "a.ckpt", {"a": np.arange(size, dtype=np.float32), "b": np.zeros(5, np.float32)})
    data = tmp_path / "a.ckpt.data-00000-of-00001"
    for place in (0, 4 * size // 2, 4 * size - 1):
        content = bytearray(data.read_bytes())
        content[place] ^= 1
        (tmp_path / "b.ckpt.index").write_bytes((tmp_path / "a.ckpt.index").read_bytes())
        (tmp_path / "b.ckpt.data-00000-of-00001").write_bytes(content)
        with pytest.raises(CheckpointError, match="the checksum of tensor a does not hold"):
            copied(open_tensor_bundle(tmp_path / "b.ckpt").tensors)


def test_a_file_cut_since_it_was_opened_is_an_error(tmp_path: Path):
    save_file({"a": np.ones(10_000, np.float32)}, tmp_path / "a.safetensors")
    tensors = open_checkpoint(tmp_path / "a.safetensors").tensors
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.truncate(1_000)
    with pytest.raises(CheckpointError, match=r"a\.safetensors cannot be read: it ends at byte 1,000"):
        copied(tensors)
