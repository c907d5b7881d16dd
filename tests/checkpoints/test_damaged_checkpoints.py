"""Whole checkpoints of every format, cut short at every hundredth of each file, and indices with each byte changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from damage import cut_at_each_hundredth, flipped

from minibert.checkpoints.tensors import open_checkpoint
from minibert.errors import CheckpointError

GOLDENS = Path(__file__).parents[1] / "goldens"
SAVED = GOLDENS / "transformers_folders"

# A folder with a BERT in it, and the name of each of its files of weights.
FILES = [
    (SAVED / "model", "model.safetensors"),
    (SAVED / "sharded", "model-00001-of-00002.safetensors"),
    (SAVED / "sharded", "model.safetensors.index.json"),
    (SAVED / "torch_zip", "pytorch_model.bin"),
    (SAVED / "torch_stream", "pytorch_model.bin"),
    (SAVED / "torch_shards", "pytorch_model-00001-of-00003.bin"),
    (SAVED / "torch_shards", "pytorch_model.bin.index.json"),
    (GOLDENS / "flax_files", "bert.msgpack"),
    (GOLDENS / "tensor_bundles" / "google", "bert_model.ckpt.index"),
    (GOLDENS / "tensor_bundles" / "google", "bert_model.ckpt.data-00000-of-00001"),
]


def opened(folder: Path, name: str) -> Path:
    """What is opened of a folder: all of it, or the one file of several."""
    return folder / name if name.endswith(".msgpack") else folder


def outcome(path: Path) -> dict[str, bytes] | str:
    """Every tensor by its name, or the one error; any other error fails the test."""
    try:
        return {name: tensor.read().tobytes() for name, tensor in open_checkpoint(path).tensors.items()}
    except CheckpointError as problem:
        return str(problem)


@pytest.mark.parametrize(("source", "name"), FILES, ids=lambda part: part if isinstance(part, str) else part.name)
def test_a_file_cut_at_any_hundredth_is_an_error_that_names_it(tmp_path: Path, source: Path, name: str):
    folder = Path(shutil.copytree(source, tmp_path / "folder"))
    path = opened(folder, name)
    assert isinstance(outcome(path), dict)
    for number, data in enumerate(cut_at_each_hundredth((source / name).read_bytes())):
        (folder / name).write_bytes(data)
        found = outcome(path)
        assert isinstance(found, str), f"at {number} % it was read"
        assert str(folder) in found
        assert name in found


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_with_any_byte_of_an_index_of_shards_changed_it_is_refused_or_the_same(tmp_path: Path, suffix: str):
    if suffix == "bin":
        shutil.copy(GOLDENS / "torch_files" / "small_zip.bin", tmp_path / "1.bin")
        shutil.copy(GOLDENS / "torch_files" / "small_stream.bin", tmp_path / "2.bin")  # not of this checkpoint
        weight_map = '{"a": "1.bin", "b": "1.bin"}'
    else:
        safetensors.numpy.save_file({"a": np.arange(3)}, tmp_path / "1.safetensors")
        safetensors.numpy.save_file({"b": np.arange(4), "c": np.arange(5)}, tmp_path / "2.safetensors")
        weight_map = '{"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"}'
    index = tmp_path / f"weights.{suffix}.index.json"
    data = f'{{"metadata": {{"total_size": 96}}, "weight_map": {weight_map}}}'.encode()
    index.write_bytes(data)
    whole = outcome(index)
    assert isinstance(whole, dict)
    wrong = {}
    for place in range(len(data)):
        index.write_bytes(flipped(data, place, 1 << place % 8))
        found = outcome(index)
        if isinstance(found, dict) and found != whole:
            wrong[place] = found
    assert wrong == {}


OPENED_BEFORE = [
    (SAVED / "torch_zip", "pytorch_model.bin"),
    (SAVED / "model", "model.safetensors"),
    (SAVED / "torch_stream", "pytorch_model.bin"),
    (GOLDENS / "flax_files", "bert.msgpack"),
    (GOLDENS / "tensor_bundles" / "google", "bert_model.ckpt.data-00000-of-00001"),
]


@pytest.mark.parametrize("change", ["cut", "removed"])
@pytest.mark.parametrize(("source", "name"), OPENED_BEFORE, ids=lambda part: part if isinstance(part, str) else part.name)
def test_a_file_cut_or_removed_after_it_was_opened_is_an_error(tmp_path: Path, source: Path, name: str, change: str):
    folder = Path(shutil.copytree(source, tmp_path / "folder"))
    tensors = open_checkpoint(opened(folder, name)).tensors
    if change == "cut":
        (folder / name).write_bytes((source / name).read_bytes()[:1_000])
    else:
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        for tensor in tensors.values():
            tensor.read()
