import math
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from crafted_torch_files import (
    ORDERED_DICT,
    changed,
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
    zip64,
    zipped,
)
from record_torch_files import FOLDER, state_arrays

from minibert.checkpoints.formats import file_checksum
from minibert.checkpoints.formats.crc import crc32
from minibert.checkpoints.formats.torch_file import open_torch_file, reader
from minibert.errors import CheckpointError

SAVED = ("zip", "zip_dict", "zip_cuda", "stream", "stream_dict", "stream_cuda")
VALUES = np.arange(4, dtype="<f4")


def read(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    arrays = {name: tensor.read() for name, tensor in open_torch_file(path).items()}
    return {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", SAVED)
def test_a_state_dict_saved_by_torch_is_read_bit_for_bit(name: str):
    expected = {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in state_arrays().items()}
    assert read(FOLDER / f"{name}.bin") == expected


@pytest.mark.parametrize("name", SAVED)
def test_the_names_keep_their_order(name: str):
    assert list(open_torch_file(FOLDER / f"{name}.bin")) == list(state_arrays())


@pytest.mark.parametrize("name", ["zip", "stream"])
def test_tied_tensors_lie_in_one_place(name: str):
    tensors = open_torch_file(FOLDER / f"{name}.bin")
    assert tensors["embeddings.weight"] == tensors["decoder.weight"]


@pytest.mark.parametrize("name", ["zip", "stream"])
def test_a_view_of_a_storage_keeps_its_strides(name: str):
    tensors = open_torch_file(FOLDER / f"{name}.bin")
    assert tensors["table.transposed"].strides == (1, 4)
    assert tensors["table.repeated"].strides == (0, 0, 0)
    assert tensors["table.row"].strides is None


def test_an_array_cannot_be_written_to():
    for tensor_ in open_torch_file(FOLDER / "zip.bin").values():
        array = tensor_.read()
        assert array.size == 0 or not array.flags.writeable


def many_members(count: int, size: int) -> bytes:
    items = {f"t{index}": tensor(storage(str(index), size), (size,)) for index in range(count)}
    storages = {str(index): np.full(size, index, "<f4").tobytes() for index in range(count)}
    return zipped(entries_of(pickled(table_of(items)), storages))


def test_a_member_is_verified_once_and_not_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checked: list[int] = []
    monkeypatch.setattr(reader, "crc32", lambda data, value: checked.append(len(data)) or crc32(data, value))
    tensors = open_torch_file(written(tmp_path / "model.bin", many_members(6, 100_000)))
    assert checked == []
    for _ in range(2):
        assert all(set(tensor_.read()) == {float(name[1:])} for name, tensor_ in tensors.items())
        assert checked == [400_000] * 6


def test_threads_may_read_at_the_same_time(tmp_path: Path):
    tensors = open_torch_file(written(tmp_path / "model.bin", many_members(6, 100_000)))
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(lambda name: set(tensors[name].read()) == {float(name[1:])}, [*tensors] * 4))
    assert read == [True] * 24


def test_a_flipped_byte_of_a_tensor_is_an_error_when_it_is_read_and_only_then(tmp_path: Path):
    data = bytearray(many_members(3, 100_000))
    data[data.index(np.full(1000, 2, "<f4").tobytes()) + 3999] ^= 1
    tensors = open_torch_file(written(tmp_path / "model.bin", bytes(data)))
    assert set(tensors["t0"].read()) == {0.0}
    assert set(tensors["t1"].read()) == {1.0}
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"model\.bin is damaged: the checksum of member 'archive/data/2'"):
            tensors["t2"].read()


def test_a_byte_that_no_tensor_uses_counts_for_the_checksum_too(tmp_path: Path):
    data = bytearray(zipped(entries_of(pickled(table_of({"a": tensor(shape=(1,))})), {"0": VALUES.tobytes()})))
    data[data.index(VALUES.tobytes()) + 15] ^= 1
    with pytest.raises(CheckpointError, match="checksum"):
        open_torch_file(written(tmp_path / "model.bin", bytes(data)))["a"].read()


def test_a_file_cut_after_it_was_opened_is_an_error(tmp_path: Path):
    path = written(tmp_path / "model.bin", many_members(1, 100_000))
    tensor_ = open_torch_file(path)["t0"]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model\.bin"):
        tensor_.read()


def test_a_member_of_many_windows_that_begins_between_pages_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file_checksum, "WINDOW_BYTES", 1 << 16)
    monkeypatch.setattr(file_checksum._MEMORY, "window", np.empty(1 << 16, np.uint8), raising=False)
    tensors = open_torch_file(written(tmp_path / "model.bin", many_members(2, 100_003)))
    assert [tensors[name].offset % 4096 != 0 for name in tensors] == [True, True]
    assert [set(tensor_.read()) for tensor_ in tensors.values()] == [{0.0}, {1.0}]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1, 1, 1), (4,), (2, 2)])
@pytest.mark.parametrize("container", ["zip", "stream"])
def test_shapes_without_axes_and_without_elements_are_read(tmp_path: Path, container: str, shape: tuple[int, ...]):
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    view = tensor(storage(more=b"N" if container == "stream" else b""), shape, strides)
    path = written(tmp_path / "model.bin", contained(container, pickled(table_of({"a": view}))))
    assert read(path) == {"a": ("float32", shape, VALUES[: math.prod(shape)].tobytes())}


