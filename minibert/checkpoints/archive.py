"""Taking expected files out of a zip that somebody else made, and nothing else.

Two programs may read one zip differently: equal names, a local header unlike the central directory, bytes between the
members. So the whole layout is checked before a byte is unpacked, for every member, wanted or not: what is accepted
reads the same everywhere. Names in the archive only select; where a file lands is decided by the caller.
"""

import contextlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from minibert.errors import FetchError, shown

MAX_RATIO = 100
CHUNK = 1 << 20
MAX_MEMBERS = 10_000
MAX_DIRECTORY_BYTES = 4_000_000
MAX_END_BYTES = 66_000
"""What ends a zip, with the longest comment."""
_END = struct.Struct("<4s4H2IH")
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_HAS_DESCRIPTOR = 0x8
_UTF8_NAME = 0x800
# A data descriptor: crc32, both sizes as 32 or 64 bits, and a signature that writers may leave out.
_DESCRIPTOR_LENGTHS = (12, 16, 20, 24)


def unpack(archive: Path, wanted: Mapping[str, Path], sizes: Mapping[str, int | None]) -> None:
    """Write the members `wanted` (name in the archive -> new file) of the zip `archive`, each whole.

    `sizes` gives the registered size of a member where one is known. FetchError: a layout that two readers could read
    differently (equal names, headers that disagree, overlaps, holes), an encrypted member, a name that leads out of a
    folder, a symlink, a member that is missing, inflates suspiciously, or has another size or checksum than declared.
    """
    with _sound_zip(archive) as (stream, members, starts):
        for name in wanted:
            _check_size(archive, _found(archive, members, name), sizes.get(name))
        for name, target in wanted.items():
            _inflate(archive, stream, members[name], starts[name], target)


def check_members(archive: Path, limits: Mapping[str, int]) -> None:
    """FetchError unless `unpack` would take the members `limits` (name in the archive -> most bytes) out, as far as their
    headers tell: only those are read."""
    with _sound_zip(archive) as (_, members, _):
        for name, most in limits.items():
            member = _found(archive, members, name)
            _check_size(archive, member, None)
            if member.file_size > most:
                raise FetchError(
                    f"{archive.name}: the member {shown(name)} has {member.file_size:,} bytes unpacked; expected at most "
                    f"{most:,} for such a file"
                )


@contextlib.contextmanager
def _sound_zip(archive: Path) -> Iterator[tuple[BinaryIO, dict[str, zipfile.ZipInfo], dict[str, int]]]:
    """The zip opened, its members by their names, and where the bytes of each begin, once its whole layout is checked."""
    try:
        with archive.open("rb") as stream:
            check_directory(archive, stream)
            opened = zipfile.ZipFile(stream)
            members = {_checked_name(archive, member): member for member in opened.infolist()}
            if len({name.casefold() for name in members}) != len(opened.infolist()):
                raise FetchError(f"{archive.name} holds two members of one name, so that readers disagree on which one counts")
            yield stream, members, _check_layout(archive, stream, list(members.values()), opened.start_dir)
    # What the zipfile module raises on damaged directories, in one version or another.
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError) as problem:
        raise FetchError(f"{archive.name} is not a sound zip file: {problem}") from None


