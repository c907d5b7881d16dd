"""Zips made to mislead: each ends as one FetchError and never writes outside the target."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minibert.checkpoints.archive import unpack
from minibert.errors import FetchError

NAME = "package/model/config.json"
CONTENT = b'{"hidden_size": 8, "note": "' + bytes(range(32, 90)) * 4 + b'"}'


def make_zip(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytearray:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return bytearray(stream.getvalue())


def take(tmp_path: Path, data: bytes, *, size: int | None = None) -> bytes:
    """What `unpack` makes of the zip `data`."""
    archive, target = tmp_path / "made.whl", tmp_path / "config.json"
    archive.write_bytes(data)
    target.unlink(missing_ok=True)
    unpack(archive, {NAME: target}, {NAME: size})
    return target.read_bytes()


def central(data: bytearray, name: str = NAME) -> int:
    """Where the central header of a member starts."""
    return data.rindex(name.encode()) - 46


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_sound_member_arrives_whole(tmp_path: Path, compression: int) -> None:
    data = make_zip([("package/other.py", b"x = 1"), (NAME, CONTENT)], compression)
    assert take(tmp_path, data, size=len(CONTENT)) == CONTENT


def test_a_member_of_many_chunks_that_inflates_well_arrives_whole(tmp_path: Path) -> None:
    content = b"".join(b"%07d\n" % (number % 5000) for number in range(400_000))
    assert take(tmp_path, make_zip([(NAME, content)])) == content


def test_a_zip_written_as_a_stream_with_data_descriptors_arrives_whole(tmp_path: Path) -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *arguments: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/other.py", b"x = 1")
        archive.writestr(NAME, CONTENT)
    assert take(tmp_path, stream.getvalue()) == CONTENT


def two_members_of_one_name() -> bytes:
    return make_zip([(NAME, b"{}"), (NAME, CONTENT)])


def names_that_differ_in_case_only() -> bytes:
    return make_zip([(NAME, CONTENT), (NAME.upper(), b"{}")])


def local_name_unlike_the_central_one() -> bytes:
    data = make_zip([(NAME, CONTENT)])
    data[30:37] = b"another"
    return data


def local_size_unlike_the_central_one() -> bytes:
    data = make_zip([(NAME, CONTENT)])
    data[22:26] = struct.pack("<I", 5)
    return data


def local_method_unlike_the_central_one() -> bytes:
    data = make_zip([(NAME, CONTENT)])
    data[8:10] = struct.pack("<H", zipfile.ZIP_STORED)
    return data


def encrypted() -> bytes:
    data = make_zip([(NAME, CONTENT)])
    data[6] |= 1
    data[central(data) + 8] |= 1
    return data


def encrypted_elsewhere() -> bytes:
    data = make_zip([("other", b"secret"), (NAME, CONTENT)])
    data[6] |= 1
    data[central(data, "other") + 8] |= 1
    return data


def another_compression_method() -> bytes:
    return make_zip([(NAME, CONTENT)], zipfile.ZIP_BZIP2)


def overlapping_members() -> bytes:
    data = make_zip([("package/model/other.txt!!", CONTENT), (NAME, CONTENT)])
    data[central(data) + 42 : central(data) + 46] = struct.pack("<I", 0)
    return data


def bytes_hidden_between_members() -> bytes:
    data = make_zip([(NAME, CONTENT), ("dropped", b"hidden"), ("last", b"")])
    start = central(data, "dropped")
    del data[start : start + 46 + len("dropped")]
    end = len(data) - 22
    entries, size = struct.unpack_from("<HI", data, end + 10)
    struct.pack_into("<HHI", data, end + 8, entries - 1, entries - 1, size - 46 - len("dropped"))
    return data


def bytes_before_the_first_member() -> bytes:
    return b"#!/bin/sh\n" + make_zip([(NAME, CONTENT)])


def symlink() -> bytes:
    data = make_zip([(NAME, b"/etc/passwd")])
    data[central(data) + 38 : central(data) + 42] = struct.pack("<I", 0o120777 << 16)
    return data


def inflates_a_thousandfold() -> bytes:
    return make_zip([(NAME, bytes(50_000_000))])


def more_output_than_declared() -> bytes:
    data = make_zip([(NAME, CONTENT)])
    for position in (22, central(data) + 24):
        data[position : position + 4] = struct.pack("<I", len(CONTENT) - 1)
    return data


def less_output_than_declared() -> bytes:
    data = make_zip([(NAME, CONTENT)])
    for position in (22, central(data) + 24):
        data[position : position + 4] = struct.pack("<I", len(CONTENT) + 1)
    return data


def wrong_checksum() -> bytes:
    data = make_zip([(NAME, CONTENT)], zipfile.ZIP_STORED)
    data[30 + len(NAME) + 3] ^= 1
    return data


def no_such_member() -> bytes:
    return make_zip([("package/model/elsewhere.json", CONTENT)])


def cut_in_half() -> bytes:
    data = make_zip([(NAME, CONTENT)])
    return data[: len(data) // 2]


def no_zip_at_all() -> bytes:
    return b"<!DOCTYPE html><html>please log in</html>"


@pytest.mark.parametrize(
    "hostile",
    [
        two_members_of_one_name,
        names_that_differ_in_case_only,
        local_name_unlike_the_central_one,
        local_size_unlike_the_central_one,
        local_method_unlike_the_central_one,
        encrypted,
        encrypted_elsewhere,
        another_compression_method,
        overlapping_members,
        bytes_hidden_between_members,
        bytes_before_the_first_member,
        symlink,
        inflates_a_thousandfold,
        more_output_than_declared,
        less_output_than_declared,
        wrong_checksum,
        no_such_member,
        cut_in_half,
        no_zip_at_all,
    ],
)
def test_a_hostile_zip_is_refused(tmp_path: Path, hostile: Callable[[], bytes]) -> None:
    with pytest.raises(FetchError):
        take(tmp_path, hostile())


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:x", "C:/x", "a\\x", "a//x", "./x", "a\nb"])
def test_a_name_that_could_leave_the_folder_is_refused_even_beside_the_wanted_member(tmp_path: Path, name: str) -> None:
    with pytest.raises(FetchError, match="no plain relative path"):
        take(tmp_path, make_zip([(NAME, CONTENT), (name, b"x")]))


def test_another_size_than_the_registered_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="the registry expects 7"):
        take(tmp_path, make_zip([(NAME, CONTENT)]), size=7)


def test_a_zip_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    data = make_zip([(NAME, CONTENT)])
    for length in range(len(data)):
        with pytest.raises(FetchError):
            take(tmp_path, data[:length])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_zip_with_any_bytes_changed_gives_the_same_content_or_an_error(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = make_zip([("package/other.py", b"x = 1"), (NAME, CONTENT)])
    for position, value in changes:
        data[position % len(data)] = value
    try:
        content = take(tmp_path, data)
    except FetchError:
        return
    assert content == CONTENT
