import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from damage import flipped
from hypothesis import given, settings
from hypothesis import strategies as st
from limited_child import needs_linux, outcomes

from minibert.checkpoints.formats.safetensors_file import MAX_HEADER_BYTES, open_safetensors
from minibert.errors import CheckpointError, TraceError

DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint16": np.uint16,
    "uint8": np.uint8,
    "bool": np.bool_,
}
# Where our reader is stricter than the library on purpose: a key given twice has two meanings; an entry that is a list,
# or has further keys, is what no writer writes; an empty array of such a shape is refused by NumPy itself.
STRICTER = (
    "is given twice",
    "is not exactly dtype, shape and data_offsets",
    "__metadata__ is not a table of strings",
    "which no memory holds",
)


def file_of(header: Any, body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def entry(dtype: Any = "F32", shape: Any = (1,), data_offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets, **more}


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "seven bytes": b"\1\0\0\0\0\0\0",
    "a length alone": struct.pack("<Q", 2),
    "a header of 0 bytes": struct.pack("<Q", 0) + b"{}",
    "a header over 100 MB": struct.pack("<Q", 100_000_001) + b"{}",
    "a header of 2^64 - 1 bytes": b"\xff" * 8 + b"{}",
    "a header past the end": struct.pack("<Q", 3) + b"{}",
    "a page of HTML": b"<!DOCTYPE html><html><head><title>404</title></head></html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a header in UTF-16": file_of('{"a":1}'.encode("utf-16")),
    "a header in UTF-16 without a mark": file_of("{}".encode("utf-16-le")),
    "a byte order mark": file_of(b"\xef\xbb\xbf{}"),
    "a header in latin-1": file_of('{"é":1}'.encode("latin-1")),
    "a header that begins with a space": file_of(b" {}"),
    "a header that ends with a NUL": file_of(b"{}\0"),
    "a list as header": file_of(b"[]"),
    "deep nesting": file_of(b'{"a":' + b"[" * 2_000),
    "a number of 5,000 digits": file_of(b'{"a":' + b"7" * 5_000 + b"}"),
    "a tensor given twice": file_of(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
        b"a",
    ),
    "a tensor given twice, two spellings": file_of(
        rb'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"a",
    ),
    "a shape given twice": file_of(b'{"a":{"dtype":"U8","shape":[1],"shape":[2],"data_offsets":[0,1]}}', b"a"),
    "the metadata given twice": file_of(b'{"__metadata__":{},"__metadata__":{}}'),
    "overlapping tensors": file_of({"a": entry(), "b": entry(data_offsets=(2, 6))}, bytes(6)),
    "tensors in one place": file_of({"a": entry(), "b": entry()}, bytes(4)),
    "a hole between tensors": file_of({"a": entry(), "b": entry(data_offsets=(5, 9))}, bytes(9)),
    "a hole before all tensors": file_of({"a": entry(data_offsets=(4, 8))}, bytes(8)),
    "bytes after the last tensor": file_of({"a": entry()}, bytes(5)),
    "bytes and no tensor": file_of({}, b"PK\3\4"),
    "a buffer cut short": file_of({"a": entry()}, bytes(3)),
    "an empty tensor past the end": file_of({"a": entry(shape=(0,), data_offsets=(9, 9))}),
    "an unknown dtype": file_of({"a": entry("V8")}, bytes(4)),
    "a dtype of NumPy": file_of({"a": entry("<f4")}, bytes(4)),
    "a dtype that is no text": file_of({"a": entry(["F32"])}, bytes(4)),
    "a shape that wraps to 0": file_of({"a": entry(shape=(2**32, 2**32), data_offsets=(0, 0))}),
    "a shape that wraps to 4": file_of({"a": entry(shape=(2**62 + 1,))}, bytes(4)),
    "an empty shape beyond all memory": file_of({"a": entry(shape=(0, 2**62), data_offsets=(0, 0))}),
    "an empty shape beyond 64 bits": file_of({"a": entry(shape=(0, 2**70), data_offsets=(0, 0))}),
    "a shape whose product has 12,000 digits": file_of({"a": entry(shape=[10**399] * 32)}, bytes(4)),
    "a shape of -1": file_of({"a": entry(shape=(-1,))}, bytes(4)),
    "a shape of two negatives": file_of({"a": entry(shape=(-1, -1))}, bytes(4)),
    "a shape of true": file_of({"a": entry(shape=(True,))}, bytes(4)),
    "a shape of a float": file_of({"a": entry(shape=(1.0,))}, bytes(4)),
    "a shape of minus zero": file_of(b'{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}'),
    "a shape of text": file_of({"a": entry(shape=("1",))}, bytes(4)),
    "a shape that is no list": file_of({"a": entry(shape=1)}, bytes(4)),
    "a shape of 65 axes": file_of({"a": entry(shape=[1] * 65)}, bytes(4)),
    "one offset": file_of({"a": entry(data_offsets=(0,))}, bytes(4)),
    "three offsets": file_of({"a": entry(data_offsets=(0, 4, 4))}, bytes(4)),
    "offsets of floats": file_of({"a": entry(data_offsets=(0.0, 4.0))}, bytes(4)),
    "offsets of minus zero": file_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', bytes(4)),
    "offsets of booleans": file_of({"a": entry("U8", data_offsets=(False, True))}, bytes(1)),
    "offsets backwards": file_of({"a": entry(data_offsets=(4, 0))}, bytes(4)),
    "a negative offset": file_of({"a": entry(data_offsets=(-4, 0))}, bytes(4)),
    "an offset of 400 digits": file_of({"a": entry(data_offsets=(0, 10**399))}, bytes(4)),
    "fewer bytes than the shape needs": file_of({"a": entry(shape=(2,))}, bytes(4)),
    "an entry without a dtype": file_of({"a": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "an entry with one key more": file_of({"a": entry(strides=[1])}, bytes(4)),
    "an entry that is a list": file_of({"a": ["F32", [1], [0, 4]]}, bytes(4)),
    "an entry that is null": file_of({"a": None}),
    "metadata that is a list": file_of({"__metadata__": []}),
    "metadata of numbers": file_of({"__metadata__": {"version": 1}}),
}

SMALL = file_of(
    b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},'
    b'"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},"c":{"dtype":"I8","shape":[0],"data_offsets":[7,7]}} ',
    b"\x01\x3c\x02\x40xyz",
)

Read = dict[str, tuple[str, tuple[int, ...], bytes]]

OPEN_SAFETENSORS = "from minibert.checkpoints.formats.safetensors_file import open_safetensors as open_file"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors")


def read_ours(path: Path) -> Read:
    """Every tensor by its name, as dtype, shape and bytes."""
    arrays = {name: tensor.read() for name, tensor in open_safetensors(path).tensors.items()}
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def read_by_library(data: bytes) -> Read:
    """The same from the library."""
    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
    names |= {f"{kind}{bits}": f"{word}{bits}" for kind, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)}
    return {
        name: (names.get(found["dtype"], found["dtype"]), tuple(found["shape"]), bytes(found["data"]))
        for name, found in safetensors.deserialize(data)
    }


