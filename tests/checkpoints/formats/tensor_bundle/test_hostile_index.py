"""Indices whose checksums hold and that nobody should believe: each one is an error, with little memory and time."""

import os
from pathlib import Path

import numpy as np
import pytest
from crafted_tables import HEADER, block, field, index_of, item, literal, tensor, varint
from limited_child import needs_linux, outcomes

from minibert.checkpoints.formats.tensor_bundle import open_tensor_bundle
from minibert.checkpoints.formats.tensor_bundle.bundle_reader import SlicedTensor
from minibert.errors import CheckpointError

BUNDLES = Path(__file__).parents[3] / "goldens" / "tensor_bundles"
OPENER = "from minibert.checkpoints.formats.tensor_bundle import open_tensor_bundle as open_file"

DATA = np.arange(2, dtype="<f4").tobytes()
ITEMS = (item(b"", HEADER), item(b"t", tensor(2, data=DATA)))
SOUND = block(*ITEMS)
SECOND = len(ITEMS[0])

HOSTILE: dict[str, tuple[bytes, str]] = {
    "a block at byte 2⁶³": (index_of(SOUND, handles=(varint(2**63) + varint(5),)), "at byte 9,223,372,036,854,775,808"),
    "a block of 2⁶³ bytes": (index_of(SOUND, handles=(varint(0) + varint(2**63),)), "listed more than once"),
    "a block that wraps around": (index_of(SOUND, handles=(varint(2**64 - 1) + varint(2),)), "reaches outside"),
    "a block in the footer": (index_of(SOUND, handles=(varint(len(index_of(SOUND)) - 50) + varint(5),)), "reaches outside"),
    "the list of blocks at byte 2⁶³": (index_of(SOUND, last_handle=varint(2**63) + varint(8)), "reaches outside"),
    "what is about the blocks at byte 2⁶³": (index_of(SOUND, first_handle=varint(2**63) + varint(8)), "reaches outside"),
    "a handle of eleven bytes": (index_of(SOUND, last_handle=b"\xff" * 10 + b"\x01\x08"), "more than ten bytes"),
    "a handle of 70 bits": (index_of(SOUND, last_handle=b"\xff" * 9 + b"\x7f\x08"), "more than 64 bits"),
    "a handle that is cut": (index_of(SOUND, handles=(b"\x80",)), "cut short"),
    "a block listed twice": (index_of(SOUND, handles=(varint(0) + varint(len(SOUND)),) * 2), "not in order"),
    "a block of nothing listed a hundred times": (
        index_of(block(restarts=(0,) * 1_000), handles=(varint(0) + varint(4_004),) * 100),
        "listed more than once",
    ),
    "compressed in a way 2": (index_of(SOUND, kind=2), "compressed in a way 2"),
    "a first key that shares": (index_of(block(item(b"", HEADER, shared=1))), "reaches outside"),
    "a key that shares more than there is": (index_of(block(*ITEMS, item(b"a", b"", shared=2))), "reaches outside"),
    "a key that shares 2⁶³ bytes": (index_of(block(*ITEMS, item(b"a", b"", shared=2**63))), "reaches outside"),
    "a key past its block": (index_of(block(*ITEMS, item(b"u", b"", own=2**40))), "reaches outside"),
    "a value past its block": (index_of(block(*ITEMS, item(b"u", b"", length=2**40))), "reaches outside"),
    "a value that takes the restarts": (index_of(block(*ITEMS, item(b"u", b"", length=1))), "reaches outside"),
    "a length of eleven bytes": (index_of(block(b"\xff" * 10 + b"\x01")), "more than ten bytes"),
    "a length that is cut": (index_of(block(b"\x80")), "reaches outside|cut short"),
    "no restarts": (index_of(block(*ITEMS, restarts=())), "does not say where its entries begin"),
    "2³² - 1 restarts": (index_of(block(*ITEMS, count=2**32 - 1)), "does not say where its entries begin"),
    "a restart behind the block": (index_of(block(*ITEMS, restarts=(0, 10**6))), "says wrongly"),
    "a restart inside an entry": (index_of(block(*ITEMS, restarts=(0, SECOND + 1))), "says wrongly"),
    "a restart at a key that shares": (
        index_of(block(*ITEMS, item(b"a", tensor(2), shared=1), restarts=(0, SECOND + len(ITEMS[1])))),
        "says wrongly",
    ),
    "restarts backwards": (index_of(block(*ITEMS, restarts=(SECOND, 0))), "says wrongly"),
    "a restart twice": (index_of(block(*ITEMS, restarts=(0, 0))), "says wrongly"),
    "no restart at the first entry": (index_of(block(*ITEMS, restarts=(SECOND,))), "says wrongly"),
    "a block of three bytes": (index_of(b"\0\0\0"), "does not say where its entries begin"),
    "a key twice": (index_of(block(*ITEMS, ITEMS[1])), "not in order"),
    "keys backwards": (index_of(block(ITEMS[0], item(b"u", b""), item(b"t", b""))), "not in order"),
    "keys backwards in two blocks": (index_of(block(item(b"t", b"")), block(item(b"", HEADER))), "not in order"),
    "a compressed block that claims 4 GB": (index_of(varint(1 << 32) + literal(SOUND), kind=1), "claims to hold 4,294,967,296"),
    "a compressed block that claims 2⁶⁴ - 1 bytes": (index_of(varint(2**64 - 1) + literal(SOUND), kind=1), "claims to hold"),
    "a compressed block that copies what is not there": (index_of(b"\x0a" + b"\x05\x01", kind=1), "reaches outside"),
    "a shape of 2¹²⁰": (index_of(block(ITEMS[0], item(b"t", tensor(2**60, 2**60)))), "tensor t"),
    "an offset and a size that wrap around": (index_of(block(ITEMS[0], item(b"t", tensor(2, offset=2**64 - 4)))), "tensor t"),
}


