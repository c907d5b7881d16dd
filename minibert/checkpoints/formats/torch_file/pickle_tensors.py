"""A closed reader of the pickles in PyTorch files: our own loop over the opcodes, without Python's `pickle`.

A pickle is a program for a small stack machine. Ours knows the opcodes that pickle protocol 2 needs for a state dict. A name
of a class or function becomes an inert token if it is one of `GLOBALS`, and is refused otherwise; calls of these tokens are done
by `tensor_layout`. Each operation takes at least one byte and makes at most one value, operations are counted, and every length
is held against the bytes that remain, so that time and memory are bounded by the file.
"""

import struct
from typing import Any

from minibert.checkpoints.formats.torch_file.pickle_values import (
    GLOBALS,
    Call,
    Group,
    Storage,
    StorageType,
    Table,
    described,
)
from minibert.checkpoints.formats.torch_file.refusal import SAVE_AGAIN, SAVE_TENSORS_ALONE, TorchFileError
from minibert.checkpoints.formats.torch_file.tensor_layout import MAX_INT64, result_of
from minibert.errors import shown

MAX_PICKLE_BYTES = 8_000_000
"""BERT-large's pickle takes 0.06 MB."""
MAX_OPERATIONS = 250_000
"""A tensor takes about 35."""
MAX_NAME_BYTES = 200


def read_pickle(data: bytes, position: int = 0, *, storage_fields: int = 0) -> tuple[Any, int, dict[str, Storage]]:
    """One pickle that begins at `position`: its value, the position behind it, and the storages it names, by their keys.

    `storage_fields` is of how many parts the name of a storage consists: 5 in the zip format, 6 in the stream, and 0 where no
    storage may be. Raises TorchFileError for anything but what torch.save writes for tables of tensors.
    """
    machine = _Machine(data, position, storage_fields)
    value = machine.run()
    return value, machine.position, machine.storages


class _Machine:
    def __init__(self, data: bytes, position: int, storage_fields: int):
        self.data, self.position, self.storage_fields = data, position, storage_fields
        self.storages: dict[str, Storage] = {}
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        if self.take(1) != b"\x80" or self.take(1) != b"\x02":
            raise TorchFileError("its pickle is not of protocol 2, the one that torch.save writes by itself", SAVE_AGAIN)
        for _ in range(MAX_OPERATIONS):
            code = self.take(1)[0]
            if code == STOP:
                value = self.pop()
                if self.stack or self.marks:
                    raise TorchFileError("its pickle leaves values behind that belong to nothing")
                return value
            operation = OPERATIONS.get(code)
            if operation is None:
                raise TorchFileError(
                    f"its pickle uses the operation {REFUSED.get(code, f'0x{code:02x}')}, which tables of tensors do not need",
                    SAVE_TENSORS_ALONE,
                )
            operation(self)
        raise TorchFileError(f"its pickle takes more than {MAX_OPERATIONS:,} operations", SAVE_TENSORS_ALONE)

    # --- the bytes of the pickle ---

    def take(self, count: int) -> bytes:
        taken = self.data[self.position : self.position + count]
        if len(taken) != count:
            raise TorchFileError("its pickle is cut short")
        self.position += count
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, self.position + MAX_NAME_BYTES)
        if end < 0:
            raise TorchFileError("its pickle gives a name that is too long or does not end")
        return _text(self.take(end + 1 - self.position)[:-1], "ascii")

    # --- the stack ---

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise TorchFileError("its pickle takes a value where there is none")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise TorchFileError("its pickle goes back to a mark that it has not set")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_tuple(self, values: list[Any]) -> None:
        group = Group("tuple")
        for value in values:
            group.append(value)
        self.stack.append(group)

    # --- what takes more than a line ---

    def push_long(self) -> None:
        length = self.number("<B")
        if length > 16:
            raise TorchFileError(f"its pickle holds a number of {length} bytes; the longest that torch.save writes has 10")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def remember(self, index: int) -> None:
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise TorchFileError(f"its pickle recalls a value {index:,} that it has not kept")
        self.push(self.memo[index])

    def append(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, Group) or target.kind != "list":
            raise TorchFileError(f"its pickle appends to {described(target)}; expected a list")
        for item in items:
            target.append(item)

    def put(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, Table) or len(items) % 2:
            raise TorchFileError(f"its pickle sets items of {described(target)}; expected a dict, and a value for each key")
        for key, item in zip(items[::2], items[1::2], strict=True):
            target.put(key, item)

    def find_global(self) -> None:
        module, name = self.line(), self.line()
        found = GLOBALS.get((module, name))
        if found is None:
            raise TorchFileError(
                f"its pickle names {shown(f'{module}.{name}')}, which is not one of the few names that plain tensors of floating "
                "point, whole numbers or bool need",
                SAVE_TENSORS_ALONE,
            )
        self.push(found)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Call) or not isinstance(arguments, Group) or arguments.kind != "tuple":
            raise TorchFileError(f"its pickle calls {described(function)} with {described(arguments)}", SAVE_TENSORS_ALONE)
        self.push(result_of(function, arguments.items))

    def set_state(self) -> None:
        """Attributes of an OrderedDict, such as the `_metadata` of a state dict: thrown away."""
        state, target = self.pop(), self.top()
        if not isinstance(target, Table) or not target.ordered or not isinstance(state, Table):
            raise TorchFileError(
                f"its pickle gives {described(target)} a state; expected attributes of an OrderedDict", SAVE_TENSORS_ALONE
            )

    def find_storage(self) -> None:
        name = self.pop()
        parts = name.items if isinstance(name, Group) and name.kind == "tuple" else []
        match parts:
            case ["storage", StorageType(dtype=dtype), str(key), str(), int(elements), *views] if (
                len(parts) == self.storage_fields
            ):
                if views not in ([], [None]):
                    raise TorchFileError("a storage in it is a part of another one, which is not implemented", SAVE_AGAIN)
                if type(elements) is not int or not 0 <= elements <= MAX_INT64:
                    raise TorchFileError(
                        f"storage {shown(key)} has {shown(elements)} elements; expected a whole number from 0 up"
                    )
                storage = Storage(key, dtype, elements)
            case _:
                raise TorchFileError("its pickle refers to something that is not a storage of the file")
        if self.storages.setdefault(key, storage) != storage:
            before = self.storages[key]
            raise TorchFileError(
                f"storage {shown(key)} is {before.elements:,} elements of {before.dtype} for one tensor, "
                f"{elements:,} of {dtype} for another"
            )
        self.push(self.storages[key])