def disagreement(data: bytes, path: Path) -> str | None:
    """How our reader and the library differ on these bytes, other than by our refusing more on purpose."""
    path.write_bytes(data)
    try:
        ours = read_ours(path)
    except CheckpointError as problem:
        if str(path) not in str(problem):
            return f"the error does not name the file: {problem}"
        try:
            theirs = read_by_library(data)
        except safetensors.SafetensorError:
            return None
        unknown_dtype = {dtype for dtype, _, _ in theirs.values()} - set(DTYPES)
        return None if unknown_dtype or any(reason in str(problem) for reason in STRICTER) else f"only we refuse: {problem}"
    try:
        theirs = read_by_library(data)
    except safetensors.SafetensorError as problem:
        return f"only the library refuses: {problem}"
    return None if ours == theirs else f"{ours} is not {theirs}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_read_bit_for_bit(tmp_path: Path, dtype: str):
    random_bytes = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 256, 480, np.uint8)
    array = random_bytes.view(DTYPES[dtype]).reshape(3, 4, -1)
    safetensors.numpy.save_file({"array": array}, tmp_path / "model.safetensors")
    assert read_ours(tmp_path / "model.safetensors") == {"array": (dtype, array.shape, array.tobytes())}


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1, 1, 1), (5,)])
def test_shapes_without_axes_and_without_elements_are_read(tmp_path: Path, shape: tuple[int, ...]):
    array = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    safetensors.numpy.save_file({"array": array, "other": np.ones(3, np.int8)}, tmp_path / "model.safetensors")
    assert read_ours(tmp_path / "model.safetensors")["array"] == ("float32", shape, array.tobytes())