def written(folder: Path, index: bytes, name: str = "a") -> Path:
    (folder / f"{name}.index").write_bytes(index)
    (folder / f"{name}.data-00000-of-00001").write_bytes(DATA)
    return folder / name


@pytest.mark.parametrize(
    "index", [index_of(SOUND), index_of(varint(len(SOUND)) + literal(SOUND), kind=1)], ids=["plain", "compressed"]
)
def test_the_index_that_the_hostile_ones_are_made_from_is_sound(tmp_path: Path, index: bytes):
    tensors = open_tensor_bundle(written(tmp_path, index)).tensors
    assert {name: found.read().tolist() for name, found in tensors.items()} == {"t": [0.0, 1.0]}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_index_is_an_error_that_names_it_and_what_is_wrong(tmp_path: Path, case: str):
    index, message = HOSTILE[case]
    with pytest.raises(CheckpointError, match=message) as problem:
        open_tensor_bundle(written(tmp_path, index))
    assert str(tmp_path / "a.index") in str(problem.value)


@needs_linux
def test_hostile_indices_take_less_than_200_mb_and_a_second(tmp_path: Path):
    for place, (index, _) in enumerate(HOSTILE.values()):
        written(tmp_path, index, f"hostile-{place}")
    written(tmp_path, b"", "zeros")
    os.truncate(tmp_path / "zeros.index", 1 << 40)
    written(tmp_path, index_of(SOUND), "sound-and-zeros")
    os.truncate(tmp_path / "sound-and-zeros.index", 1 << 40)
    os.mkfifo(tmp_path / "pipe.index")
    (tmp_path / "link-to-nothing.index").symlink_to("nothing")
    (tmp_path / "link-to-zeros.index").symlink_to("/dev/zero")
    (tmp_path / "folder.index").mkdir()
    for name in ("pipe", "folder", "link-to-zeros", "missing"):
        written(tmp_path, index_of(SOUND), f"data-{name}")
        (tmp_path / f"data-{name}.data-00000-of-00001").unlink()
    os.mkfifo(tmp_path / "data-pipe.data-00000-of-00001")
    (tmp_path / "data-folder.data-00000-of-00001").mkdir()
    (tmp_path / "data-link-to-zeros.data-00000-of-00001").symlink_to("/dev/zero")
    names = [str(path.with_suffix("")) for path in sorted(tmp_path.glob("*.index"))]
    assert outcomes(names, opener=OPENER) == dict.fromkeys(names, "refused")


@needs_linux
def test_keys_that_each_take_up_the_one_before_take_little_memory(tmp_path: Path):
    growing = (item(b"a", b"", shared=length) for length in range(25_000))
    path = written(tmp_path, index_of(block(ITEMS[0], *growing)))
    assert outcomes([path], opener=OPENER) == {str(path): "refused"}
    # Each block for itself is within the limit.
    blocks = [block(*(item(bytes([97 + number]), b"", shared=length) for length in range(5_000))) for number in range(20)]
    path = written(tmp_path, index_of(block(ITEMS[0]), *blocks))
    assert outcomes([path], opener=OPENER) == {str(path): "refused"}


@needs_linux
def test_very_many_slices_take_little_time(tmp_path: Path):
    count = 2_000
    whole = tensor(count, slices=b"".join(field(7, field(1, field(1, place) + field(2, 1))) for place in range(count)))
    keys = [b"\0t\0\1\1\1" + ordered(place) + ordered(1) for place in range(count)]
    items = [item(key, tensor(1, offset=4 * place, data=bytes(4))) for place, key in enumerate(keys)]
    path = written(tmp_path, index_of(block(ITEMS[0], *items, item(b"t", whole))))
    path.with_name("a.data-00000-of-00001").write_bytes(bytes(4 * count))
    assert outcomes([path], opener=OPENER, most_seconds=2) in ({str(path): "accepted"}, {str(path): "refused"})


@needs_linux
def test_a_tensor_of_a_terabyte_of_nothing_is_refused(tmp_path: Path):
    path = written(tmp_path, index_of(block(ITEMS[0], item(b"t", tensor(1 << 38)))))
    os.truncate(path.with_name("a.data-00000-of-00001"), 1 << 40)
    assert outcomes([path], opener=OPENER) == {str(path): "refused"}


def ordered(number: int) -> bytes:
    """A number below 8,192 as keys of slices have it."""
    return bytes([0x80 + number]) if number < 64 else (0xC000 + number).to_bytes(2, "big")


def test_a_partitioned_tensor_that_memory_does_not_hold_is_an_error(monkeypatch: pytest.MonkeyPatch):
    tensors = open_tensor_bundle(BUNDLES / "partitioned.ckpt").tensors.values()
    [tensor_, *_] = [tensor_ for tensor_ in tensors if isinstance(tensor_, SlicedTensor)]

    def empty(*arguments: object) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr("minibert.checkpoints.formats.stored_tensor.np.empty", empty)
    with pytest.raises(CheckpointError, match="bytes of memory left"):
        tensor_.read()


def test_more_tensors_than_any_model_has_are_refused(tmp_path: Path):
    many = [item(f"{number:05}".encode(), tensor(0)) for number in range(20_001)]
    with pytest.raises(CheckpointError, match="lists 20,001 tensors and slices"):
        open_tensor_bundle(written(tmp_path, index_of(block(ITEMS[0], *many))).with_suffix(""))
