"""Folders and files that nobody should trust, of every format: one error each, within a second and 200 MB."""

import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from crafted_tables import HEADER, block, index_of, item
from limited_child import needs_linux, outcomes

from minibert import Bert, load
from minibert.checkpoints.tensors import open_checkpoint
from minibert.errors import CheckpointError

GOLDENS = Path(__file__).parents[1] / "goldens"
TINY = GOLDENS / "tiny" / "gelu"
GOOGLE = GOLDENS / "tensor_bundles" / "google"
SHARD = "model-1.safetensors"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "flax_model.msgpack",
    "bert_model.ckpt.index",
)
OPEN_ZIP = """
from minibert.checkpoints.registry import resolve
from minibert.checkpoints.tensors import open_checkpoint

def open_file(path):
    return open_checkpoint(resolve(path))
"""


def sharded(folder: Path, index: bytes | None = None) -> Path:
    """One shard, and an index that lists it or is what is given."""
    folder.mkdir()
    safetensors.numpy.save_file({"a": np.ones(3, np.float32)}, folder / SHARD)
    (folder / "model.safetensors.index.json").write_bytes(index or json.dumps({"weight_map": {"a": SHARD}}).encode())
    return folder


def safetensors_of(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


INDICES: dict[str, tuple[bytes, str]] = {
    "a byte order mark": ('\ufeff{"weight_map": {"a": "model-1.safetensors"}}'.encode(), "byte order mark"),
    "UTF-16": ('{"weight_map": {"a": "model-1.safetensors"}}'.encode("utf-16"), "byte order mark"),
    "UTF-16 without a mark": ('{"weight_map": {"a": "model-1.safetensors"}}'.encode("utf-16-le"), "line 1, column 2"),
    "latin-1": ('{"weight_map": {"é": "model-1.safetensors"}}'.encode("latin-1"), "not UTF-8"),
    "two tables": (b'{"weight_map": {"a": "model-1.safetensors"}, "weight_map": {}}', "'weight_map' is given twice"),
    "one tensor in two spellings": (
        rb'{"weight_map": {"a": "model-1.safetensors", "\u0061": "model-1.safetensors"}}',
        "'a' is given twice",
    ),
    "a key twice beside the table": (
        b'{"metadata": {"b": {"c": 1, "c": 1}}, "weight_map": {"a": "model-1.safetensors"}}',
        "'c' is given twice",
    ),
    "lists without end": (b'{"weight_map": ' + b"[" * 2_000, "nesting deeper"),
    "a number of 5,000 digits": (b'{"metadata": ' + b"7" * 5_000 + b', "weight_map": {}}', "5,000 characters"),
    "infinity": (b'{"metadata": 1e999, "weight_map": {}}', "too large"),
    "half of a surrogate pair": (rb'{"weight_map": {"\ud800": "model-1.safetensors"}}', "surrogate pair"),
    "a list at the top": (b'[{"weight_map": {}}]', "expected an object"),
    "nothing": (b" ", "line 1"),
}


@pytest.mark.parametrize("case", INDICES)
def test_an_index_of_shards_that_is_no_sound_json_is_refused(tmp_path: Path, case: str):
    data, message = INDICES[case]
    folder = sharded(tmp_path / "folder", data)
    with pytest.raises(CheckpointError, match=message) as problem:
        open_checkpoint(folder)
    assert str(folder / "model.safetensors.index.json") in str(problem.value)


@pytest.mark.parametrize(
    "shard", ["../other.bin", "../../other.bin", "/other.bin", "C:other.bin", "..\\other.bin", SHARD, "a.msgpack", "a"]
)
def test_an_index_of_torch_s_shards_names_files_of_torch_beside_it(tmp_path: Path, shard: str):
    folder = sharded(tmp_path / "folder")
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(CheckpointError, match="expected the name of a file beside the index"):
        open_checkpoint(index)


def test_an_index_of_safetensors_does_not_name_files_of_torch(tmp_path: Path):
    folder = sharded(tmp_path / "folder", b'{"weight_map": {"a": "pytorch_model.bin"}}')
    with pytest.raises(CheckpointError, match="expected the name of a file beside the index"):
        open_checkpoint(folder)


def test_a_shard_may_be_a_link_into_the_store_of_its_repository(tmp_path: Path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.parent.mkdir(parents=True)
    sharded(snapshot)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    (snapshot / SHARD).rename(tmp_path / "models--a--b" / "blobs" / "4567")
    (snapshot / SHARD).symlink_to("../../blobs/4567")
    assert open_checkpoint(snapshot).tensors["a"].read().tolist() == [1, 1, 1]


@pytest.mark.parametrize("target", ["../other.safetensors", "{}/other.safetensors"], ids=["beside", "absolute"])
def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path, target: str):
    folder = sharded(tmp_path / "folder")
    (folder / SHARD).rename(tmp_path / "other.safetensors")
    (folder / SHARD).symlink_to(target.format(tmp_path))
    with pytest.raises(CheckpointError, match=SHARD):
        open_checkpoint(folder)


def test_tensors_of_other_names_are_an_error_before_the_model_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    values = json.loads((TINY / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"num_hidden_layers": 1_000}))
    safetensors.numpy.save_file({f"{number}": np.zeros(0, np.uint8) for number in range(1_000)}, tmp_path / "model.safetensors")
    built: list[int] = []
    monkeypatch.setattr(
        "minibert.checkpoints.blueprint.Bert",
        lambda config, **rest: built.append(config.num_hidden_layers) or Bert(config, **rest),
    )
    with pytest.raises(CheckpointError, match="17,005 tensors do not fit"):
        load(tmp_path)
    assert built == [1]


