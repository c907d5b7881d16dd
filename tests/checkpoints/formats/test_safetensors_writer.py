import json
import math
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from huggingface_hub import split_state_dict_into_shards_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import Source, raises

from minibert.checkpoints.formats import safetensors_writer
from minibert.checkpoints.formats.safetensors_file import DTYPES, open_safetensors
from minibert.checkpoints.formats.safetensors_writer import write_safetensors, write_sharded_safetensors
from minibert.errors import CheckpointError

TINY = Path(__file__).parent.parent.parent / "goldens" / "tiny" / "gelu"

ARRAYS = st.builds(
    lambda dtype, shape, seed: (
        np.random.default_rng(seed)
        .integers(0, 2 if dtype == "BOOL" else 256, math.prod(shape) * DTYPES[dtype].itemsize, np.uint8)
        .view(DTYPES[dtype])
        .reshape(shape)
    ),
    st.sampled_from(sorted(DTYPES)),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.integers(0, 2**32),
)
NAMES = st.text(max_size=8).filter(lambda name: name != "__metadata__")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors")


def described(arrays: dict[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every tensor by its name, as dtype, shape and bytes."""
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def read_ours(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return described({name: tensor.read() for name, tensor in open_safetensors(path).tensors.items()})


@settings(deadline=None)
@given(arrays=st.dictionaries(NAMES, ARRAYS, max_size=6), note=st.none() | st.text())
def test_any_arrays_are_written_as_the_library_writes_them(folder: Path, arrays: dict[str, np.ndarray], note: str | None):
    metadata = {} if note is None else {"note": note}
    write_safetensors(folder / "ours", arrays, metadata)
    assert (folder / "ours").read_bytes() == safetensors.numpy.save(arrays, metadata or None)
    assert described(safetensors.numpy.load_file(folder / "ours")) == described(arrays)
    assert read_ours(folder / "ours") == described(arrays)


def test_all_metadata_is_written(tmp_path: Path):
    metadata = {"format": "pt", "ä": '☃\n\0"', "": ""}
    write_safetensors(tmp_path / "ours", {"a": np.ones(1)}, metadata)
    assert open_safetensors(tmp_path / "ours").metadata == metadata
    with safetensors.safe_open(tmp_path / "ours", framework="np") as file:
        assert file.metadata() == metadata


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_tensor_lies_at_a_multiple_of_its_width(tmp_path: Path, dtype: str):
    arrays = {
        "a": np.zeros(3, np.uint8),
        "b": np.zeros(1, np.float16),
        "c": np.zeros(3, DTYPES[dtype]),
        "d": np.ones(1, np.int32),
    }
    write_safetensors(tmp_path / "ours", arrays, {"format": "pt"})
    assert all(tensor.offset % tensor.dtype.itemsize == 0 for tensor in open_safetensors(tmp_path / "ours").tensors.values())


def test_stored_tensors_are_copied_from_file_to_file(tmp_path: Path):
    write_safetensors(tmp_path / "copy", open_safetensors(TINY / "model.safetensors").tensors, {"format": "pt"})
    assert (tmp_path / "copy").read_bytes() == (TINY / "model.safetensors").read_bytes()


def test_a_file_can_be_written_over_the_one_that_is_read(tmp_path: Path):
    shutil.copy(TINY / "model.safetensors", tmp_path / "model")
    tensors = open_safetensors(tmp_path / "model").tensors
    write_safetensors(tmp_path / "model", {f"bert.{name}": tensor for name, tensor in tensors.items()}, {})
    assert read_ours(tmp_path / "model") == {f"bert.{k}": value for k, value in read_ours(TINY / "model.safetensors").items()}


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.arange(12, dtype=np.float32).reshape(4, 3)[::2],
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.broadcast_to(np.float32(1), (2, 3)),
    ],
    ids=["transposed", "every second row", "big-endian", "broadcast"],
)
def test_values_in_any_memory_order_are_written(tmp_path: Path, values: np.ndarray):
    write_safetensors(tmp_path / "ours", {"a": values}, {})
    np.testing.assert_array_equal(safetensors.numpy.load_file(tmp_path / "ours")["a"], values)


SIX_SIZES = {name: np.full(size, size, np.uint8) for name, size in zip("abcdef", (6, 6, 2, 6, 2, 2), strict=True)}


def test_shards_are_filled_in_the_given_order(tmp_path: Path):
    files = write_sharded_safetensors(tmp_path, SIX_SIZES, {"format": "pt"}, 10)
    assert [path.name for path in files] == [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]
    assert [list(open_safetensors(path).tensors) for path in files[:3]] == [["a"], ["b", "c"], ["d", "e", "f"]]
    assert all(open_safetensors(path).metadata == {"format": "pt"} for path in files[:3])
    assert sorted(tmp_path.iterdir()) == files


def test_the_index_says_where_each_tensor_is(tmp_path: Path):
    write_sharded_safetensors(tmp_path, {"b": np.ones(2), "a": np.zeros((0, 3)), "c": np.ones(1)}, {}, 16)
    assert (tmp_path / "model.safetensors.index.json").read_text() == (
        """{
  "metadata": {
    "total_size": 24
  },
  "weight_map": {
    "a": "model-00001-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors",
    "c": "model-00002-of-00002.safetensors"
  }
}
"""
    )


@pytest.mark.parametrize("max_shard_bytes", [24, 25, 10**12])
def test_what_fits_into_one_file_is_one_file(tmp_path: Path, max_shard_bytes: int):
    assert write_sharded_safetensors(tmp_path, SIX_SIZES, {}, max_shard_bytes) == [tmp_path / "model.safetensors"]
    assert read_ours(tmp_path / "model.safetensors") == described(SIX_SIZES)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.safetensors"]


def test_no_tensors_are_one_file(tmp_path: Path):
    assert write_sharded_safetensors(tmp_path, {}, {}, 10) == [tmp_path / "model.safetensors"]
    assert safetensors.numpy.load_file(tmp_path / "model.safetensors") == {}


@settings(deadline=None, max_examples=50)
@given(arrays=st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=8), max_shard_bytes=st.integers(0, 200))
def test_any_arrays_are_divided_as_huggingface_hub_divides_them(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray], max_shard_bytes: int
):
    folder = tmp_path_factory.mktemp("shards")
    files = write_sharded_safetensors(folder, arrays, {}, max_shard_bytes)
    theirs = split_state_dict_into_shards_factory(
        arrays,
        get_storage_size=lambda array: array.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=max_shard_bytes,
    )
    shards = [path for path in files if path.suffix == ".safetensors"]
    assert {path.name: set(open_safetensors(path).tensors) for path in shards} == {
        name: set(tensors) for name, tensors in theirs.filename_to_tensors.items()
    }
    if theirs.is_sharded:
        index = {"metadata": theirs.metadata, "weight_map": theirs.tensor_to_filename}
        assert files[-1].read_text() == json.dumps(index, indent=2, sort_keys=True) + "\n"
    read = {name: values for path in shards for name, values in read_ours(path).items()}
    assert read == described(arrays)


@pytest.mark.parametrize("max_shard_bytes", [10_000_000, 10**9])
def test_one_tensor_at_a_time_is_in_memory(tmp_path: Path, max_shard_bytes: int):
    sources = {f"{index}": Source(lambda: np.ones(1_000_000, np.float32), (1_000_000,)) for index in range(8)}
    tracemalloc.start()
    write_sharded_safetensors(tmp_path, sources, {}, max_shard_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9_000_000


@pytest.mark.parametrize("max_shard_bytes", [8, 10**9], ids=["sharded", "one file"])
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source(raises(CheckpointError("its checksum")), (2,)), "its checksum"),
        (Source(raises(FileNotFoundError(2, "No such file")), (2,)), "'b' cannot be read: No such file"),
        (Source(lambda: np.ones(3, np.float32), (2,)), r"was said to be float32 \[2\], but reads as float32 \[3\]"),
        (Source(lambda: np.ones(2, np.float64), (2,)), r"was said to be float32 \[2\], but reads as float64 \[2\]"),
    ],
    ids=["damaged", "gone", "another shape", "another dtype"],
)
def test_a_tensor_that_cannot_be_read_leaves_every_old_file(tmp_path: Path, source: Source, words: str, max_shard_bytes: int):
    arrays = {name: np.full(2, ord(name), np.float32) for name in "abc"}
    write_sharded_safetensors(tmp_path, arrays, {}, max_shard_bytes)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=words):
        write_sharded_safetensors(tmp_path, {"a": np.ones(2, np.float32), "b": source, "c": arrays["c"]}, {}, max_shard_bytes)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("first", "second"), [(10, 100), (100, 10)], ids=["shards are there", "one file is there"])
def test_weights_divided_the_other_way_are_an_error(tmp_path: Path, first: int, second: int):
    write_sharded_safetensors(tmp_path, SIX_SIZES, {}, first)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="is there and could be read in place of the new weights; remove it"):
        write_sharded_safetensors(tmp_path, SIX_SIZES, {}, second)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("dtype", ["complex64", "object", "M8[s]", "V8", "f4,f4", "U3", "longdouble", ml_dtypes.float8_e4m3fn])
def test_dtypes_outside_the_table_are_an_error(tmp_path: Path, dtype: Any):
    with pytest.raises(CheckpointError, match=r"ours cannot hold tensor 'a' of dtype .*; cast it to one of float64"):
        write_safetensors(tmp_path / "ours", {"a": np.zeros(1, dtype)}, {})
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_metadata_is_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="'__metadata__'"):
        write_safetensors(tmp_path / "ours", {"__metadata__": np.ones(1)}, {})


def test_more_than_32_axes_are_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="33 axes"):
        write_safetensors(tmp_path / "ours", {"a": np.ones((1,) * 33)}, {})


def test_half_a_surrogate_pair_is_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="surrogate pair"):
        write_safetensors(tmp_path / "ours", {"\ud800": np.ones(1)}, {})


def test_a_header_that_would_not_be_read_again_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(safetensors_writer, "MAX_HEADER_BYTES", 64)
    with pytest.raises(CheckpointError, match="a header of 80 bytes; minibert reads 64 at most"):
        write_safetensors(tmp_path / "ours", {"a" * 20: np.ones(1)}, {})


def test_more_shards_than_their_names_count_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(safetensors_writer, "MAX_SHARDS", 2)
    with pytest.raises(CheckpointError, match="would hold 3 shards, of 2 at most; allow more bytes for each"):
        write_sharded_safetensors(tmp_path, SIX_SIZES, {}, 10)


def test_a_folder_that_is_absent_is_an_error(tmp_path: Path):
    for max_shard_bytes in (10, 100):
        with pytest.raises(CheckpointError, match="cannot be written"):
            write_sharded_safetensors(tmp_path / "absent", SIX_SIZES, {}, max_shard_bytes)


@pytest.mark.reference
def test_transformers_opens_the_shards(tmp_path: Path):
    import transformers

    shutil.copy(TINY / "config.json", tmp_path)
    tensors = open_safetensors(TINY / "model.safetensors").tensors
    files = write_sharded_safetensors(tmp_path, tensors, {"format": "pt"}, 10_000)
    assert len(files) > 3
    model, report = transformers.BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    assert described(state) == read_ours(TINY / "model.safetensors")


@pytest.mark.reference
def test_torch_reads_bfloat16(tmp_path: Path):
    import safetensors.torch
    import torch

    values = np.arange(6).astype(ml_dtypes.bfloat16).reshape(2, 3)
    write_safetensors(tmp_path / "ours", {"a": values}, {"format": "pt"})
    assert torch.equal(safetensors.torch.load_file(tmp_path / "ours")["a"], torch.arange(6, dtype=torch.bfloat16).reshape(2, 3))
