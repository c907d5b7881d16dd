"""The stream that torch.save wrote before torch 1.6: five pickles, then each storage's element count and raw bytes.

The pickles: a magic number, the protocol's version (1001), facts about the machine, the tensors, and the storages' keys in order.
"""

from typing import Any, BinaryIO

from minibert.checkpoints.formats.torch_file.pickle_tensors import MAX_PICKLE_BYTES, read_pickle
from minibert.checkpoints.formats.torch_file.pickle_values import Group, Storage, Table, described
from minibert.checkpoints.formats.torch_file.refusal import SAVE_AGAIN, TorchFileError
from minibert.errors import shown

PROTOCOL = 1001
MAGIC_PICKLE = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""The first pickle whole: the number 0x1950a86a20f9469cfc6c."""


def read_stream(file: BinaryIO, size: int) -> tuple[Any, dict[str, Storage], dict[str, int]]:
    """The value of the stream's pickle, the storages it names, and where in the file their bytes begin.

    `file` is `size` bytes long. Raises TorchFileError unless the storages fill what is behind the pickles exactly.
    """
    file.seek(0)
    data = file.read(MAX_PICKLE_BYTES)
    protocol, position, _ = read_pickle(data, len(MAGIC_PICKLE))
    if type(protocol) is not int or protocol != PROTOCOL:
        found = shown(protocol) if type(protocol) is int else described(protocol)
        raise TorchFileError(f"its stream is of protocol {found}; expected {PROTOCOL}", SAVE_AGAIN)
    machine, position, _ = read_pickle(data, position)
    if not isinstance(machine, Table) or machine.items.get("little_endian") is not True:
        raise TorchFileError("it does not say that its bytes are little-endian; no other files are read", SAVE_AGAIN)
    value, position, storages = read_pickle(data, position, storage_fields=6)
    keys, position, _ = read_pickle(data, position)
    starts: dict[str, int] = {}
    for key in _checked_keys(keys, storages):
        storage = storages[key]
        file.seek(position)
        count = file.read(8)
        position += 8
        elements = int.from_bytes(count, "little")
        if len(count) < 8 or position + storage.bytes > size:
            raise TorchFileError(f"it is cut short in storage {shown(key)}, whose {storage.bytes:,} bytes begin at {position:,}")
        if elements != storage.elements:
            raise TorchFileError(f"storage {shown(key)} has {elements:,} elements; its pickle says {storage.elements:,}")
        starts[key] = position
        position += storage.bytes
    if position != size:
        raise TorchFileError(f"{size - position:,} of its {size:,} bytes are behind the last storage and belong to nothing")
    return value, storages, starts


def _checked_keys(keys: Any, storages: dict[str, Storage]) -> list[str]:
    if not isinstance(keys, Group) or keys.kind != "list" or not all(type(key) is str for key in keys.items):
        raise TorchFileError(f"the keys of its storages are {described(keys)}; expected a list of texts")
    if len(set(keys.items)) != len(keys.items) or set(keys.items) != set(storages):
        raise TorchFileError(f"it lists {len(keys.items):,} storages, and not exactly the {len(storages):,} of its tensors")
    return keys.items