@needs_linux
def test_what_is_no_file_of_weights_is_refused_in_every_place(tmp_path: Path):
    folders = []
    for name in WEIGHTS:
        for kind in ("pipe", "zeros", "nothing", "terabyte", "folder", "itself"):
            folder = tmp_path / f"{name}-{kind}"
            folder.mkdir()
            put(kind, folder / name)
            folders.append(folder)
    for kind in ("pipe", "zeros", "nothing", "terabyte", "folder"):
        folder = sharded(tmp_path / f"shard-{kind}")
        (folder / SHARD).unlink()
        put(kind, folder / SHARD)
        folders.append(folder)
    assert outcomes(folders) == {str(folder): "refused" for folder in folders}


def put(kind: str, path: Path) -> None:
    """Something that is no file of weights."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    elif kind == "nothing":
        path.touch()
    elif kind == "terabyte":
        path.touch()
        os.truncate(path, 1 << 40)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.name)


ENTRY = {"dtype": "V8", "shape": [1], "data_offsets": [0, 1]}
LONG = "a" * 100_000
UNBOUNDED = {
    "a tensor of a long name": ("model.safetensors", safetensors_of(json.dumps({LONG: ENTRY}).encode()) + b"a"),
    "a key of a long name": ("model.safetensors", safetensors_of(b'{"%s":1,"%s":1}' % (LONG.encode(), LONG.encode()))),
    "a shard of a long name": ("model.safetensors.index.json", b'{"weight_map":{"a":"%s/"}}' % LONG.encode()),
    "a tensor of a long name in an index": (
        "model.safetensors.index.json",
        b'{"weight_map":{"%s":"model-1.safetensors"}}' % LONG.encode(),
    ),
    "a tensor of TensorFlow of a long name": ("a.index", index_of(block(item(b"", HEADER), item(LONG.encode(), b"")))),
    "a tensor of TensorFlow that clears the screen": ("a.index", index_of(block(item(b"", HEADER), item(b"\x1b[2J\n", b"")))),
}


@pytest.mark.parametrize("case", UNBOUNDED)
def test_an_error_is_one_short_line_whatever_a_file_calls_its_tensors(tmp_path: Path, case: str):
    name, data = UNBOUNDED[case]
    folder = sharded(tmp_path / "folder")
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError) as problem:
        open_checkpoint(folder / name)
    assert len(str(problem.value)) < 2_000
    assert str(problem.value).isprintable()


@needs_linux
def test_a_large_index_of_shards_takes_little_memory(tmp_path: Path):
    index = b'{"metadata": [' + b"{}," * 7_000_000 + b'{}], "weight_map": {"a": "model-1.safetensors"}}'
    folder = sharded(tmp_path / "folder", index)
    assert outcomes([folder]) == {str(folder): "refused"}


@needs_linux
def test_a_large_header_takes_little_memory(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_of(b'{"a":[' + b"{}," * 3_300_000 + b"{}]}"))
    assert outcomes([path]) == {str(path): "refused"}


@needs_linux
def test_a_tensor_of_a_terabyte_of_nothing_is_refused(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    data = safetensors_of(b'{"a":{"dtype":"F32","shape":[274877906944],"data_offsets":[0,1099511627776]}}')
    path.write_bytes(data)
    os.truncate(path, len(data) + (1 << 40))
    assert outcomes([path]) == {str(path): "refused"}


def zip_of(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def linked(name: str) -> zipfile.ZipInfo:
    """A member that is a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


@needs_linux
def test_hostile_zips_leave_nothing_and_take_little_memory_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    (tmp_path / "zips").mkdir()
    folder, sound = tmp_path / "zips", [(f"a/{path.name}", path.read_bytes()) for path in GOOGLE.iterdir()]
    for place, name in enumerate(["../vocab.txt", "/vocab.txt", "C:vocab.txt", "a/../../vocab.txt", "a\\vocab.txt"]):
        zip_of(folder / f"name-{place}.zip", *sound, (name, b"w"))
    for name in ("/etc/passwd", "../../other"):
        zip_of(folder / f"link-{len(name)}.zip", *sound, (linked("a/vocab.txt"), name.encode()))
    zip_of(folder / "bomb.zip", *sound, ("a/tokenizer.json", bytes(50_000_000)))
    zip_of(folder / "many.zip", *sound, *((f"{number}", b"") for number in range(20_000)))
    (folder / "nothing.zip").touch()
    (folder / "text.zip").write_bytes(b"<!DOCTYPE html>")
    os.mkfifo(folder / "pipe.zip")
    (folder / "zeros.zip").symlink_to("/dev/zero")
    names = sorted(map(str, folder.iterdir()))
    assert outcomes(names, opener=OPEN_ZIP) == dict.fromkeys(names, "refused")
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "zips"}
    control = zip_of(folder / "sound.zip", *sound)
    assert outcomes([control], opener=OPEN_ZIP) == {str(control): "accepted"}


@needs_linux
@pytest.mark.parametrize("case", ["a terabyte of nothing", "a directory of 300 MB"])
def test_large_zips_take_little_memory_and_time(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    path = tmp_path / "a.zip"
    size = 1 << 40 if case == "a terabyte of nothing" else 300_000_000
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, min(size, 300_000_000), 0, 0))
    assert outcomes([path], opener=OPEN_ZIP, most_seconds=2) == {str(path): "refused"}
