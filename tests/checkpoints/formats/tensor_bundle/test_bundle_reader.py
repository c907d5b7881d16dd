"""Bundles that TensorFlow wrote, without TensorFlow; and bundles that nobody should believe."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from crafted_tables import varint
from damage import flipped
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stored_arrays import arrays_of_every_dtype, bfloat16_arrays, partitioned_arrays

from minibert.checkpoints.formats.crc import crc32c
from minibert.checkpoints.formats.tensor_bundle import find_bundle, open_tensor_bundle, write_tensor_bundle
from minibert.checkpoints.formats.tensor_bundle.bundle_reader import _check_tiles
from minibert.checkpoints.formats.tensor_bundle.bundle_writer import HEADER, _table
from minibert.checkpoints.formats.tensor_bundle.table import masked
from minibert.errors import CheckpointError

FOLDER = Path(__file__).parents[3] / "goldens" / "tensor_bundles"


def assert_same(prefix: Path, expected: dict[str, np.ndarray]) -> None:
    tensors = open_tensor_bundle(prefix).tensors
    assert sorted(tensors) == sorted(expected)
    for name, array in expected.items():
        values = tensors[name].read()
        assert (values.dtype, values.shape) == (array.dtype, array.shape), name
        assert (tensors[name].dtype, tensors[name].shape) == (array.dtype, array.shape), name
        assert values.tobytes() == array.tobytes(), name


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("every_dtype", arrays_of_every_dtype),
        ("two_shards", arrays_of_every_dtype),
        ("partitioned", partitioned_arrays),
        ("bfloat16", bfloat16_arrays),
    ],
)
def test_what_tensorflow_wrote_is_read_bit_for_bit(name: str, arrays: Callable[[], dict[str, np.ndarray]]):
    assert_same(FOLDER / f"{name}.ckpt", arrays())


def test_the_files_of_a_sharded_bundle_are_all_named():
    names = [path.name for path in open_tensor_bundle(FOLDER / "two_shards.ckpt").files]
    assert names == ["two_shards.ckpt.index", "two_shards.ckpt.data-00000-of-00002", "two_shards.ckpt.data-00001-of-00002"]


def test_texts_are_named_and_are_no_tensors():
    bundle = open_tensor_bundle(FOLDER / "objects.ckpt")
    assert bundle.texts == ["_CHECKPOINTABLE_OBJECT_GRAPH"]
    table = bundle.tensors["table/.ATTRIBUTES/VARIABLE_VALUE"].read()
    np.testing.assert_array_equal(table, arrays_of_every_dtype()["each/float32"])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of a small bundle, which a test may damage."""
    for path in FOLDER.glob("bfloat16.ckpt*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "bfloat16.ckpt"


def outcome(prefix: Path) -> str:
    """Read everything: the same arrays as ever, or our error. Other arrays and other errors fail the test."""
    try:
        assert_same(prefix, bfloat16_arrays())
    except CheckpointError as problem:
        assert str(prefix) in str(problem)
        return "refused"
    return "equal"


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_it_is_refused_truncated_at_every_byte(bundle: Path, suffix: str):
    file = bundle.with_name(f"{bundle.name}.{suffix}")
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert outcome(bundle) == "refused", length


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_with_every_bit_flipped_it_is_refused_or_the_same(bundle: Path, suffix: str):
    file = bundle.with_name(f"{bundle.name}.{suffix}")
    whole = file.read_bytes()
    same = []
    for place in range(len(whole)):
        for bit in range(8):
            file.write_bytes(flipped(whole, place, 1 << bit))
            if outcome(bundle) == "equal":
                same.append(place)
    # Only the padding of the footer says nothing, and the same number may be written in more bytes.
    assert all(suffix == "index" and len(whole) - 48 <= place < len(whole) - 8 for place in same), same


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutations_of_an_index_are_refused_or_the_same(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder = tmp_path_factory.mktemp("mutated")
    for path in FOLDER.glob("bfloat16.ckpt*"):
        shutil.copy(path, folder)
    file = folder / "bfloat16.ckpt.index"
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(content)))
        content[begin : begin + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    file.write_bytes(content)
    assert outcome(folder / "bfloat16.ckpt") in ("refused", "equal")


def entry(
    dtype: int = 1, shape: tuple[bytes, ...] = (b"\x08\x02",), shard: bytes = b"", offset: bytes = b"", size: bytes = b"\x28\x08"
) -> bytes:
    """A BundleEntryProto of two numbers of float32, or something else."""
    axes = b"".join(b"\x12" + bytes([len(axis)]) + axis for axis in shape)
    checksum = masked(crc32c(bytes(8))).to_bytes(4, "little")
    return bytes([8, dtype, 0x12]) + varint(len(axes)) + axes + shard + offset + size + b"\x35" + checksum


def test_the_entry_that_the_next_tests_change_is_sound(tmp_path: Path):
    (tmp_path / "a.index").write_bytes(_table({b"": HEADER, b"t": entry()}))
    (tmp_path / "a.data-00000-of-00001").write_bytes(bytes(8))
    assert_same(tmp_path / "a", {"t": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({b"t": entry()}, "it has no header"),
        ({b"": b"\x08\x00", b"t": entry()}, "it has 0 shards"),
        ({b"": b"\x08" + varint(10**9), b"t": entry()}, "it has 1,000,000,000 shards"),
        ({b"": HEADER + b"\x10\x01", b"t": entry()}, "its numbers are big-endian"),
        ({b"": b"\x08\x01\x1a\x02\x10\x02", b"t": entry()}, "it is for readers of version 2"),
        ({b"": HEADER, b"t": entry(dtype=8)}, "tensor t has a dtype with the number 8"),
        ({b"": HEADER, b"t": entry(shape=(b"\x08" + varint(-1),))}, r"tensor t has shape \(-1,\)|tensor t has shape \[-1\]"),
        ({b"": HEADER, b"t": entry(shape=(b"\x08" + varint(2**32),) * 2)}, "lengths from 0 up that memory holds"),
        ({b"": HEADER, b"t": entry(shape=(b"\x08\x01",) * 33)}, "at most 32 lengths"),
        ({b"": HEADER, b"t": entry(shape=(b"\x08\x03",))}, r"tensor t takes 8 bytes, but its dtype and shape \[3\] need 12"),
        ({b"": HEADER, b"t": entry(size=b"\x28" + varint(-8))}, "tensor t takes -8 bytes"),
        ({b"": HEADER, b"t": entry(shard=b"\x18\x01")}, "tensor t is in shard 1 of 1"),
        ({b"": HEADER, b"t": entry(shard=b"\x18" + varint(-1))}, "tensor t is in shard -1 of 1"),
        ({b"": HEADER, b"t": entry(offset=b"\x20\x01")}, "tensor t is at bytes 1 to 9 of a.data-00000-of-00001, which holds 8"),
        ({b"": HEADER, b"t": entry(offset=b"\x20" + varint(-8))}, "tensor t is at bytes -8 to 0"),
        ({b"": HEADER, b"t": entry(offset=b"\x20" + varint(2**62))}, "which holds 8"),
        ({b"": HEADER, b"s": entry(), b"t": entry()}, "tensors s and t lie in the same bytes"),
        ({b"": HEADER, b"t": entry() + b"\x40\x01"}, "the entry of t has a field 8"),
        ({b"": HEADER, b"t": entry() + b"\x0b"}, "wire type 3"),
        ({b"": HEADER, b"t": entry()[:-1]}, "a field is cut short"),
        ({b"": HEADER, b"\xff": entry()}, "is not UTF-8"),
        ({b"": HEADER, b"\x00rest": entry()}, "it has 1 slices that belong to no tensor"),
        ({b"": HEADER, b"t": entry() + b"\x3a\x00"}, "a slice of t has 0 axes, and the tensor 1"),
        ({b"": HEADER, b"t": entry() + b"\x3a\x04\x0a\x02\x10\x03"}, "a slice of t goes from 0 over 3 places of an axis of 2"),
        ({b"": HEADER, b"t": entry() + b"\x3a\x04\x0a\x02\x10\x01"}, r"a slice of t from \[0\] on is not there"),
        ({b"": HEADER, b"u": entry(), b"t": entry()}, "its keys are not in order"),
    ],
)
def test_an_index_that_is_whole_and_says_something_impossible_is_refused(
    tmp_path: Path, entries: dict[bytes, bytes], message: str
):
    (tmp_path / "a.index").write_bytes(_table(entries))
    (tmp_path / "a.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(CheckpointError, match=message) as problem:
        open_tensor_bundle(tmp_path / "a")
    assert str(tmp_path / "a.index") in str(problem.value)


SLICES = {
    "a gap": [(0, 1), (2, 1)],
    "an overlap": [(0, 2), (1, 1)],
    "both": [(0, 2), (1, 2)],
}


@pytest.mark.parametrize("case", SLICES)
def test_slices_that_do_not_tile_are_refused(tmp_path: Path, case: str):
    extents = SLICES[case]
    whole, table = b"\x08\x01\x12\x04\x12\x02\x08\x03", {b"": HEADER}
    for place, (start, length) in enumerate(extents):
        extent = (b"\x08" + bytes([start]) if start else b"") + b"\x10" + bytes([length])
        whole += b"\x3a" + bytes([len(extent) + 2]) + b"\x0a" + bytes([len(extent)]) + extent
        key = b"\x00t\x00\x01\x01\x01" + bytes([0x80 + start, 0x80 + length])
        size = b"\x28" + bytes([4 * length])
        table[key] = entry(shape=(b"\x08" + bytes([length]),), offset=b"\x20" + bytes([4 * 2 * place]), size=size)
    (tmp_path / "a.index").write_bytes(_table(dict(sorted({**table, b"t": whole}.items()))))
    (tmp_path / "a.data-00000-of-00001").write_bytes(bytes(20))
    with pytest.raises(CheckpointError, match="the slices of t overlap or leave a gap"):
        open_tensor_bundle(tmp_path / "a")


def boxes(axes: int) -> st.SearchStrategy[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    spans = st.tuples(st.integers(0, 2), st.integers(1, 3)).filter(lambda span: sum(span) <= 3)
    one = st.tuples(*[spans] * axes).map(lambda box: tuple(zip(*box, strict=True)))
    return st.lists(one, min_size=1, max_size=5)


@given(st.one_of(boxes(1), boxes(2)))
@example([((0, 0), (2, 1)), ((2, 0), (1, 2)), ((1, 2), (2, 1)), ((0, 1), (1, 2)), ((1, 1), (1, 1))])  # a pinwheel
def test_slices_are_taken_exactly_if_each_place_is_in_one(parts: list[tuple[tuple[int, ...], tuple[int, ...]]]):
    shape = (3,) * len(parts[0][0])
    covered = np.zeros(shape, int)
    for starts, lengths in parts:
        covered[tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))] += 1
    if (covered == 1).all():
        _check_tiles("t", shape, parts, CheckpointError)
    else:
        with pytest.raises(CheckpointError, match="overlap or leave a gap"):
            _check_tiles("t", shape, parts, CheckpointError)


def test_a_shard_that_is_not_there_is_named(bundle: Path):
    bundle.with_name(f"{bundle.name}.data-00000-of-00001").unlink()
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001 cannot be read: No such file.*needs all of its 1 shards"):
        open_tensor_bundle(bundle)


def test_no_bundle_is_an_error_that_names_the_file(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"a\.index does not exist"):
        open_tensor_bundle(tmp_path / "a")


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ('model_checkpoint_path: "step-2"\nall_model_checkpoint_paths: "step-1"\n', "step-2"),
        ('model_checkpoint_path: "/somewhere/else/step-1"\n', "step-1"),
        ('model_checkpoint_path: "../../step-2"\n', "step-2"),
    ],
)
def test_the_bundle_that_the_state_names_is_taken(tmp_path: Path, state: str, found: str):
    for name in ("step-1", "step-2"):
        write_tensor_bundle(tmp_path / name, {"t": np.zeros(2, np.float32)})
    (tmp_path / "checkpoint").write_text(state)
    assert find_bundle(tmp_path) == tmp_path / found


def test_of_several_bundles_one_must_be_named(tmp_path: Path):
    assert find_bundle(tmp_path) is None
    write_tensor_bundle(tmp_path / "step-1", {"t": np.zeros(2, np.float32)})
    assert find_bundle(tmp_path) == tmp_path / "step-1"
    write_tensor_bundle(tmp_path / "step-2", {"t": np.zeros(2, np.float32)})
    with pytest.raises(CheckpointError, match="holds 2 TensorFlow checkpoints, step-1, step-2; give the path of one"):
        find_bundle(tmp_path)
