"""PyTorch files made by hand, byte by byte, so that a test can make each part of them wrong."""

import struct
import zlib
from dataclasses import dataclass, replace

MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def table_of(items: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


ORDERED_DICT = named("collections", "OrderedDict") + b")R"
REBUILD = named("torch._utils", "_rebuild_tensor_v2")


def storage(key: str = "0", elements: int = 4, kind: str = "FloatStorage", more: bytes = b"") -> bytes:
    """A reference to a storage; `more` is what the stream has behind it, None for a storage that is no part of another."""
    return tuple_of(text("storage"), named("torch", kind), text(key), text("cpu"), number(elements), more) + b"Q"


def tensor(
    held: bytes | None = None,
    shape: tuple[int, ...] = (4,),
    strides: tuple[int, ...] = (1,),
    offset: int = 0,
    gradient: bytes = b"\x89",
    hooks: bytes = ORDERED_DICT,
) -> bytes:
    sizes = [tuple_of(*(number(value) for value in values)) for values in (shape, strides)]
    return REBUILD + tuple_of(storage() if held is None else held, number(offset), *sizes, gradient, hooks) + b"R"


@dataclass(frozen=True)
class Entry:
    """One member of a zip file, as torch.save writes it unless told otherwise."""

    name: str
    data: bytes
    flags: int = 0x0808
    method: int = 0
    local_name: str | None = None
    local_flags: int | None = None
    local_crc: int = 0
    local_size: int = 0
    local_extra: bytes = b"FB\2\0ZZ"
    descriptor: bytes | None = None
    central_extra: bytes = b""
    central_size: int | None = None
    central_offset: int | None = None
    attributes: int = 0
    gap: bytes = b""

    @property
    def crc(self) -> int:
        return zlib.crc32(self.data)


def entries_of(pickle: bytes, storages: dict[str, bytes]) -> list[Entry]:
    members = {"data.pkl": pickle, "byteorder": b"little"} | {f"data/{key}": data for key, data in storages.items()}
    return [Entry(f"archive/{name}", data) for name, data in (members | {"version": b"3\n"}).items()]


def changed(entries: list[Entry], name: str, **fields: object) -> list[Entry]:
    """The same members, with something else about one of them."""
    assert name in [entry.name for entry in entries]
    return [replace(entry, **fields) if entry.name == name else entry for entry in entries]


def zipped(entries: list[Entry], *, before_end: bytes = b"", comment: bytes = b"", count: int | None = None) -> bytes:
    body, directory = b"", b""
    for entry in entries:
        offset = len(body)
        name = entry.name.encode("utf-8", "surrogateescape")
        local_name = name if entry.local_name is None else entry.local_name.encode()
        flags = entry.flags if entry.local_flags is None else entry.local_flags
        size = len(entry.data) if entry.central_size is None else entry.central_size
        descriptor = entry.descriptor
        if descriptor is None:
            descriptor = struct.pack("<4s3I", b"PK\7\x08", entry.crc, len(entry.data), len(entry.data)) if flags & 8 else b""
        local = (b"PK\3\4", 0, flags, entry.method, 0, 0, entry.local_crc, entry.local_size, entry.local_size)
        body += struct.pack("<4s5H3I2H", *local, len(local_name), len(entry.local_extra)) + local_name + entry.local_extra
        body += entry.data + descriptor + entry.gap
        central = (b"PK\1\2", 0, 0, entry.flags, entry.method, 0, 0, entry.crc, size, size, len(name), len(entry.central_extra))
        shown_offset = offset if entry.central_offset is None else entry.central_offset
        directory += struct.pack("<4s6H3I5H2I", *central, 0, 0, 0, entry.attributes, shown_offset) + name + entry.central_extra
    count = len(entries) if count is None else count
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), len(comment))
    return body + directory + before_end + end + comment


def zip64(entries: list[Entry]) -> bytes:
    """A zip as torch.save writes it beyond 4 GB: sizes and offsets in extra fields, and again in a second end record."""
    wide, offset = [], 0
    for entry in entries:
        size = len(entry.data)
        wide_entry = replace(
            entry,
            local_extra=struct.pack("<HHQQQ", 1, 24, size, 0, offset) + b"FB\2\0ZZ",
            descriptor=struct.pack("<4sIQQ", b"PK\7\x08", entry.crc, size, size),
            central_extra=struct.pack("<HHQQQ", 1, 24, size, size, offset),
            central_size=0xFFFFFFFF,
            central_offset=0xFFFFFFFF,
        )
        offset += 30 + len(entry.name.encode()) + len(wide_entry.local_extra) + size + 24
        wide.append(wide_entry)
    whole = zipped(wide)
    *_, count, size, begin, _ = struct.unpack("<4s4H2IH", whole[-22:])
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0, 45, 0, 0, count, count, size, begin)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, begin + size, 1)
    return whole[:-22] + end64 + locator + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, 0xFFFFFFFF, 0)


def streamed(pickle: bytes, storages: dict[str, tuple[int, bytes]], *, little: bytes = b"\x88", protocol: int = 1001) -> bytes:
    """The stream; `storages` gives for each key its element count and its bytes."""
    keys = b"](" + b"".join(text(key) for key in storages) + b"e"
    pickles = [number(protocol), table_of({"protocol_version": number(1001), "little_endian": little})]
    data = b"".join(struct.pack("<q", count) + raw for count, raw in storages.values())
    return MAGIC + b"".join(pickled(value) for value in pickles) + pickle + pickled(keys) + data
