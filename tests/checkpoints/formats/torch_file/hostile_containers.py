"""Zip files, streams and other files in which one thing each is wrong, and a word of what the error must say."""

import io
import json
import struct
import tarfile

import numpy as np
from crafted_torch_files import (
    MAGIC,
    Entry,
    changed,
    entries_of,
    named,
    number,
    pickled,
    storage,
    streamed,
    table_of,
    tensor,
    text,
    tuple_of,
    zip64,
    zipped,
)

VALUES = np.arange(4, dtype="<f4").tobytes()
GOOD = pickled(table_of({"a": tensor()}))
ENTRIES = entries_of(GOOD, {"0": VALUES})

HOSTILE_ZIPS: dict[str, tuple[bytes, str]] = {
    "two members of one name": (zipped([*ENTRIES, Entry("archive/data.pkl", pickled(b"}"))]), "two members 'archive/data.pkl'"),
    "two storages of one name": (zipped([*ENTRIES, Entry("archive/data/0", VALUES)]), "two members"),
    "another name in front of the bytes": (
        zipped(changed(ENTRIES, "archive/data/0", local_name="archive/data/1")),
        "another name",
    ),
    "a longer name in front of the bytes": (
        zipped(changed(ENTRIES, "archive/data/0", local_name="archive/data/00")),
        "another name",
    ),
    "another checksum in front of the bytes": (zipped(changed(ENTRIES, "archive/data/0", local_crc=1)), "in front of its bytes"),
    "another size in front of the bytes": (zipped(changed(ENTRIES, "archive/data/0", local_size=8)), "in front of its bytes"),
    "another size without a descriptor": (
        zipped(changed(ENTRIES, "archive/data/0", flags=0, local_size=8, local_crc=changed(ENTRIES, "archive/data/0")[2].crc)),
        "in front of its bytes",
    ),
    "zeros without a descriptor": (zipped(changed(ENTRIES, "archive/data/0", flags=0)), "in front of its bytes"),
    "other flags in front of the bytes": (zipped(changed(ENTRIES, "archive/data/0", local_flags=0x0008)), "another kind"),
    "another checksum behind the bytes": (
        zipped(changed(ENTRIES, "archive/data/0", descriptor=struct.pack("<4s3I", b"PK\7\x08", 1, 16, 16))),
        "behind its bytes",
    ),
    "another size behind the bytes": (
        zipped(changed(ENTRIES, "archive/data/0", descriptor=struct.pack("<4s3I", b"PK\7\x08", Entry("", VALUES).crc, 8, 8))),
        "behind its bytes",
    ),
    "no descriptor": (zipped(changed(ENTRIES, "archive/data/0", descriptor=b"")), "behind its bytes"),
    "an encrypted member": (zipped(changed(ENTRIES, "archive/data/0", flags=0x0809)), "encrypted"),
    "a strongly encrypted member": (zipped(changed(ENTRIES, "archive/data/0", flags=0x0848)), "flags 0x0848"),
    "masked headers": (zipped(changed(ENTRIES, "archive/data/0", flags=0x2808)), "flags 0x2808"),
    "a deflated member": (zipped(changed(ENTRIES, "archive/data/0", method=8)), "compressed"),
    "a deflated pickle": (zipped(changed(ENTRIES, "archive/data.pkl", method=8)), "compressed"),
    "a member of method 99": (zipped(changed(ENTRIES, "archive/data/0", method=99)), "compressed"),
    "two folders": (zipped([*ENTRIES, Entry("other/data/1", VALUES)]), "outside of the one folder"),
    "two folders that differ in case": (zipped([*ENTRIES, Entry("Archive/data/1", VALUES)]), "outside of the one folder"),
    "a member without a folder": (zipped([*ENTRIES, Entry("version", b"3")]), "outside of the one folder"),
    "the folder itself": (zipped([*ENTRIES, Entry("archive/", b"")]), "''"),
    "members in ..": (zipped([Entry("../" + entry.name, entry.data) for entry in ENTRIES]), "outside of the one folder"),
    "members in the root": (zipped([Entry("/" + entry.name, entry.data) for entry in ENTRIES]), "outside of the one folder"),
    "../x": (zipped([*ENTRIES, Entry("../x", b"")]), "outside of the one folder"),
    "a member that climbs out": (zipped([*ENTRIES, Entry("archive/../../x", b"")]), "'../../x'"),
    "a storage that climbs out": (zipped([*ENTRIES, Entry("archive/data/../0", b"")]), "'data/../0'"),
    "/x": (zipped([*ENTRIES, Entry("/x", b"")]), "outside of the one folder"),
    "C:x": (zipped([*ENTRIES, Entry("C:x", b"")]), "outside of the one folder"),
    "a backslash": (zipped([*ENTRIES, Entry("archive\\data\\1", b"")]), "outside of the one folder"),
    "a folder": (zipped(changed(ENTRIES, "archive/data/0", attributes=0x10)), "a folder, a link"),
    "a symbolic link": (zipped(changed(ENTRIES, "archive/data/0", attributes=0o120777 << 16)), "a folder, a link"),
    "a name with a NUL": (zipped([*ENTRIES, Entry("archive/version\0", b"3")]), r"version\\x00"),
    "a name that is not UTF-8": (zipped([*ENTRIES, Entry("archive/\udcff", b"3")]), "not UTF-8"),
    "digits of another script": (zipped([*ENTRIES, Entry("archive/data/١", b"")]), "which torch.save does not write"),
    "a member of another kind": (zipped([*ENTRIES, Entry("archive/code.py", b"")]), "'code.py'"),
    "a TorchScript archive": (zipped([*ENTRIES, Entry("archive/constants.pkl", b"")]), "TorchScript"),
    "a program": (zipped([*ENTRIES, Entry("archive/code/__torch__.py", b"")]), "TorchScript"),
    "no pickle": (zipped([entry for entry in ENTRIES if "pkl" not in entry.name]), "without 'data.pkl'"),
    "no version": (zipped([entry for entry in ENTRIES if "version" not in entry.name]), "without 'version'"),
    "no members": (b"PK\3\4" + zipped([]), "do not agree|end at byte"),
    "version 11": (zipped(changed(ENTRIES, "archive/version", data=b"11\n")), "'version' holds b'11'"),
    "a version of 2 MB": (zipped(changed(ENTRIES, "archive/version", data=b"1" * 2_000_000)), "2,000,000 bytes"),
    "big-endian bytes": (zipped(changed(ENTRIES, "archive/byteorder", data=b"big")), "byte order is b'big'"),
    "an unknown byte order": (zipped(changed(ENTRIES, "archive/byteorder", data=b"middle")), "byte order is b'middle'"),
    "overlapping members": (zipped(changed(ENTRIES, "archive/data/0", central_offset=0)), "another name|overlaps"),
    "members in one place": (zipped([*ENTRIES, Entry("archive/data/1", VALUES, central_offset=0)]), "another name|overlaps"),
    "a quoted member": (zipped(changed(ENTRIES, "archive/data/0", data=VALUES + zipped(ENTRIES[2:3]))), "4 elements of"),
    "a gap between members": (zipped(changed(ENTRIES, "archive/data/0", gap=b"hole")), "leaves a gap"),
    "a gap behind the members": (zipped(changed(ENTRIES, "archive/version", gap=b"hole")), "its directory begins at"),
    "bytes before the first member": (b"PK\3\4" + zipped(ENTRIES), "do not agree"),
    "bytes behind the end": (zipped(ENTRIES) + b"\0", "does not end as one"),
    "a comment": (zipped(ENTRIES, comment=b"hello"), "does not end as one"),
    "a second zip behind it": (zipped(ENTRIES) + zipped(ENTRIES), "do not agree"),
    "a hole before the end": (zipped(ENTRIES, before_end=b"hole"), "do not agree"),
    "fewer members than the directory": (zipped(ENTRIES, count=3), "3 members take"),
    "more members than the directory": (zipped(ENTRIES, count=5), "cut short"),
    "65,535 members": (zipped(ENTRIES, count=0xFFFF), "65,535 members"),
    "a size beyond the file": (zipped(changed(ENTRIES, "archive/data/0", central_size=10**6)), "into its directory"),
    "a size of 4 GB": (zipped(changed(ENTRIES, "archive/data/0", central_size=0xFFFFFFFF)), "into its directory"),
    "an offset in the directory": (
        zipped(changed(ENTRIES, "archive/version", central_offset=len(zipped(ENTRIES)) - 200)),
        "gap|directory",
    ),
    "an offset beyond the file": (zipped(changed(ENTRIES, "archive/version", central_offset=0xFFFFFFF0)), "gap|directory"),
    "a size of 2⁶⁴ - 1": (
        zipped(
            changed(
                ENTRIES,
                "archive/data/0",
                central_size=0xFFFFFFFF,
                central_extra=struct.pack("<HHQQ", 1, 16, 2**64 - 1, 2**64 - 1),
            )
        ),
        "into its directory",
    ),
    "two sizes of 64 bits": (
        zipped(changed(ENTRIES, "archive/data/0", central_size=0xFFFFFFFF, central_extra=struct.pack("<HHQQ", 1, 16, 16, 17))),
        "two sizes",
    ),
    "64 bits that nothing asks for": (
        zipped(changed(ENTRIES, "archive/data/0", central_extra=struct.pack("<HHQ", 1, 8, 16))),
        "two sizes",
    ),
    "64 bits in front of the bytes that differ": (
        zip64(ENTRIES).replace(struct.pack("<HHQQ", 1, 24, 16, 0), struct.pack("<HHQQ", 1, 24, 17, 0), 1),
        "in front of its bytes",
    ),
    "an extra field that is cut": (zipped(changed(ENTRIES, "archive/data/0", local_extra=b"FB\x09\0ZZ")), "cut short"),
    "an extra field of 3 bytes": (zipped(changed(ENTRIES, "archive/data/0", local_extra=b"FB\0")), "cut short"),
    "another name in an extra field": (zipped(changed(ENTRIES, "archive/data/0", central_extra=b"up\5\0\1abcd")), "field 0x7075"),
    "a flipped byte of the pickle": (
        zipped(ENTRIES).replace(b"OrderedDict", b"OrderedDicu"),
        "checksum of its member 'archive/data.pkl'",
    ),
    "a pickle with bytes behind its end": (zipped(entries_of(GOOD + b"N", {"0": VALUES})), "behind its end"),
    "a pickle that is cut": (zipped(entries_of(GOOD[:-1], {"0": VALUES})), "cut short"),
    "an empty pickle": (zipped(entries_of(b"", {"0": VALUES})), "cut short"),
    "a pickle of 9 MB": (zipped(entries_of(bytes(9_000_000), {"0": VALUES})), "9,000,000 bytes"),
    "a wrong place of the second end": (zip64(ENTRIES).replace(b"PK\6\7\0\0\0\0", b"PK\6\7\0\0\0\1"), "is not at byte"),
    "two ends that differ": (zip64(ENTRIES)[:-12] + b"\3\0" + zip64(ENTRIES)[-10:], "do not agree"),
}

