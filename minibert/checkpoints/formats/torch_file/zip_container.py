"""The zip format of torch.save: where each member's bytes are, with the places that describe it held against each other.

PyTorch writes one folder of members without gaps and not compressed: `data.pkl`, `data/KEY` for each storage, and small ones.
A member is described in front of its bytes (local header), behind them (descriptor: checksum and size, which the writer knew
last) and in the directory at the end of the file. Readers differ in which they believe, so that a file could hold one thing for
one reader and another for the next: here all must agree, and the members fill the file exactly.

The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import re
import zlib
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from minibert.checkpoints.formats.torch_file.refusal import SAVE_AGAIN, SAVE_TENSORS_ALONE, TorchFileError
from minibert.checkpoints.formats.torch_file.zip_records import CentralHeader, check_local_header, read_directory
from minibert.errors import shown

STORAGE_NAME = re.compile(r"data/[0-9]{1,20}", re.ASCII)
TORCHSCRIPT_NAME = re.compile(r"/(constants\.pkl$|model\.json$|code/)")
SMALL_MEMBERS = ("version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id")
MAX_SMALL_BYTES = 1_000
VERSIONS = range(1, 11)
"""Those that PyTorch reads; torch.save has written 3 since torch 1.6."""


class Member(NamedTuple):
    """The bytes of one member in the file."""

    name: str
    start: int
    size: int
    crc: int


@dataclass(frozen=True)
class ZipContainer:
    """The members of a file that torch.save wrote."""

    pickle: Member
    storages: dict[str, Member]
    """By their keys."""


def read_zip(file: BinaryIO, size: int) -> ZipContainer:
    """The members of the zip `file`, `size` bytes long. Raises TorchFileError for anything that torch.save does not write."""
    headers, end = read_directory(file, size)
    for header in headers:
        if TORCHSCRIPT_NAME.search(header.text):
            raise TorchFileError(
                f"it is a TorchScript archive, a program with its weights (member {shown(header.text)})", SAVE_TENSORS_ALONE
            )
    members = _members(file, headers, end)
    for name in members:
        if name != "data.pkl" and name not in SMALL_MEMBERS and not STORAGE_NAME.fullmatch(name):
            raise TorchFileError(f"it has a member {shown(name)}, which torch.save does not write", SAVE_AGAIN)
    for name in ("data.pkl", "version"):
        if name not in members:
            raise TorchFileError(f"it is a zip file without {name!r}; torch.save writes one in each file", SAVE_AGAIN)
    small = {name: read_member(file, members[name], MAX_SMALL_BYTES) for name in SMALL_MEMBERS if name in members}
    version = small["version"].removesuffix(b"\n")
    if version not in [str(known).encode() for known in VERSIONS]:
        raise TorchFileError(f"its member 'version' holds {shown(version)}; expected {VERSIONS[0]} to {VERSIONS[-1]}", SAVE_AGAIN)
    byte_order = small.get("byteorder", b"little")
    if byte_order != b"little":
        raise TorchFileError(f"its byte order is {shown(byte_order)}; only little-endian files are read", SAVE_AGAIN)
    storages = {name.removeprefix("data/"): member for name, member in members.items() if name.startswith("data/")}
    return ZipContainer(members["data.pkl"], storages)


def read_member(file: BinaryIO, member: Member, most: int) -> bytes:
    """A member's bytes, whose checksum holds. Raises TorchFileError if it has more than `most` or the checksum does not hold."""
    if member.size > most:
        raise TorchFileError(f"its member {shown(member.name)} has {member.size:,} bytes; at most {most:,} are read", SAVE_AGAIN)
    file.seek(member.start)
    data = file.read(member.size)
    if zlib.crc32(data) != member.crc:
        raise TorchFileError(f"the checksum of its member {shown(member.name)} does not hold")
    return data


def _members(file: BinaryIO, headers: list[CentralHeader], end: int) -> dict[str, Member]:
    """By their names in the one folder that holds them all; they fill the file from its start to the directory at `end`."""
    members: dict[str, Member] = {}
    reached, first_folder = 0, None
    for header in sorted(headers, key=lambda header: header.offset):
        folder, _, name = header.text.partition("/")
        first_folder = folder if first_folder is None else first_folder
        if folder != first_folder or folder in ("", ".", ".."):
            raise TorchFileError(f"it has a member {shown(header.text)} outside of the one folder {shown(first_folder)}")
        if header.method != 0:
            raise TorchFileError(f"its member {shown(header.text)} is compressed, which torch.save never does", SAVE_AGAIN)
        if name in members:
            raise TorchFileError(f"it has two members {shown(header.text)}")
        if header.offset != reached:
            how = "overlaps what is before it" if header.offset < reached else "leaves a gap before it"
            raise TorchFileError(f"its member {shown(header.text)} at byte {header.offset:,} {how}, which ends at {reached:,}")
        start, reached = check_local_header(file, header, end)
        members[name] = Member(header.text, start, header.size, header.crc)
    if reached != end:
        raise TorchFileError(f"its members end at byte {reached:,}, its directory begins at {end:,}")
    return members