def _found(archive: Path, members: Mapping[str, zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    if name not in members:
        raise FetchError(f"{archive.name} has no member {name}, which the registry expects there")
    return members[name]


def check_directory(archive: Path, stream: BinaryIO) -> None:
    """FetchError for a directory larger than any checkpoint's, before the zipfile module reads all of it into memory."""
    size = stream.seek(0, os.SEEK_END)
    end_begin = max(0, size - MAX_END_BYTES)
    stream.seek(end_begin)
    end = stream.read(MAX_END_BYTES)
    at = end.rfind(b"PK\5\6")
    if at < 0 or len(end) - at < _END.size:
        raise FetchError(f"{archive.name} is not a sound zip file: it does not end as one")
    *_, count, length, _, _ = _END.unpack_from(end, at)
    # The record of 64 bits, where there is one, lies right before: its sizes would count, and no checkpoint here needs it.
    if count > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES or b"PK\6\7" in end[max(0, at - 20) : at]:
        raise FetchError(
            f"{archive.name} claims {count:,} members in a directory of {length:,} bytes, or more than 4 GB; expected at most "
            f"{MAX_MEMBERS:,} in {MAX_DIRECTORY_BYTES:,}"
        )


def _checked_name(archive: Path, member: zipfile.ZipInfo) -> str:
    """The member's name as stored, or FetchError where it could leave the folder it is unpacked in."""
    name = member.orig_filename
    parts = name.removesuffix("/").split("/")
    if not name or any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\x00-\x1f]", name):
        raise FetchError(f"{archive.name} holds a member named {shown(name)}, which is no plain relative path")
    file_type = stat.S_IFMT(member.external_attr >> 16)
    if file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise FetchError(f"{archive.name}: the member {name} is a symlink or device, where only files are expected")
    if member.flag_bits & _ENCRYPTED:
        raise FetchError(f"{archive.name}: the member {name} is marked as encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FetchError(f"{archive.name}: the member {name} uses compression method {member.compress_type}, not deflate")
    return name


def _check_layout(archive: Path, stream: BinaryIO, members: list[zipfile.ZipInfo], directory_start: int) -> dict[str, int]:
    """Where each member's data starts, after checking that the members tile the file up to its central directory."""
    starts: dict[str, int] = {}
    allowed_positions = {0}
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset not in allowed_positions:
            raise FetchError(f"{archive.name}: the member {member.orig_filename} overlaps another or follows hidden bytes")
        data_start = _check_local_header(archive, stream, member)
        starts[member.orig_filename] = data_start
        end = data_start + member.compress_size
        described = member.flag_bits & _HAS_DESCRIPTOR
        allowed_positions = {end + length for length in _DESCRIPTOR_LENGTHS} if described else {end}
    if directory_start not in allowed_positions:
        raise FetchError(f"{archive.name}: the last member does not end where the central directory starts")
    return starts


def _check_local_header(archive: Path, stream: BinaryIO, member: zipfile.ZipInfo) -> int:
    """The offset of the member's data; FetchError where its local header says otherwise than the central directory."""
    stream.seek(member.header_offset)
    header = stream.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise FetchError(f"{archive.name} ends inside the header of {member.orig_filename}")
    signature, _, flags, method, _, _, crc, packed, unpacked, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    name = stream.read(name_length)
    central_name = member.orig_filename.encode("utf-8" if member.flag_bits & _UTF8_NAME else "cp437")
    facts = (crc, packed, unpacked)
    central_facts = (member.CRC, member.compress_size, member.file_size)
    # With a descriptor the local header may leave these at zero, as they were not known when it was written.
    facts_agree = facts == central_facts or (flags & _HAS_DESCRIPTOR and facts == (0, 0, 0))
    if (
        signature != b"PK\x03\x04"
        or (name, flags, method) != (central_name, member.flag_bits, member.compress_type)
        or not facts_agree
    ):
        raise FetchError(f"{archive.name}: the local header of {member.orig_filename} is unlike its central one")
    return int(member.header_offset + _LOCAL_HEADER.size + name_length + extra_length)


def _check_size(archive: Path, member: zipfile.ZipInfo, registered: int | None) -> None:
    if registered is not None and member.file_size != registered:
        raise FetchError(
            f"{archive.name}: the member {member.orig_filename} declares {member.file_size:,} bytes, the registry "
            f"expects {registered:,}"
        )
    if member.file_size > MAX_RATIO * member.compress_size + CHUNK:
        raise FetchError(
            f"{archive.name}: the member {member.orig_filename} would inflate {member.compress_size:,} bytes to "
            f"{member.file_size:,}, over the limit of {MAX_RATIO} : 1"
        )


def _inflate(archive: Path, stream: BinaryIO, member: zipfile.ZipInfo, start: int, target: Path) -> None:
    """Write the member's bytes to `target`, counting the real output against the declared size and checking the CRC."""
    damaged = FetchError(f"{archive.name}: the member {member.orig_filename} is damaged: its bytes, size and CRC disagree")
    stored = member.compress_type == zipfile.ZIP_STORED
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    stream.seek(start)
    packed_left, unpacked_left, crc = member.compress_size, member.file_size, 0

    with target.open("xb") as output:
        while packed_left:
            packed = stream.read(min(CHUNK, packed_left))
            if not packed:
                raise damaged
            packed_left -= len(packed)
            more = True
            while more:
                # One byte more than may come, so that too much is seen and yet never held.
                limit = min(CHUNK, unpacked_left + 1)
                try:
                    unpacked = packed if stored else inflater.decompress(packed, limit)
                except zlib.error:
                    raise damaged from None
                packed = b"" if stored else inflater.unconsumed_tail
                # A full output may hide more: the inflater can owe bytes after it has taken all input.
                more = not stored and len(unpacked) == limit
                unpacked_left -= len(unpacked)
                if unpacked_left < 0:
                    raise damaged
                crc = zlib.crc32(unpacked, crc)
                output.write(unpacked)
        whole = stored or (inflater.eof and not inflater.unused_data)
        if unpacked_left or crc != member.CRC or not whole:
            raise damaged