def test_metadata_is_read(tmp_path: Path):
    metadata = {"format": "pt", "note": "ä\n"}
    safetensors.numpy.save_file({"a": np.ones(1)}, tmp_path / "model.safetensors", metadata)
    assert open_safetensors(tmp_path / "model.safetensors").metadata == metadata


@pytest.mark.parametrize("padding", [b"", b" ", b" " * 100, b"\n\t\r "])
def test_white_space_after_the_header_is_sound(tmp_path: Path, padding: bytes):
    header = json.dumps({"a": entry()}).encode()
    (tmp_path / "model.safetensors").write_bytes(file_of(header + padding, b"abcd"))
    assert read_ours(tmp_path / "model.safetensors") == {"a": ("float32", (1,), b"abcd")}


def test_tensors_may_stand_in_any_order_and_at_odd_bytes(tmp_path: Path):
    header = {"b": entry(data_offsets=(3, 7)), "a": entry("U8", (3,), (0, 3))}
    (tmp_path / "model.safetensors").write_bytes(file_of(header, b"xyzabcd"))
    expected = {"a": ("uint8", (3,), b"xyz"), "b": ("float32", (1,), b"abcd")}
    assert read_ours(tmp_path / "model.safetensors") == expected


def test_a_file_without_tensors_is_sound(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(file_of({}))
    assert open_safetensors(tmp_path / "model.safetensors").tensors == {}


def test_an_array_cannot_be_written_to(tmp_path: Path):
    safetensors.numpy.save_file({"a": np.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="read-only"):
        open_safetensors(tmp_path / "model.safetensors").tensors["a"].read()[0] = 2.0


ARRAYS = st.builds(
    lambda dtype, shape, seed: (
        np.random.default_rng(seed)
        .integers(0, 2 if dtype == "bool" else 256, math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize, np.uint8)
        .view(DTYPES[dtype])
        .reshape(shape)
    ),
    st.sampled_from(sorted(DTYPES)),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.integers(0, 2**32),
)


@settings(deadline=None)
@given(arrays=st.dictionaries(st.text().filter(lambda name: name != "__metadata__"), ARRAYS, max_size=6))
def test_any_arrays_written_by_the_library_are_read_bit_for_bit(folder: Path, arrays: dict[str, np.ndarray]):
    path = folder / "arrays.safetensors"
    path.write_bytes(safetensors.numpy.save(arrays))
    assert read_ours(path) == {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_an_error_that_names_it(tmp_path: Path, case: str):
    (tmp_path / "model.safetensors").write_bytes(HOSTILE[case])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        open_safetensors(tmp_path / "model.safetensors")


def test_the_error_is_of_the_kind_asked_for(tmp_path: Path):
    for case, data in HOSTILE.items():
        (tmp_path / "trace.safetensors").write_bytes(data)
        with pytest.raises(TraceError):
            open_safetensors(tmp_path / "trace.safetensors", error=TraceError)
            pytest.fail(case)


@needs_linux
def test_hostile_files_take_less_than_200_mb_and_a_second(tmp_path: Path):
    for index, data in enumerate(HOSTILE.values()):
        (tmp_path / f"hostile-{index}").write_bytes(data)
    sparse = {
        "zeros": b"",
        "a-long-header": struct.pack("<Q", MAX_HEADER_BYTES),
        "a-longer-header": struct.pack("<Q", MAX_HEADER_BYTES + 1),
        "a-header-of-objects": file_of({"a": [{}] * (MAX_HEADER_BYTES // 5)}),
        "a-header-of-a-terabyte": struct.pack("<Q", (1 << 40) - 8),
        "bytes-of-no-tensor": file_of({"a": entry()}),
    }
    for name, data in sparse.items():
        (tmp_path / name).write_bytes(data)
        os.truncate(tmp_path / name, 1 << 40)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link-to-nothing").symlink_to("nothing")
    (tmp_path / "link-to-zeros").symlink_to("/dev/zero")
    names = [*(str(path) for path in sorted(tmp_path.iterdir())), f"{tmp_path}/missing", "/dev/zero"]
    assert outcomes(names, opener=OPEN_SAFETENSORS) == dict.fromkeys(names, "refused")


def test_the_small_file_is_sound(folder: Path):
    assert disagreement(SMALL, folder / "small") is None
    assert len(read_ours(folder / "small")) == 3


def test_the_small_file_cut_at_any_byte_is_an_error(folder: Path):
    for length in range(len(SMALL)):
        (folder / "cut").write_bytes(SMALL[:length])
        with pytest.raises(CheckpointError, match="cut"):
            open_safetensors(folder / "cut")
            pytest.fail(f"cut to {length} bytes")


@pytest.mark.parametrize("mask", [0x01, 0x20, 0xFF])
def test_with_any_byte_flipped_the_small_file_is_an_error_or_what_the_library_reads(folder: Path, mask: int):
    problems = {index: disagreement(flipped(SMALL, index, mask), folder / "flipped") for index in range(len(SMALL))}
    assert {index: problem for index, problem in problems.items() if problem} == {}


@settings(deadline=None)
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(SMALL)),
            st.integers(0, 3),
            st.binary(max_size=3) | st.text('{}[]":,0123456789-eab \\', max_size=3).map(str.encode),
        ),
        min_size=1,
        max_size=3,
    ),
    fix_length=st.booleans(),
)
def test_bytes_replaced_put_in_or_left_out_are_an_error_or_what_the_library_reads(
    folder: Path, edits: list[tuple[int, int, bytes]], fix_length: bool
):
    data = SMALL
    for start, length, replacement in edits:
        data = data[:start] + replacement + data[start + length :]
    if fix_length:
        data = struct.pack("<Q", len(data[8:].rpartition(b"}")[0]) + 1) + data[8:]
    assert disagreement(data, folder / "edited") is None


NUMBERS = st.integers(0, 8) | st.sampled_from([-1, 2**31, 2**32, 2**63, 2**64, 2**64 + 4, 1.0, True, None, "1"])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["U8", "I8", "BOOL", "F16", "BF16", "F32", "F64", "F8_E4M3", "F4", "C64", "f32", "", None]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2) | st.lists(NUMBERS, max_size=3),
    },
    optional={"note": st.none()},
)


@settings(deadline=None)
@given(
    header=st.dictionaries(st.sampled_from(["a", "b", "", "__metadata__"]), ENTRIES, max_size=3),
    body=st.binary(max_size=8),
)
def test_any_header_is_an_error_or_what_the_library_reads(folder: Path, header: dict[str, Any], body: bytes):
    assert disagreement(file_of(header, body), folder / "any") is None


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    shifts=st.lists(st.sampled_from([0] * 12 + [-1, 1]), min_size=8, max_size=8),
    more=st.sampled_from([0, 0, 0, -1, 1]),
)
def test_tensors_that_nearly_tile_the_buffer_are_an_error_or_what_the_library_reads(
    folder: Path, lengths: list[int], shifts: list[int], more: int
):
    header, end = {}, 0
    for index, length in enumerate(lengths):
        begin, end = end, end + length
        offsets = [max(0, begin + shifts[2 * index]), max(0, end + shifts[2 * index + 1])]
        header[f"tensor {index}"] = entry("U8", [max(0, offsets[1] - offsets[0])], offsets)
    assert disagreement(file_of(header, bytes(range(max(0, end + more)))), folder / "tiles") is None
