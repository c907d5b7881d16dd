"""Reading flax's msgpack files: a walk over the headers, then tensors as views of the memory-mapped file.

`layout.py` says what is in the file. The walk seeks past every array's values, so that it holds nothing but names and shapes;
no count or length in the file is used before it is compared with the bytes that remain.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np

from minibert.checkpoints.formats.flax_msgpack.layout import (
    ARRAY_EXTENSION,
    CHUNKED,
    COMPLEX_EXTENSION,
    MAX_AXES_TOGETHER,
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_VALUES,
    SCALAR_EXTENSION,
)
from minibert.checkpoints.formats.opening import opened
from minibert.checkpoints.formats.stored_tensor import (
    MAX_AXES,
    MAX_ELEMENTS,
    STORED_DTYPES,
    MappedTensor,
    StoredTensor,
    new_array,
)
from minibert.errors import CheckpointError, shown


@dataclass(frozen=True)
class ChunkedTensor:
    """A tensor in flat pieces: end to end they are its values in C order."""

    shape: tuple[int, ...]
    chunks: tuple[MappedTensor, ...]

    @property
    def path(self) -> Path:
        """The file that holds it."""
        return self.chunks[0].path

    @property
    def dtype(self) -> np.dtype[Any]:
        """As it is stored."""
        return self.chunks[0].dtype

    def read(self) -> np.ndarray:
        """The pieces put together in memory. Raises CheckpointError where memory does not hold them."""
        values = new_array(self.path, (math.prod(self.shape),), self.dtype)
        reached = 0
        for chunk in self.chunks:
            values[reached : reached + chunk.shape[0]] = chunk.read()
            reached += chunk.shape[0]
        return values.reshape(self.shape)


def open_flax_msgpack(path: Path) -> dict[str, StoredTensor]:
    """The tensors of `path` by their names, `encoder/layer/0/attention/self/query/kernel`; no values are read.

    Raises CheckpointError, naming the file, for anything but a sound file of nested maps of arrays of the known dtypes.
    """
    with opened(path, "a msgpack file of flax") as (file, size):
        walk = _Walk(path, file, size)
        tree = walk.value("", 0)
    if not isinstance(tree, dict):
        walk.refuse("it begins with an array or a number, where the map of all names is expected")
    if walk.position != size:
        walk.refuse(f"its map of names ends at byte {walk.position:,}, but the file has {size:,} bytes")
    tensors: dict[str, StoredTensor] = {}
    _flatten(tree, "", tensors, path)
    return tensors


def _flatten(tree: dict[str, Any], name: str, tensors: dict[str, StoredTensor], path: Path) -> None:
    for key, value in tree.items():
        if isinstance(value, dict):
            _flatten(value, _join(name, key), tensors, path)
        elif isinstance(value, int):
            raise CheckpointError(
                f"{path} holds the plain value {value} under {shown(_join(name, key))}, where a tensor is expected; "
                "save the parameters of the model alone, without the state of its training"
            )
        else:
            tensors[_join(name, key)] = value


def _join(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key


def _under(name: str) -> str:
    return f"under {shown(name)}" if name else "at its top"


class _Header(NamedTuple):
    """How a msgpack value begins: its kind, and its count, its length in bytes, or the number that it is."""

    kind: str
    number: int


# A first byte -> the kind, and of how many bytes the number after it is (0: there is none).
_KINDS: dict[int, tuple[str, int]] = {
    0xC0: ("nothing", 0),
    0xC1: ("no value at all", 0),
    0xC2: ("false", 0),
    0xC3: ("true", 0),
    **{0xC4 + index: ("bytes", 1 << index) for index in range(3)},
    **{0xC7 + index: ("extension", 1 << index) for index in range(3)},
    0xCA: ("floating-point number", 4),
    0xCB: ("floating-point number", 8),
    **{0xCC + index: ("whole number", 1 << index) for index in range(4)},
    **{0xD0 + index: ("signed number", 1 << index) for index in range(4)},
    **{0xD4 + index: ("short extension", 0) for index in range(5)},
    **{0xD9 + index: ("text", 1 << index) for index in range(3)},
    **{0xDC + index: ("list", 2 << index) for index in range(2)},
    **{0xDE + index: ("map", 2 << index) for index in range(2)},
}


class _Walk:
    """One pass over the file's headers, from its first byte on."""

    def __init__(self, path: Path, file: IO[bytes], size: int):
        self.path, self.file = path, file
        self.position = 0
        self.end = size
        """No byte from here on belongs to the value that is being read."""
        self.began = 0
        """The first byte of the header that was read last."""
        self.values = 0
        self.axes = 0

    def refuse(self, reason: str) -> NoReturn:
        raise CheckpointError(f"{self.path} is not a sound msgpack file of flax: {reason}; fetch or copy it again")

    def value(self, name: str, depth: int) -> Any:
        """The value at this position: a map's content, an array's tensor, or a whole number or `true`.

        The last two stand inside the map of an array in chunks; `_flatten` refuses what is left of them.
        """
        self.values += 1
        if self.values > MAX_VALUES:
            self.refuse(f"it holds over {MAX_VALUES:,} values; a model of this kind has under a thousand")
        if depth > MAX_DEPTH:
            self.refuse(f"its maps are nested deeper than {MAX_DEPTH} levels")
        kind, number = self.header()
        if kind == "map":
            return self.map(number, name, depth)
        if kind == "extension":
            return self.array(number, name)
        if kind == "whole number":
            return number
        if kind == "true":
            return True
        raise CheckpointError(
            f"{self.path} holds a msgpack value of kind {shown(kind)} {_under(name)}, at byte {self.began:,}, where a map or an "
            "array is expected; save the parameters of the model alone with flax.serialization.to_bytes, or fetch the file again"
        )

    def map(self, count: int, name: str, depth: int) -> Any:
        # An entry takes two bytes at least.
        if 2 * count > self.end - self.position:
            self.refuse(f"the map {_under(name)} claims {count:,} entries, with {self.end - self.position:,} bytes to come")
        entries: dict[str, Any] = {}
        for _ in range(count):
            key = self.key(name)
            if key in entries:
                self.refuse(f"the name {shown(_join(name, key))} is given twice")
            entries[key] = self.value(_join(name, key), depth + 1)
        return self.chunked(entries, name) if CHUNKED in entries else entries

    def key(self, name: str) -> str:
        kind, length = self.header()
        if kind != "text":
            self.refuse(f"a name {_under(name)} is of kind {shown(kind)}, at byte {self.began:,}; expected text")
        if length == 0 or len(_join(name, "").encode()) + length > MAX_NAME_BYTES:
            self.refuse(
                f"a name {_under(name)} has {length:,} bytes, at byte {self.began:,}; expected 1 to {MAX_NAME_BYTES} in all"
            )
        try:
            key = self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            self.refuse(f"a name {_under(name)} is not UTF-8, at byte {self.began:,}")
        if "/" in key:
            self.refuse(f"the name {shown(key)} {_under(name)} has a '/', which separates names")
        return key

    def array(self, length: int, name: str) -> MappedTensor:
        """The array in an extension of `length` bytes, whose type comes next."""
        extension = self.take(1)[0]
        if extension == COMPLEX_EXTENSION:
            self.refuse(f"{shown(name)} is a complex number; known are arrays of {', '.join(STORED_DTYPES)}")
        if extension not in (ARRAY_EXTENSION, SCALAR_EXTENSION):
            self.refuse(f"{shown(name)} is a msgpack extension of type {extension}, at byte {self.began:,}; known are arrays")
        if length > self.end - self.position:
            self.refuse(f"{shown(name)} claims {length:,} bytes, with {self.end - self.position:,} to come")
        outer, self.end = self.end, self.position + length
        if self.number("list", name) != 3:
            self.refuse(f"{shown(name)} is not the three values shape, dtype and bytes")
        axes = self.number("list", name)
        if axes > MAX_AXES or (extension == SCALAR_EXTENSION and axes):
            self.refuse(f"{shown(name)} has {axes:,} axes; expected {MAX_AXES} at most in an array, and none in a scalar")
        self.axes += axes
        if self.axes > MAX_AXES_TOGETHER:
            self.refuse(f"its arrays have over {MAX_AXES_TOGETHER:,} axes together; a model of this kind has under two thousand")
        shape = tuple(self.number("whole number", name) for _ in range(axes))
        self.check_shape(shape, name)
        dtype = self.dtype(name)
        stored = self.number("bytes", name)
        # math.prod is exact where NumPy's product would wrap around at 2^64.
        needed = math.prod(shape) * dtype.itemsize
        if stored != needed:
            self.refuse(f"{shown(name)} has {stored:,} bytes, but shape {shape} of {dtype.name} needs {needed:,}")
        if self.position + stored != self.end:
            self.refuse(f"{shown(name)} has {self.end - self.position:,} bytes for {stored:,} bytes of values")
        tensor = MappedTensor(self.path, dtype, shape, self.position)
        self.position, self.end = self.end, outer
        self.file.seek(self.position)
        return tensor

    def dtype(self, name: str) -> np.dtype[Any]:
        length = self.number("text", name)
        found = self.take(min(length, 100)).decode("latin-1")
        if found not in STORED_DTYPES or length != len(found):
            self.refuse(f"{shown(name)} has dtype {shown(found)}; known are {', '.join(STORED_DTYPES)}")
        return STORED_DTYPES[found]

    def check_shape(self, shape: tuple[int, ...], name: str) -> None:
        if math.prod(length or 1 for length in shape) >= MAX_ELEMENTS:
            self.refuse(f"{shown(name)} has shape {shape}, which no memory holds")

    def chunked(self, entries: dict[str, Any], name: str) -> ChunkedTensor:
        """The tensor that a map with the chunked array's mark stands for."""

        def numbered(key: str, kind: type) -> tuple[Any, ...]:
            values = entries[key]
            if not isinstance(values, dict) or set(values) != {str(index) for index in range(len(values))}:
                self.refuse(f"the {key} of {shown(name)} is not a map of the numbers from 0 up")
            if not all(type(value) is kind for value in values.values()):
                self.refuse(
                    f"the {key} of {shown(name)} has a value that is no {'array' if kind is MappedTensor else 'whole number'}"
                )
            return tuple(values[str(index)] for index in range(len(values)))

        if set(entries) != {CHUNKED, "shape", "chunks"} or entries[CHUNKED] is not True:
            self.refuse(
                f"{shown(name)} has the mark of an array in chunks, but is {shown(sorted(entries))}, not mark, shape, chunks"
            )
        shape, chunks = numbered("shape", int), numbered("chunks", MappedTensor)
        if len(shape) > MAX_AXES:
            self.refuse(f"{shown(name)} has {len(shape):,} axes; expected {MAX_AXES} at most")
        self.check_shape(shape, name)
        if not chunks or any(len(chunk.shape) != 1 or chunk.dtype != chunks[0].dtype for chunk in chunks):
            self.refuse(f"the chunks of {shown(name)} are not flat arrays of one dtype")
        stored = sum(chunk.shape[0] for chunk in chunks)
        if stored != math.prod(shape):
            self.refuse(f"the chunks of {shown(name)} have {stored:,} values, but shape {shape} needs {math.prod(shape):,}")
        return ChunkedTensor(shape, chunks)

    def number(self, kind: str, name: str) -> int:
        """The count, length or number of the value at this position, which has to be of this kind."""
        header = self.header()
        if header.kind != kind:
            self.refuse(
                f"{shown(name)} has a value of kind {shown(header.kind)} at byte {self.began:,}, where a {kind} is expected"
            )
        return header.number

    def header(self) -> _Header:
        self.began = self.position
        first = self.take(1)[0]
        if first < 0x80:
            return _Header("whole number", first)
        if first < 0x90:
            return _Header("map", first & 0x0F)
        if first < 0xA0:
            return _Header("list", first & 0x0F)
        if first < 0xC0:
            return _Header("text", first & 0x1F)
        if first >= 0xE0:
            return _Header("negative number", first - 0x100)
        kind, width = _KINDS[first]
        if kind == "short extension":
            return _Header("extension", 1 << (first - 0xD4))
        number = int.from_bytes(self.take(width), "big", signed=kind == "signed number")
        if kind == "signed number":
            kind = "whole number" if number >= 0 else "negative number"
        return _Header(kind, number)

    def take(self, count: int) -> bytes:
        if count > self.end - self.position:
            self.refuse(f"it is cut short: byte {self.end:,} should be followed by {count - self.end + self.position:,} more")
        taken = self.file.read(count)
        if len(taken) != count:
            self.refuse(f"it became shorter while it was read, at byte {self.position:,}")
        self.position += count
        return taken