def contained(container: str, pickle: bytes) -> bytes:
    if container == "zip":
        return zipped(entries_of(pickle, {"0": VALUES.tobytes()}))
    return streamed(pickle, {"0": (4, VALUES.tobytes())})


def test_an_axis_of_length_1_may_have_any_stride(tmp_path: Path):
    views = {"a": tensor(shape=(1, 4, 1), strides=(2**62, 1, 2**62)), "b": tensor(shape=(2, 1), strides=(2, 2**62))}
    path = written(tmp_path / "model.bin", contained("zip", pickled(table_of(views))))
    assert read(path)["a"] == ("float32", (1, 4, 1), VALUES.tobytes())
    assert read(path)["b"] == ("float32", (2, 1), VALUES[::2].tobytes())


def test_an_empty_tensor_may_begin_behind_its_storage(tmp_path: Path):
    # As table[6:, 2:] does in a table of 6 rows.
    path = written(
        tmp_path / "model.bin", contained("zip", pickled(table_of({"a": tensor(shape=(0, 2), strides=(4, 1), offset=26)})))
    )
    assert read(path) == {"a": ("float32", (0, 2), b"")}


def test_a_tensor_of_torch_0_3_is_read(tmp_path: Path):
    rebuilt = named("torch._utils", "_rebuild_tensor") + tuple_of(storage(more=b"N"), number(1), b"K\2\x85", b"K\2\x85") + b"R"
    path = written(tmp_path / "model.bin", contained("stream", pickled(table_of({"a": rebuilt}))))
    assert read(path) == {"a": ("float32", (2,), VALUES[1::2].tobytes())}


def test_an_ordered_dict_of_python_2_is_read(tmp_path: Path):
    short = b"U\3a.b"
    pairs = b"](](" + short + tensor(storage(more=b"N")) + b"ee"
    pickle = pickled(named("collections", "OrderedDict") + pairs + b"\x85R")
    assert read(written(tmp_path / "model.bin", contained("stream", pickle))) == {"a.b": ("float32", (4,), VALUES.tobytes())}


def test_the_state_of_an_ordered_dict_is_thrown_away(tmp_path: Path):
    state = table_of({"_metadata": table_of({"deep": b"](NNe"}), "__class__": text("os.system")})
    pickle = pickled(ORDERED_DICT + text("a") + tensor() + b"s" + state + b"b")
    assert read(written(tmp_path / "model.bin", contained("zip", pickle))) == {"a": ("float32", (4,), VALUES.tobytes())}


def test_sizes_of_64_bits_are_read(tmp_path: Path):
    data = zip64(entries_of(pickled(table_of({"a": tensor()})), {"0": VALUES.tobytes()}))
    assert read(written(tmp_path / "model.bin", data)) == {"a": ("float32", (4,), VALUES.tobytes())}


def test_members_without_descriptors_are_read(tmp_path: Path):
    # As torch.save writes empty members, and other zip tools all.
    entries = entries_of(pickled(table_of({"a": tensor()})), {"0": VALUES.tobytes()})
    for entry in entries:
        sizes = dict(flags=0, local_crc=entry.crc, local_size=len(entry.data), local_extra=b"")
        entries = changed(entries, entry.name, **sizes)
    assert read(written(tmp_path / "model.bin", zipped(entries))) == {"a": ("float32", (4,), VALUES.tobytes())}


def test_a_table_without_tensors_is_read(tmp_path: Path):
    assert read(written(tmp_path / "a.bin", zipped(entries_of(pickled(b"}"), {})))) == {}
    assert read(written(tmp_path / "b.bin", streamed(pickled(b"}"), {}))) == {}


def test_nothing_that_could_unpickle_is_imported():
    program = """
import sys, types
# The package without its __init__, which would import JAX.
package = types.ModuleType("minibert")
package.__path__ = [sys.argv[1]]
sys.modules["minibert"] = package
import jaxtyping, ml_dtypes, numpy
from pathlib import Path
before = set(sys.modules)
from minibert.checkpoints.formats.torch_file import open_torch_file
[tensor.read() for tensor in open_torch_file(Path(sys.argv[2])).values()]
print(sorted({"torch", "pickletools", "zipfile", "tarfile", "shelve"} & (set(sys.modules) - before)))
print(sorted(name for name in set(sys.modules) - before if "pickle" in name and not name.startswith("minibert.")))
"""
    package = Path(reader.__file__).parents[3]
    child = subprocess.run(
        [sys.executable, "-c", program, str(package), str(FOLDER / "zip.bin")], capture_output=True, text=True, timeout=60
    )
    assert (child.stderr, child.stdout) == ("", "[]\n[]\n")


def test_a_zip_as_written_by_hand_is_what_torch_writes():
    # So that the hostile files differ from real ones in the one thing that each is about.
    data = (FOLDER / "zip.bin").read_bytes()
    crafted = zipped(entries_of(b"", {}))
    fields = struct.Struct("<4s5H3I2H")
    real, ours = fields.unpack(data[:30]), fields.unpack(crafted[:30])
    assert real[:9] == ours[:9]
