"""What the pickle of a PyTorch file is made of while it is read: inert values, none of which can do anything.

Nothing goes into a list or table once something else holds it. So no value holds itself, and a value's depth is known for
good when it is put somewhere. Python's pickler keeps this order anyway: it fills a container before it puts it anywhere.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from minibert.checkpoints.formats.stored_tensor import STORED_DTYPES
from minibert.checkpoints.formats.torch_file.refusal import TorchFileError
from minibert.errors import shown

MAX_DEPTH = 64
"""Of tables, lists and tuples in one another. A state dict with its metadata takes 4."""


class Call(Enum):
    """The functions that the pickle of a state dict calls. They are names to us: what they mean is done by our own code."""

    REBUILD_TENSOR = "torch._utils._rebuild_tensor"
    REBUILD_TENSOR_V2 = "torch._utils._rebuild_tensor_v2"
    REBUILD_PARAMETER = "torch._utils._rebuild_parameter"
    ORDERED_DICT = "collections.OrderedDict"


@dataclass(frozen=True, slots=True)
class StorageType:
    """The class of a storage, which says the dtype of its elements."""

    name: str
    dtype: np.dtype[Any]


GLOBALS: dict[tuple[str, str], Call | StorageType] = {
    ("torch._utils", "_rebuild_tensor"): Call.REBUILD_TENSOR,  # until torch 0.3
    ("torch._utils", "_rebuild_tensor_v2"): Call.REBUILD_TENSOR_V2,
    ("torch._utils", "_rebuild_parameter"): Call.REBUILD_PARAMETER,
    ("collections", "OrderedDict"): Call.ORDERED_DICT,
} | {
    ("torch", name): StorageType(name, dtype)
    for name, dtype in {
        "DoubleStorage": STORED_DTYPES["float64"],
        "FloatStorage": STORED_DTYPES["float32"],
        "HalfStorage": STORED_DTYPES["float16"],
        "BFloat16Storage": STORED_DTYPES["bfloat16"],
        "LongStorage": STORED_DTYPES["int64"],
        "IntStorage": STORED_DTYPES["int32"],
        "ShortStorage": STORED_DTYPES["int16"],
        "CharStorage": STORED_DTYPES["int8"],
        "ByteStorage": STORED_DTYPES["uint8"],
        "BoolStorage": STORED_DTYPES["bool"],
    }.items()
}
"""Every name that a pickle may give, as module and name, exactly."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements elsewhere in the file, by its key there."""

    key: str
    dtype: np.dtype[Any]
    elements: int

    @property
    def bytes(self) -> int:
        """How many bytes the elements take."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """How a tensor lies in its storage; all of it is inside."""

    storage: Storage
    offset: int
    """In elements."""
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    """In elements; None if the last axis moves fastest."""


class Group:
    """A tuple or a list."""

    __slots__ = ("depth", "held", "items", "kind")

    def __init__(self, kind: str):
        self.kind, self.depth, self.held = kind, 1, False
        self.items: list[Any] = []

    def append(self, item: Any) -> None:
        """Puts `item` at the end. Raises TorchFileError if that would change a held value or nest too deep."""
        self.depth = max(self.depth, 1 + _depth_in(self, item))
        self.items.append(item)


class Table:
    """A dict or an OrderedDict, with texts as keys."""

    __slots__ = ("depth", "held", "items", "ordered")

    def __init__(self, *, ordered: bool):
        self.ordered, self.depth, self.held = ordered, 1, False
        self.items: dict[str, Any] = {}

    def put(self, key: Any, item: Any) -> None:
        """Puts `item` at `key`. Raises TorchFileError as `Group.append` does, and for a key that is no text or taken."""
        if type(key) is not str:
            raise TorchFileError(f"a dict in its pickle has {described(key)} as a key; expected texts")
        if key in self.items:
            raise TorchFileError(f"a dict in its pickle gives the key {shown(key)} twice")
        self.depth = max(self.depth, 1 + _depth_in(self, item))
        self.items[key] = item


def _depth_in(holder: Group | Table, item: Any) -> int:
    """The depth of `item`, which `holder` now holds."""
    depth = 0
    if isinstance(item, Group | Table):
        item.held = True
        depth = item.depth
    if depth >= MAX_DEPTH:
        raise TorchFileError(f"the values in its pickle are nested more than {MAX_DEPTH} deep")
    if holder.held:
        raise TorchFileError("a value in its pickle holds itself, or is changed after another value holds it")
    return depth


def described(value: Any) -> str:
    """What kind of value it is; never the value, which may be endless to write out."""
    match value:
        case Group():
            return f"a {value.kind}"
        case Table():
            return "an OrderedDict" if value.ordered else "a dict"
        case Call():
            return f"the function {value.value}"
        case StorageType():
            return f"the class torch.{value.name}"
        case Storage():
            return "a storage"
        case TensorLayout():
            return "a tensor"
        case str():
            return "a text"
        case None:
            return "None"
    return f"a value of type {type(value).__name__}"
