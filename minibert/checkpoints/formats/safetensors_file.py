"""Reading safetensors files ourselves: a checked header, then tensors as views of the memory-mapped file.

The format: eight bytes of header length (little-endian), a JSON header `name -> {dtype, shape, data_offsets}`, then one
buffer. Every byte of the buffer must belong to exactly one tensor, so that no tensor aliases another and nothing hides.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.formats.opening import opened
from minibert.checkpoints.formats.stored_tensor import MAX_AXES, MAX_ELEMENTS, STORED_DTYPES, MappedTensor
from minibert.errors import CheckpointError, MinibertError, shown
from minibert.strict_json import parse_json_object

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_HEADER_BYTES = 2_000_000
"""BERT-large's header takes 0.05 MB. The format allows 100 MB, which would take gigabytes of memory and a minute to parse."""

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": STORED_DTYPES["float64"],
    "F32": STORED_DTYPES["float32"],
    "F16": STORED_DTYPES["float16"],
    "BF16": STORED_DTYPES["bfloat16"],
    "I64": STORED_DTYPES["int64"],
    "I32": STORED_DTYPES["int32"],
    "I16": STORED_DTYPES["int16"],
    "I8": STORED_DTYPES["int8"],
    "U64": STORED_DTYPES["uint64"],
    "U32": STORED_DTYPES["uint32"],
    "U16": STORED_DTYPES["uint16"],
    "U8": STORED_DTYPES["uint8"],
    "BOOL": STORED_DTYPES["bool"],
}


@dataclass(frozen=True)
class SafetensorsFile:
    """The checked header of one safetensors file."""

    path: Path
    tensors: dict[str, MappedTensor]
    metadata: dict[str, str]


def open_safetensors(path: Path, *, error: type[MinibertError] = CheckpointError) -> SafetensorsFile:
    """The header of `path`; no tensor is read. Raises `error`, naming the file, for anything but a sound safetensors file."""

    def refuse(reason: str) -> MinibertError:
        return error(f"{path} is not a sound safetensors file: {reason}; fetch or copy it again")

    size, start, raw_header = _read_header(path, refuse, error)
    header = parse_json_object(raw_header, f"the header of {path}", error=error)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refuse("its __metadata__ is not a table of strings")
    tensors: dict[str, MappedTensor] = {}
    ranges: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        dtype, shape, begin, end = _check_entry(name, entry, refuse)
        tensors[name] = MappedTensor(path, dtype, shape, start + begin)
        ranges.append((begin, end, name))
    reached, before = 0, "the start of the buffer"
    for begin, end, name in sorted(ranges):
        if begin != reached:
            what = "overlaps" if begin < reached else "leaves a hole after"
            raise refuse(f"tensor {shown(name)} at bytes {begin:,} to {end:,} {what} {before}, which ends at {reached:,}")
        reached, before = end, f"tensor {shown(name)}"
    if reached != size - start:
        kind = "is cut short" if reached > size - start else "has bytes that belong to no tensor"
        raise refuse(f"it {kind}: its tensors take {reached:,} bytes, the file holds {size - start:,} after the header")
    return SafetensorsFile(path, tensors, metadata)


def _read_header(path: Path, refuse: Any, error: type[MinibertError]) -> tuple[int, int, bytes]:
    """The file's size, the first byte of the buffer, and the header's bytes."""
    with opened(path, "a safetensors file", error=error) as (file, size):
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length == 0:
            raise refuse(f"it has {size} bytes and a header of {length if size >= 8 else 0}")
        if length > MAX_HEADER_BYTES or 8 + length > size:
            limit = min(MAX_HEADER_BYTES, size - 8)
            raise refuse(f"it claims a header of {length:,} bytes, of {limit:,} at most in a file of {size:,}")
        header = file.read(length)
    if not header.startswith(b"{"):
        raise refuse("its header does not start with '{'")
    return size, 8 + length, header


def _check_entry(name: str, entry: Any, refuse: Any) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse(f"the entry of tensor {shown(name)} is not exactly dtype, shape and data_offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise refuse(f"tensor {shown(name)} has dtype {shown(entry['dtype'])}; known are {', '.join(DTYPES)}")
    dtype, shape, offsets = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if not _whole_numbers(shape) or len(shape) > MAX_AXES:
        raise refuse(f"tensor {shown(name)} has shape {str(shape)[:80]}; expected at most {MAX_AXES} whole numbers from 0 up")
    if math.prod(length or 1 for length in shape) >= MAX_ELEMENTS:
        raise refuse(f"tensor {shown(name)} has shape {str(shape)[:80]}, which no memory holds")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise refuse(f"tensor {shown(name)} has data_offsets {str(offsets)[:80]}; expected two whole numbers from 0 up")
    begin, end = offsets
    # math.prod is exact where NumPy's product would wrap around at 2^64.
    needed = math.prod(shape) * dtype.itemsize
    if end - begin != needed:
        raise refuse(f"tensor {shown(name)} spans {end - begin:,} bytes, but shape {shape} of {entry['dtype']} needs {needed:,}")
    return dtype, tuple(shape), begin, end


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
