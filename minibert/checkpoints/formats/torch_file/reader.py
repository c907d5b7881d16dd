"""`open_torch_file`: which kind of file it is, and where each tensor of its pickle lies in it."""

import math
from pathlib import Path
from typing import Any, BinaryIO

from minibert.checkpoints.formats.crc import crc32
from minibert.checkpoints.formats.file_checksum import FileChecksum
from minibert.checkpoints.formats.opening import opened
from minibert.checkpoints.formats.stored_tensor import MappedTensor, StoredTensor
from minibert.checkpoints.formats.torch_file.legacy_stream import MAGIC_PICKLE, read_stream
from minibert.checkpoints.formats.torch_file.pickle_tensors import MAX_PICKLE_BYTES, read_pickle
from minibert.checkpoints.formats.torch_file.pickle_values import Storage, Table, TensorLayout, described
from minibert.checkpoints.formats.torch_file.refusal import SAVE_AGAIN, SAVE_TENSORS_ALONE, TorchFileError
from minibert.checkpoints.formats.torch_file.zip_container import read_member, read_zip
from minibert.errors import CheckpointError, shown
from minibert.printable import listed

LOGICAL_BYTES_PER_BYTE = 4
MORE_LOGICAL_BYTES = 64_000_000
"""Tensors may share a storage or repeat elements of it, and then take more bytes than the file when they are copied. A
model's ties are a factor of 2 at most; the rest is for small files."""

TAR_MAGIC_BEGIN = 257

Place = tuple[int, FileChecksum | None]
"""Where a storage begins in the file, and the check of its bytes."""


def open_torch_file(path: Path) -> dict[str, StoredTensor]:
    """The tensors in a file of `torch.save`, by their names, without torch; no tensor is read.

    Tensors are float64, float32, float16, bfloat16, int64 to int8, uint8 or bool, in any shape and strides, each read as a view
    of the mapped file. They may share storages. Raises CheckpointError, naming the file, for anything but a table of tensors.
    """
    try:
        with opened(path, "a file of torch.save") as (file, size):
            value, places = _read_index(path, file, size)
            return _mapped_tensors(path, value, places, size)
    except TorchFileError as problem:
        raise CheckpointError(f"{path} is not read as a PyTorch checkpoint: {problem}") from None


def _read_index(path: Path, file: BinaryIO, size: int) -> tuple[Any, dict[str, Place]]:
    """The value of the file's pickle, and where its storages are. The kinds of file are told apart by their first bytes."""
    beginning = file.read(512)
    if beginning.startswith(b"PK\3\4"):
        return _read_zip_index(path, file, size)
    if beginning.startswith(MAGIC_PICKLE):
        value, _, starts = read_stream(file, size)
        return value, {key: (start, None) for key, start in starts.items()}
    raise _of_another_kind(beginning, size)


def _read_zip_index(path: Path, file: BinaryIO, size: int) -> tuple[Any, dict[str, Place]]:
    container = read_zip(file, size)
    data = read_member(file, container.pickle, MAX_PICKLE_BYTES)
    value, end, storages = read_pickle(data, storage_fields=5)
    if end != len(data):
        raise TorchFileError(f"{len(data) - end:,} of the {len(data):,} bytes of its pickle are behind its end")
    for key in storages.keys() ^ container.storages.keys():
        where = "its pickle" if key in storages else "its zip"
        raise TorchFileError(f"storage {shown(key)} is only in {where}")
    places: dict[str, Place] = {}
    for key, member in container.storages.items():
        storage = storages[key]
        if member.size != storage.bytes:
            raise TorchFileError(
                f"storage {shown(key)} has {member.size:,} bytes, but {storage.elements:,} elements of {storage.dtype} "
                f"take {storage.bytes:,}"
            )
        check = FileChecksum(path, member.start, member.start + member.size, crc32, member.crc, f"member {shown(member.name)}")
        places[key] = (member.start, check)
    return value, places


def _of_another_kind(beginning: bytes, size: int) -> TorchFileError:
    if beginning[TAR_MAGIC_BEGIN:].startswith(b"ustar"):
        return TorchFileError("it is a tar file, as torch.save wrote before torch 0.1.10", SAVE_AGAIN)
    if beginning.startswith(b"version https://git-lfs"):
        return TorchFileError("it is a pointer of Git LFS, not the file itself", "fetch the file with `git lfs pull`")
    if beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") <= size:
        return TorchFileError("it is a safetensors file", "give it a name that ends in .safetensors")
    if beginning.startswith(b"\x80"):
        return TorchFileError("it is a pickle that torch.save did not write", SAVE_TENSORS_ALONE)
    return TorchFileError(f"it begins with {shown(beginning[:16])}; expected a zip file or the stream of older versions")


def _mapped_tensors(path: Path, value: Any, places: dict[str, Place], size: int) -> dict[str, StoredTensor]:
    if not isinstance(value, Table):
        raise TorchFileError(f"it holds {described(value)}; expected a dict of tensors by their names", SAVE_TENSORS_ALONE)
    tensors: dict[str, StoredTensor] = {}
    logical_bytes = 0
    for name, layout in value.items.items():
        if not isinstance(layout, TensorLayout):
            raise TorchFileError(
                f"its key {shown(name)} holds {described(layout)}, where tensors by their names are expected; "
                f"its keys are {listed([shown(key) for key in value.items])}",
                "save the table of tensors alone, as torch.save(model.state_dict(), path) does",
            )
        tensors[name] = _mapped(path, layout, layout.storage, *places[layout.storage.key])
        logical_bytes += math.prod(layout.shape) * layout.storage.dtype.itemsize
    most = LOGICAL_BYTES_PER_BYTE * size + MORE_LOGICAL_BYTES
    if logical_bytes > most:
        raise TorchFileError(
            f"its tensors take {logical_bytes:,} bytes when copied, in a file of {size:,}; at most {most:,} are read", SAVE_AGAIN
        )
    return tensors


def _mapped(path: Path, layout: TensorLayout, storage: Storage, start: int, check: FileChecksum | None) -> MappedTensor:
    offset = start + layout.offset * storage.dtype.itemsize
    return MappedTensor(path, storage.dtype, layout.shape, offset, layout.strides, check)
