import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from minibert.checkpoints.tensors import open_checkpoint
from minibert.errors import CheckpointError

ONES, TWOS, THREES = (np.full(3, value, np.float32) for value in (1, 2, 3))
WEIGHT_MAP = {"one": "model-1.safetensors", "two": "model-1.safetensors", "three": "model-2.safetensors"}


def write(folder: Path, weight_map: Any) -> Path:
    """Two shards, as WEIGHT_MAP says, beside an index that says what it is given."""
    folder.mkdir(exist_ok=True)
    save_file({"one": ONES, "two": TWOS}, folder / "model-1.safetensors")
    save_file({"three": THREES}, folder / "model-2.safetensors")
    index = {"metadata": {"total_size": 36}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_one_file_is_opened(tmp_path: Path):
    save_file({"one": ONES}, tmp_path / "model.safetensors")
    stored = open_checkpoint(tmp_path)
    assert (stored.format, stored.files) == ("safetensors", [tmp_path / "model.safetensors"])
    assert stored.tensors["one"].read().tolist() == [1, 1, 1]


def test_shards_are_opened_as_one_checkpoint(tmp_path: Path):
    stored = open_checkpoint(write(tmp_path, WEIGHT_MAP))
    assert stored.format == "safetensors, sharded"
    assert stored.files == [tmp_path / "model-1.safetensors", tmp_path / "model-2.safetensors"]
    found = {name: tensor.read().tolist() for name, tensor in stored.tensors.items()}
    assert found == {"one": [1, 1, 1], "two": [2, 2, 2], "three": [3, 3, 3]}


def test_of_one_file_and_an_index_the_one_file_counts(tmp_path: Path):
    write(tmp_path, WEIGHT_MAP)
    save_file({"four": ONES}, tmp_path / "model.safetensors")
    assert list(open_checkpoint(tmp_path).tensors) == ["four"]


@pytest.mark.parametrize(
    "shard",
    [
        "../../model-2.safetensors",
        "../model-2.safetensors",
        "./model-2.safetensors",
        "deeper/model-2.safetensors",
        "/model-2.safetensors",
        "model-2.safetensors/",
        "..\\model-2.safetensors",
        "deeper\\model-2.safetensors",
        "C:\\model-2.safetensors",
        "C:model-2.safetensors",
        "\\\\server\\share\\model-2.safetensors",
        "..",
        ".",
        "",
        None,
        2,
        ["model-2.safetensors"],
    ],
)
def test_a_shard_that_is_no_name_of_a_file_beside_the_index_is_refused(tmp_path: Path, shard: Any):
    write(tmp_path, WEIGHT_MAP)
    (tmp_path / "inner" / "deeper").mkdir(parents=True)
    folder = write(tmp_path / "inner" / "deeper", WEIGHT_MAP | {"three": shard})
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert str(folder / "model.safetensors.index.json") in str(caught.value)
    assert f"puts tensor 'three' into {shard!r}; expected the name of a file beside the index" in str(caught.value)


def test_an_absolute_path_is_refused_even_into_the_folder_itself(tmp_path: Path):
    with pytest.raises(CheckpointError, match="expected the name of a file beside the index"):
        open_checkpoint(write(tmp_path, WEIGHT_MAP | {"three": str(tmp_path / "model-2.safetensors")}))


@pytest.mark.parametrize("shard", ["model-3.safetensors", "model\0.safetensors", "m" * 5_000 + ".safetensors"])
def test_a_shard_that_is_not_there_is_refused(tmp_path: Path, shard: str):
    with pytest.raises(CheckpointError, match="does not exist|cannot be read"):
        open_checkpoint(write(tmp_path, WEIGHT_MAP | {"three": shard}))


def test_a_shard_cut_short_is_refused_by_name(tmp_path: Path):
    folder = write(tmp_path, WEIGHT_MAP)
    os.truncate(folder / "model-2.safetensors", (folder / "model-2.safetensors").stat().st_size - 1)
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors is not a sound safetensors file: it is cut short"):
        open_checkpoint(folder)


def test_a_tensor_listed_in_the_wrong_shard_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"puts tensor 'two' into model-2\.safetensors, which does not hold it"):
        open_checkpoint(write(tmp_path, WEIGHT_MAP | {"two": "model-2.safetensors"}))


def test_a_tensor_that_no_shard_holds_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"puts tensor 'four' into model-1\.safetensors, which does not hold it"):
        open_checkpoint(write(tmp_path, WEIGHT_MAP | {"four": "model-1.safetensors"}))


def test_a_tensor_that_the_index_does_not_list_is_refused(tmp_path: Path):
    listed = {name: shard for name, shard in WEIGHT_MAP.items() if name != "two"}
    with pytest.raises(CheckpointError, match=r"model-1\.safetensors holds two, which .*index\.json does not put there"):
        open_checkpoint(write(tmp_path, listed))


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path):
    folder = write(tmp_path, WEIGHT_MAP)
    save_file({"three": THREES, "one": TWOS}, folder / "model-2.safetensors")
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors holds one, which"):
        open_checkpoint(folder)


@pytest.mark.parametrize("weight_map", [{}, [], None, "model-1.safetensors"])
def test_an_index_without_a_weight_map_is_refused(tmp_path: Path, weight_map: Any):
    with pytest.raises(CheckpointError, match=r"index\.json has no weight_map"):
        open_checkpoint(write(tmp_path, weight_map))


def test_an_index_that_lists_a_tensor_twice_is_refused(tmp_path: Path):
    folder = write(tmp_path, WEIGHT_MAP)
    shards = '"one":"model-1.safetensors","one":"model-2.safetensors"'
    (folder / "model.safetensors.index.json").write_text('{"weight_map":{' + shards + "}}")
    with pytest.raises(CheckpointError, match="'one' is given twice"):
        open_checkpoint(folder)


def test_an_index_that_is_a_pipe_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "model.safetensors.index.json")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["model.fp16.safetensors", "model.onnx", "tf_model.h5"])
def test_weights_of_another_format_are_named(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=f"it holds {name}, a format that this version does not read"):
        open_checkpoint(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no weights that are read, model\.safetensors, .*: it holds no weights"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(("name", "found"), [("missing", "does not exist"), ("file", "has no suffix of a file of weights")])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str, found: str):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=f"{name} {found}"):
        open_checkpoint(tmp_path / name)