def _text(raw: bytes, encoding: str = "utf-8") -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise TorchFileError(f"its pickle holds a text that is not {encoding.upper()}") from None


STOP = ord(".")

OPERATIONS = {
    ord("N"): lambda machine: machine.push(None),
    0x88: lambda machine: machine.push(True),
    0x89: lambda machine: machine.push(False),
    ord("J"): lambda machine: machine.push(machine.number("<i")),
    ord("K"): lambda machine: machine.push(machine.number("<B")),
    ord("M"): lambda machine: machine.push(machine.number("<H")),
    0x8A: _Machine.push_long,
    ord("G"): lambda machine: machine.push(machine.number(">d")),
    ord("X"): lambda machine: machine.push(_text(machine.take(machine.number("<I")))),
    ord("U"): lambda machine: machine.push(_text(machine.take(machine.number("<B")), "ascii")),  # a text of Python 2
    ord("("): lambda machine: machine.marks.append(len(machine.stack)),
    ord(")"): lambda machine: machine.push_tuple([]),
    0x85: lambda machine: machine.push_tuple([machine.pop()]),
    0x86: lambda machine: machine.push_tuple([machine.pop(), machine.pop()][::-1]),
    0x87: lambda machine: machine.push_tuple([machine.pop(), machine.pop(), machine.pop()][::-1]),
    ord("t"): lambda machine: machine.push_tuple(machine.pop_to_mark()),
    ord("]"): lambda machine: machine.push(Group("list")),
    ord("a"): lambda machine: machine.append([machine.pop()]),
    ord("e"): lambda machine: machine.append(machine.pop_to_mark()),
    ord("}"): lambda machine: machine.push(Table(ordered=False)),
    ord("s"): lambda machine: machine.put([machine.pop(), machine.pop()][::-1]),
    ord("u"): lambda machine: machine.put(machine.pop_to_mark()),
    ord("q"): lambda machine: machine.remember(machine.number("<B")),
    ord("r"): lambda machine: machine.remember(machine.number("<I")),
    ord("h"): lambda machine: machine.recall(machine.number("<B")),
    ord("j"): lambda machine: machine.recall(machine.number("<I")),
    ord("c"): _Machine.find_global,
    ord("R"): _Machine.call,
    ord("b"): _Machine.set_state,
    ord("Q"): _Machine.find_storage,
}

REFUSED = {
    ord("i"): "INST",
    ord("o"): "OBJ",
    0x81: "NEWOBJ",
    0x92: "NEWOBJ_EX",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x93: "STACK_GLOBAL",
    ord("P"): "PERSID",
    ord("2"): "DUP",
    ord("0"): "POP",
    ord("1"): "POP_MARK",
    0x8B: "LONG4",
}
"""Names, for the message, of operations that are refused on purpose."""
