"""Writing safetensors files, whole or sharded, one tensor at a time.

One file is byte for byte what the safetensors library writes: wide dtypes first and then by name, so that every tensor lies at a
multiple of its values' width, after a header that ends at a multiple of 8 bytes. Shards are divided, named and listed as
huggingface_hub does it (`split_state_dict_into_shards_factory`): in the given order, a tensor over the limit alone.
"""

import contextlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from minibert.atomic_write import write_atomically
from minibert.checkpoints.formats.safetensors_file import DTYPES, INDEX_FILE, MAX_HEADER_BYTES, SINGLE_FILE
from minibert.checkpoints.formats.stored_tensor import MAX_AXES
from minibert.checkpoints.formats.tensor_sources import Tensors, TensorSource, check_dtypes, flat_values, write_values
from minibert.errors import CheckpointError, shown

MAX_SHARDS = 99_999  # their numbers have five digits

_CODES = {dtype.name: code for code, dtype in DTYPES.items()}
_ORDER = ("U64", "I64", "F64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16", "I8", "U8", "BOOL")


def write_safetensors(path: Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    """Write `tensors` and the metadata, if there is any, into `path`, which is there whole or not at all.

    Raises CheckpointError for a name or dtype that the format does not hold, for a tensor that cannot be read, and where nothing
    can be written.
    """
    header, order = _header(path, tensors, metadata)
    with write_atomically(path, error=CheckpointError) as file:
        _write(file, header, order, tensors)


def write_sharded_safetensors(folder: Path, tensors: Tensors, metadata: dict[str, str], max_shard_bytes: int) -> list[Path]:
    """Write `tensors` into `folder` as `model.safetensors`, or over `max_shard_bytes` of values as shards and their index.

    Returns the files written, the index last. All of them are there or none: each is given its name once every one is complete.

    Raises CheckpointError as `write_safetensors` does, and for a folder that already holds weights divided the other way, which a
    reader could take for these.
    """
    shards = _divide(tensors, max_shard_bytes)
    if len(shards) > MAX_SHARDS:
        raise CheckpointError(f"{folder} would hold {len(shards):,} shards, of {MAX_SHARDS:,} at most; allow more bytes for each")
    other = folder / (SINGLE_FILE if len(shards) > 1 else INDEX_FILE)
    if other.exists():
        raise CheckpointError(
            f"{other} is there and could be read in place of the new weights; remove it or choose another folder"
        )
    if len(shards) == 1:
        write_safetensors(folder / SINGLE_FILE, tensors, metadata)
        return [folder / SINGLE_FILE]
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    prepared = [(*_header(folder / name, shard, metadata), shard) for name, shard in zip(names, shards, strict=True)]
    index = {
        "metadata": {"total_size": sum(_size(source) for source in tensors.values())},
        "weight_map": {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard},
    }
    with contextlib.ExitStack() as files:
        # The file that is opened first gets its name last: the index, which makes the shards count.
        index_file = files.enter_context(write_atomically(folder / INDEX_FILE, error=CheckpointError))
        index_file.write((json.dumps(index, indent=2, sort_keys=True) + "\n").encode())
        for name, (header, order, shard) in zip(names, prepared, strict=True):
            _write(files.enter_context(write_atomically(folder / name, error=CheckpointError)), header, order, shard)
    return [folder / name for name in [*names, INDEX_FILE]]


def _divide(tensors: Tensors, max_shard_bytes: int) -> list[Tensors]:
    """The tensors in shards, one at least."""
    shards: list[Tensors] = []
    current: dict[str, np.ndarray | TensorSource] = {}
    current_bytes = 0
    for name, source in tensors.items():
        size = _size(source)
        if size > max_shard_bytes:
            shards.append({name: source})
            continue
        if current_bytes + size > max_shard_bytes:
            shards.append(current)
            current, current_bytes = {}, 0
        current[name] = source
        current_bytes += size
    if current or not shards:
        shards.append(current)
    return shards


def _header(path: Path, tensors: Tensors, metadata: dict[str, str]) -> tuple[bytes, list[str]]:
    """The file's bytes before the values, and the order in which the tensors' values follow."""
    check_dtypes(path, tensors, _CODES)
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    order = sorted(tensors, key=lambda name: (_ORDER.index(_CODES[tensors[name].dtype.name]), name))
    end = 0
    for name in order:
        source = tensors[name]
        if name == "__metadata__" or len(source.shape) > MAX_AXES:
            raise CheckpointError(
                f"{path} cannot hold tensor {shown(name)} of {len(source.shape)} axes: the name '__metadata__' is taken, "
                f"and {MAX_AXES} axes are the limit; rename or reshape it"
            )
        begin, end = end, end + _size(source)
        entries[name] = {"dtype": _CODES[source.dtype.name], "shape": list(source.shape), "data_offsets": [begin, end]}
    try:
        header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        raise CheckpointError(f"{path} cannot hold a name or metadata with half of a surrogate pair; rename it") from None
    header += b" " * (-len(header) % 8)
    if len(header) > MAX_HEADER_BYTES:
        raise CheckpointError(f"{path} would have a header of {len(header):,} bytes; minibert reads {MAX_HEADER_BYTES:,} at most")
    return len(header).to_bytes(8, "little") + header, order


def _write(file: IO[bytes], header: bytes, order: Iterable[str], tensors: Tensors) -> None:
    file.write(header)
    for name in order:
        write_values(file, flat_values(name, tensors[name]))


def _size(source: np.ndarray | TensorSource) -> int:
    return math.prod(source.shape) * source.dtype.itemsize
