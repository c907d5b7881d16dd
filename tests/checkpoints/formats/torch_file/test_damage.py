import math
from pathlib import Path

import numpy as np
import pytest
from crafted_torch_files import (
    ORDERED_DICT,
    REBUILD,
    entries_of,
    named,
    number,
    pickled,
    storage,
    streamed,
    table_of,
    tensor,
    text,
    tuple_of,
    zipped,
)
from damage import flipped
from hypothesis import given, settings
from hypothesis import strategies as st
from record_torch_files import DTYPES, FOLDER, small_arrays

from minibert.checkpoints.formats.torch_file import open_torch_file
from minibert.errors import CheckpointError

SMALL_ZIP, SMALL_STREAM = (FOLDER / f"small_{kind}.bin" for kind in ("zip", "stream"))
VALUES = np.arange(4, dtype="<f4").tobytes()

Read = dict[str, tuple[str, tuple[int, ...], bytes]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch_files")


def read_or_refuse(path: Path) -> Read | None:
    """Every tensor as dtype, shape and bytes; None for an error that names the file. Any other error fails the test."""
    try:
        arrays = {name: tensor.read() for name, tensor in open_torch_file(path).items()}
    except CheckpointError as problem:
        assert str(path) in str(problem)
        return None
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def assert_sound(found: Read | None) -> None:
    """Of a file without a checksum anything may come: an error, or tensors of the known dtypes with the bytes of their shapes."""
    for dtype, shape, data in (found or {}).values():
        assert dtype in DTYPES
        assert len(data) == math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize


WRITTEN = {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in small_arrays().items()}


@pytest.mark.parametrize("whole", [SMALL_ZIP, SMALL_STREAM], ids=["zip", "stream"])
@pytest.mark.usefixtures("without_shape_checks")
def test_a_file_cut_at_any_byte_is_an_error(folder: Path, whole: Path):
    data = whole.read_bytes()
    assert read_or_refuse(whole) == WRITTEN
    assert [length for length in range(len(data)) if read_or_refuse(written(folder / "cut", data[:length]))] == []


# Every byte, beside torch: test_against_torch.py.
@pytest.mark.usefixtures("without_shape_checks")
def test_with_a_bit_flipped_a_zip_is_an_error_or_what_was_written(folder: Path):
    data = SMALL_ZIP.read_bytes()
    for index in range(0, len(data), 7):
        assert read_or_refuse(written(folder / "flipped", flipped(data, index, 1 << index % 8))) in (None, WRITTEN), index


@pytest.mark.usefixtures("without_shape_checks")
def test_with_a_bit_flipped_a_stream_is_an_error_or_tensors(folder: Path):
    # It has no checksum: what it can become is held against torch itself.
    data = SMALL_STREAM.read_bytes()
    outcomes = [read_or_refuse(written(folder / "flipped", flipped(data, index, 1 << index % 8))) for index in range(len(data))]
    assert outcomes.count(None) > len(data) / 2


EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=3)


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, length, replacement in edits:
        start = int(where * len(data))
        data = data[:start] + replacement + data[start + length :]
    return data


@settings(deadline=None)
@given(edits=EDITS)
def test_with_bytes_replaced_put_in_or_left_out_a_zip_is_an_error_or_what_was_written(folder: Path, edits: list):
    assert read_or_refuse(written(folder / "edited", edited(SMALL_ZIP.read_bytes(), edits))) in (None, WRITTEN)


@settings(deadline=None)
@given(edits=EDITS)
def test_with_bytes_replaced_put_in_or_left_out_a_stream_is_an_error_or_sound_tensors(folder: Path, edits: list):
    assert_sound(read_or_refuse(written(folder / "edited", edited(SMALL_STREAM.read_bytes(), edits))))


PARTS = [
    *(bytes([code]) for code in b"()]}NRQabetus0\x85\x86\x87\x88\x89.2"),
    *(b"q\0", b"q\1", b"h\0", b"h\1", b"K\0", b"K\1", b"K\4", b"J\xff\xff\xff\xff", b"M\0\1", b"G" + bytes(8)),
    *(text("a"), text("b"), text("storage"), text("0"), text("cpu"), number(2**63), number(2**64)),
    *(storage(), storage(elements=2), storage(kind="ByteStorage", elements=16), storage("1"), storage(more=b"N")),
    *(tensor(), tensor(shape=(2, 2), strides=(1, 2)), tensor(shape=(2,), offset=3), tensor(shape=(1000, 1000), strides=(0, 0))),
    *(ORDERED_DICT, REBUILD, named("collections", "OrderedDict"), named("torch._utils", "_rebuild_parameter")),
    *(text("a") + tensor() + b"s", text("b") + tensor(shape=()[:0], strides=()) + b"s", table_of({"_metadata": b"}"}) + b"b"),
    *(tuple_of(tensor(), b"\x88", ORDERED_DICT), named("torch", "FloatStorage"), named("os", "system")),
]
PROGRAMS = st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join)
# Half of them at least begin as a state dict does.
PICKLES = st.tuples(st.sampled_from([b"", b"}", ORDERED_DICT, ORDERED_DICT + text("a") + tensor() + b"s"]), PROGRAMS).map(
    lambda parts: pickled(b"".join(parts))
)


def contained(pickle: bytes, container: str) -> bytes:
    if container == "zip":
        return zipped(entries_of(pickle, {"0": VALUES}))
    return streamed(pickle.replace(b"tQ", b"NtQ"), {"0": (4, VALUES)})


@settings(deadline=None)
@given(pickle=PICKLES, container=st.sampled_from(["zip", "stream"]))
def test_any_pickle_is_an_error_or_sound_tensors(folder: Path, pickle: bytes, container: str):
    assert_sound(read_or_refuse(written(folder / "any", contained(pickle, container))))
