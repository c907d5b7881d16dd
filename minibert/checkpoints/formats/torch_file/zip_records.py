"""The records of a zip file: the directory at its end, and what is written in front of and behind each member's bytes.

Numbers that do not fit into 32 bits are written as ones, and in full in an extra field (zip64).
"""

import struct
from typing import BinaryIO, NamedTuple

from minibert.checkpoints.formats.torch_file.refusal import SAVE_AGAIN, TorchFileError
from minibert.errors import shown

MAX_DIRECTORY_BYTES = 4_000_000
MAX_MEMBERS = 20_000
ALL_ONES = 0xFFFFFFFF

END = struct.Struct("<4s4H2IH")
END64_LOCATOR = struct.Struct("<4sIQI")
END64 = struct.Struct("<4sQ2H2I4Q")
CENTRAL = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")

ZIP64_FIELD = 0x0001
PADDING_FIELD = 0x4246
"""The letters FB: torch.save's filler, which brings a member's bytes to a multiple of 64."""

ENCRYPTED, DESCRIPTOR, UTF8 = 0x0001, 0x0008, 0x0800
FOLDER = 0x10
"""An attribute. PyTorch's own reader gives memory that nobody has written for such a member."""
PLAIN_FILE = (0x0, 0x8)
"""Nothing said, or Unix's word for a regular file."""


class CentralHeader(NamedTuple):
    """What the directory says about one member."""

    name: bytes
    text: str
    flags: int
    method: int
    """Of compression; 0 is none."""
    crc: int
    size: int
    offset: int
    """Of its local header."""


def read_directory(file: BinaryIO, file_size: int) -> tuple[list[CentralHeader], int]:
    """What the directory of a zip file says, and the byte at which it begins. Raises TorchFileError unless it is sound."""
    count, size, begin = _end_of_directory(file, file_size)
    if count > MAX_MEMBERS or size > MAX_DIRECTORY_BYTES:
        raise TorchFileError(
            f"its directory claims {count:,} members in {size:,} bytes; the most are {MAX_MEMBERS:,} and {MAX_DIRECTORY_BYTES:,}"
        )
    directory = _read(file, begin, size)
    headers, position = [], 0
    for _ in range(count):
        header, position = _central_header(directory, position)
        headers.append(header)
    if position != size:
        raise TorchFileError(f"its directory has {size:,} bytes, of which {count:,} members take {position:,}")
    return headers, begin


def _end_of_directory(file: BinaryIO, file_size: int) -> tuple[int, int, int]:
    """How many members the directory has, its size, and where it begins, from the records that end the file."""
    end_begin = file_size - END.size
    magic, disk, directory_disk, here, count, size, begin, comment = END.unpack(_read(file, end_begin, END.size))
    if magic != b"PK\5\6" or comment:
        raise TorchFileError("it begins as a zip file, but does not end as one: it is cut short, or something is added to it")
    narrow, directory_end = (here, count, size, begin), end_begin
    wide = narrow
    locator_begin = end_begin - END64_LOCATOR.size
    if locator_begin >= 0:
        locator_magic, end64_disk, end64_begin, disks = END64_LOCATOR.unpack(_read(file, locator_begin, END64_LOCATOR.size))
        if locator_magic == b"PK\6\7":
            directory_end = locator_begin - END64.size
            if end64_begin != directory_end or end64_disk != 0 or disks != 1:
                raise TorchFileError(f"the end of its directory is not at byte {end64_begin:,}, where it is said to be")
            wide = _end64(_read(file, directory_end, END64.size))
    limits = (0xFFFF, 0xFFFF, ALL_ONES, ALL_ONES)
    same = all(small in (large, limit) for small, large, limit in zip(narrow, wide, limits, strict=True))
    here, count, size, begin = wide
    if disk or directory_disk or here != count or not same or begin + size != directory_end:
        raise TorchFileError("the records at its end do not agree on its directory")
    return count, size, begin


def _end64(record: bytes) -> tuple[int, int, int, int]:
    magic, length, _, _, disk, directory_disk, here, count, size, begin = END64.unpack(record)
    if magic != b"PK\6\6" or length != END64.size - 12 or disk or directory_disk:
        raise TorchFileError("the zip64 record at its end is damaged")
    return here, count, size, begin