STREAM_GOOD = pickled(table_of({"a": tensor(storage(more=b"N"))}))

HOSTILE_STREAMS: dict[str, tuple[bytes, str]] = {
    "more elements than the pickle says": (streamed(STREAM_GOOD, {"0": (5, VALUES + bytes(4))}), "5 elements"),
    "fewer elements than the pickle says": (streamed(STREAM_GOOD, {"0": (3, VALUES)}), "3 elements"),
    "a count of -1": (streamed(STREAM_GOOD, {"0": (-1, VALUES)}), "elements"),
    "a count that wraps around to 16 bytes": (streamed(STREAM_GOOD, {"0": (2**62 + 4, VALUES)}), "elements"),
    "a storage cut short": (streamed(STREAM_GOOD, {"0": (4, VALUES[:-1])}), "cut short"),
    "no count": (streamed(STREAM_GOOD, {"0": (4, VALUES)})[:-20], "cut short"),
    "bytes behind the last storage": (streamed(STREAM_GOOD, {"0": (4, VALUES)}) + b"\0", "belong to nothing"),
    "a storage twice": (
        MAGIC + streamed(STREAM_GOOD, {})[len(MAGIC) : -len(pickled(b"](e"))] + pickled(b"](" + text("0") * 2 + b"e") + bytes(48),
        "not exactly",
    ),
    "keys that are no list": (
        MAGIC + streamed(STREAM_GOOD, {})[len(MAGIC) : -len(pickled(b"](e"))] + pickled(b"}"),
        "expected a list",
    ),
    "keys that are numbers": (
        MAGIC + streamed(STREAM_GOOD, {})[len(MAGIC) : -len(pickled(b"](e"))] + pickled(b"]K\0a"),
        "expected a list",
    ),
    "a part of another storage": (
        streamed(pickled(table_of({"a": tensor(storage(more=tuple_of(text("1"), number(0), number(4))))})), {"0": (4, VALUES)}),
        "part of another one",
    ),
    "a storage as in a zip": (streamed(GOOD, {"0": (4, VALUES)}), "not a storage"),
    "big-endian bytes": (streamed(STREAM_GOOD, {"0": (4, VALUES)}, little=b"\x89"), "little-endian"),
    "little-endian bytes by a number": (streamed(STREAM_GOOD, {"0": (4, VALUES)}, little=b"K\1"), "little-endian"),
    "protocol 1000": (streamed(STREAM_GOOD, {"0": (4, VALUES)}, protocol=1000), "protocol 1000"),
    "a storage in the facts about the machine": (MAGIC + pickled(number(1001)) + pickled(storage(more=b"N")), "not a storage"),
    "a name in the facts about the machine": (MAGIC + pickled(number(1001)) + pickled(named("os", "system")), "os.system"),
    "a name instead of the protocol": (MAGIC + pickled(named("os", "system")), "os.system"),
    "the magic number alone": (MAGIC, "cut short|protocol"),
}


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("storages"))
    return file.getvalue()


OTHER_FILES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "begins with b''"),
    "one byte": (b"\x80", "torch.save did not write"),
    "a tar of old torch": (_tar(), "tar file"),
    "a plain pickle": (pickled(b"}"), "a pickle that torch.save did not write"),
    "a stream of another magic number": (MAGIC.replace(b"\x19", b"\x18") + bytes(100), "torch.save did not write"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS"),
    "a safetensors file": (struct.pack("<Q", 2) + json.dumps({}).encode(), "safetensors"),
    "a page of HTML": (b"<!DOCTYPE html><html></html>", "begins with b'<!DOCTYPE"),
    "zeros": (bytes(10_000), "begins with"),
    "an empty zip": (zipped([]), "begins with"),
    "the first bytes of a zip": (b"PK\3\4", "cut short"),
}