def _central_header(directory: bytes, position: int) -> tuple[CentralHeader, int]:
    """The entry of the directory at `position`, and the position behind it."""
    fixed_end = position + CENTRAL.size
    if fixed_end > len(directory):
        raise TorchFileError("its directory is cut short")
    fields = CENTRAL.unpack_from(directory, position)
    (
        magic,
        _,
        _,
        flags,
        method,
        _,
        _,
        crc,
        packed,
        size,
        name_length,
        extra_length,
        comment_length,
        disk,
        _,
        attributes,
        offset,
    ) = fields
    name = directory[fixed_end : fixed_end + name_length]
    extra = directory[fixed_end + name_length : fixed_end + name_length + extra_length]
    if magic != b"PK\1\2" or len(name) != name_length or len(extra) != extra_length or comment_length or disk:
        raise TorchFileError(f"its directory is damaged at entry {shown(name)}")
    text = _text(name)
    if flags & ENCRYPTED:
        raise TorchFileError(f"its member {shown(text)} is encrypted", SAVE_AGAIN)
    if flags & ~(DESCRIPTOR | UTF8):
        raise TorchFileError(f"its member {shown(text)} has flags 0x{flags:04x}, which torch.save does not set")
    if attributes & FOLDER or attributes >> 28 not in PLAIN_FILE:
        raise TorchFileError(f"its member {shown(text)} is marked as a folder, a link or another thing that is not a file")
    wide = iter(_zip64_values(extra, text))
    size = next(wide, size) if size == ALL_ONES else size
    packed = next(wide, packed) if packed == ALL_ONES else packed
    offset = next(wide, offset) if offset == ALL_ONES else offset
    if next(wide, None) is not None or (packed != size and method == 0):
        raise TorchFileError(f"its directory gives member {shown(text)} two sizes: {packed:,} and {size:,}")
    return CentralHeader(name, text, flags, method, crc, size, offset), fixed_end + name_length + extra_length


def check_local_header(file: BinaryIO, header: CentralHeader, end: int) -> tuple[int, int]:
    """Where the bytes of a member begin, and where the next member does, at `end` or before.

    Raises TorchFileError unless what is written in front of the bytes and behind them is what the directory says.
    """

    def refuse(what: str) -> TorchFileError:
        return TorchFileError(f"its member {shown(header.text)} has {what} than its directory says")

    if header.offset + LOCAL.size > end:
        raise TorchFileError(f"its member {shown(header.text)} is at byte {header.offset:,}, in or behind its directory")
    fields = LOCAL.unpack(_read(file, header.offset, LOCAL.size))
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
    start = header.offset + LOCAL.size + name_length + extra_length
    if start + header.size > end:
        raise TorchFileError(f"its member {shown(header.text)} of {header.size:,} bytes reaches into its directory")
    rest = _read(file, header.offset + LOCAL.size, name_length + extra_length)
    if magic != b"PK\3\4" or rest[:name_length] != header.name:
        raise refuse("another name in front of its bytes")
    if flags != header.flags or method != header.method:
        raise refuse("another kind in front of its bytes")
    zip64 = _zip64_values(rest[name_length:], header.text)
    if not flags & DESCRIPTOR:
        wide = iter(zip64)
        size = next(wide, size) if size == ALL_ONES else size
        packed = next(wide, packed) if packed == ALL_ONES else packed
        if (crc, packed, size) != (header.crc, header.size, header.size) or any(value != header.offset for value in wide):
            raise refuse("another checksum or size in front of its bytes")
        return start, start + header.size
    # The writer did not know them yet, and wrote zeros. PyTorch repeats the offset there.
    if {crc} - {0, header.crc} or {packed, size, *zip64} - {0, header.size, header.offset, ALL_ONES}:
        raise refuse("another checksum or size in front of its bytes")
    # With zip64 in front, the sizes behind the bytes have 8 bytes each.
    descriptor = struct.pack("<4sIQQ" if zip64 else "<4sIII", b"PK\7\x08", header.crc, header.size, header.size)
    if _read(file, start + header.size, len(descriptor)) != descriptor:
        raise refuse("another checksum or size behind its bytes")
    return start, start + header.size + len(descriptor)


def _zip64_values(extra: bytes, text: str) -> tuple[int, ...]:
    """The numbers of 64 bits in the extra fields of a member. Raises TorchFileError for fields that torch.save does not write."""
    values: tuple[int, ...] | None = None
    position = 0
    while position < len(extra):
        kind, length = struct.unpack_from("<HH", extra[position : position + 4].ljust(4, b"\0"))
        field = extra[position + 4 : position + 4 + length]
        position += 4 + length
        if position > len(extra):
            raise TorchFileError(f"an extra field of its member {shown(text)} is cut short")
        if kind == ZIP64_FIELD and values is None and length in (8, 16, 24):
            values = struct.unpack(f"<{length // 8}Q", field)
        elif kind != PADDING_FIELD:
            raise TorchFileError(
                f"its member {shown(text)} has a field 0x{kind:04x}, which torch.save does not write", SAVE_AGAIN
            )
    return values or ()


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise TorchFileError(f"its member {shown(name)} has a name that is not UTF-8") from None


def _read(file: BinaryIO, begin: int, size: int) -> bytes:
    if begin >= 0:
        file.seek(begin)
        data = file.read(size)
        if len(data) == size:
            return data
    raise TorchFileError("it is cut short")
