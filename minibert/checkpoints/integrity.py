"""Whether the files of a checkpoint are the ones that the registry means, and what else can be told without a hash."""

import contextlib
import errno
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from minibert.checkpoints.formats.safetensors_file import MAX_HEADER_BYTES
from minibert.checkpoints.registry import Entry, File
from minibert.checkpoints.tensors import open_checkpoint
from minibert.errors import FetchError, shown
from minibert.strict_json import parse_json_object, read_json_object, read_regular_file

# What was fetched, beside the files themselves: the only witness later on for a file whose hash no registry knows.
RECORD = "fetched.json"
GIT_LFS_POINTER = "a pointer of Git LFS"
IMPOSTORS = {
    b"version https://git-lfs": GIT_LFS_POINTER,
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "a web page",
}
"""What begins so is a page that a proxy, log-in wall or careless mirror sends in a file's place, or git's stand-in for one."""
# What the system says when a disk, a quota or a limit on a file's size is reached.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Verdict:
    """What was found out about one file; `suspect` when it differs from an unconfirmed hash or size."""

    name: str
    sha256: str
    size: int
    text: str
    suspect: bool = False
    verified: bool = False
    """Whether it has the sha256 that the registry has for it."""


def check_new(folder: Path, entry: Entry, stated: Mapping[str, str]) -> tuple[Verdict, ...]:
    """Judge the files that have just arrived in `folder`; FetchError at the first that must not be used.

    `stated` holds the sha256 that the server itself gave for a file, which counts where the registry confirms none.
    """
    verdicts = tuple(_judge_new(folder / file.name, file, stated.get(file.name)) for file in entry.files)
    _check_sizes(folder, entry)
    return verdicts


def _check_sizes(folder: Path, entry: Entry) -> None:
    """FetchError where a source whose name says how large the model is sent the configuration of another one."""
    source = getattr(entry.source, "path", "") or getattr(entry.source, "repository", "")
    said = re.search(r"_L-(\d+)_H-(\d+)_A-(\d+)", source)
    path = next((folder / file.name for file in entry.files if file.name in ("bert_config.json", "config.json")), None)
    if said is None or path is None:
        return
    values = read_json_object(path, error=FetchError)
    for key, expected in zip(("num_hidden_layers", "hidden_size", "num_attention_heads"), said.groups(), strict=True):
        if values.get(key) != int(expected):
            raise FetchError(
                f"{source} sent a {path.name} with {key} = {shown(values.get(key))}, where its name says {expected}: another "
                "checkpoint; check the mirror that it came from"
            )


def check_again(folder: Path, entry: Entry) -> tuple[Verdict, ...]:
    """Judge a checkpoint fetched earlier, offline; FetchError at the first file that is missing or changed since."""
    recorded: Mapping[str, tuple[str, int]] = {}
    with contextlib.suppress(FetchError):
        recorded = read_record(folder) or {}
    verdicts = []
    for file in entry.files:
        path = folder / file.name
        verdict = _judge(path, file)
        if not file.confirmed:
            if file.name not in recorded:
                raise FetchError(f"{path} cannot be checked: {folder / RECORD} does not say what was fetched")
            if recorded[file.name] != (verdict.sha256, verdict.size):
                raise FetchError(f"{path} is not the file that was fetched: its sha256 is {verdict.sha256} now")
        verdicts.append(verdict)
    return tuple(verdicts)


def write_record(folder: Path, origin: str, verdicts: tuple[Verdict, ...]) -> None:
    """Keep in `folder` where its files came from and what they were, for `check_again`."""
    files = {verdict.name: {"sha256": verdict.sha256, "size": verdict.size} for verdict in verdicts}
    text = json.dumps({"origin": origin, "files": files}, indent=2)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def read_record(folder: Path) -> dict[str, tuple[str, int]] | None:
    """The sha256 and the size of each file that was fetched, as `write_record` kept them; None where nothing was kept.

    A name may have a folder in it, `1_Pooling/config.json`, and never leads out of `folder`. FetchError: the record is damaged.
    """
    path = folder / RECORD
    if not os.path.lexists(path):
        return None
    files = read_json_object(path, error=FetchError, max_bytes=1 << 20).get("files")
    if not isinstance(files, dict):
        raise FetchError(f"{path} does not say what was fetched: expected a table of files; fetch the checkpoint again")
    recorded = {}
    for name, fact in files.items():
        facts = fact if isinstance(fact, dict) else {}
        sha256, size = facts.get("sha256"), facts.get("size")
        if not (_is_inside(name) and isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256) and type(size) is int):
            raise FetchError(
                f"{path} does not say what was fetched: {name[:80]!r} is not a file of the folder with its sha256 and its size; "
                "fetch the checkpoint again"
            )
        recorded[name] = (sha256, size)
    return recorded


def weights_sha256(folder: Path) -> tuple[Path, str]:
    """The file of a checkpoint's weights, the first of several, and its sha256: what traces name a checkpoint by.

    Raises CheckpointError as `open_checkpoint` does.
    """
    weights = open_checkpoint(folder).files[0]
    return weights, sha256_of(weights)


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_sizes(folder: Path) -> list[int]:
    """The sizes of all files below `folder`, which others may be writing, renaming and removing meanwhile."""
    sizes = []
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(parent, name)).st_size)
            except FileNotFoundError:
                continue
    return sizes


def _judge_new(path: Path, file: File, stated: str | None) -> Verdict:
    verdict = _judge(path, file)
    if file.confirmed:
        return verdict
    check_form(path)
    if stated is not None and stated != verdict.sha256:
        raise FetchError(
            f"{file.name} arrived with sha256 {verdict.sha256}, but its server states {stated}: damaged on the way, or "
            "changed meanwhile; run the same command again"
        )
    return verdict if stated is None else replace(verdict, text=f"{verdict.text}; its server states the same sha256")


def _judge(path: Path, file: File) -> Verdict:
    """What the registry says about the file at `path`; a confirmed hash that differs is a FetchError."""
    if path.is_symlink() or not path.is_file():
        raise FetchError(f"{path} is missing or is no regular file")
    size = path.stat().st_size
    if file.confirmed and file.size is not None and size != file.size:
        raise FetchError(f"{path} has {size:,} bytes, the registry expects {file.size:,}")
    sha256 = sha256_of(path)
    if file.sha256 == sha256:
        text = "sha256 as registered" if file.confirmed else "sha256 as registered, from one public source"
        return Verdict(file.name, sha256, size, text, verified=True)
    if file.confirmed:
        raise FetchError(f"{path} has sha256 {sha256}, the registry expects {file.sha256}")
    if file.sha256 is not None:
        text = f"sha256 differs from {file.sha256}, which one public source alone states"
        return Verdict(file.name, sha256, size, text, suspect=True)
    if file.size is not None and file.size != size:
        text = f"{size:,} bytes instead of {file.size:,}, which one public source alone states"
        return Verdict(file.name, sha256, size, text, suspect=True)
    return Verdict(file.name, sha256, size, "no public hash known")


def check_form(path: Path) -> None:
    """FetchError where a file without a confirmed hash is visibly not what its name says."""
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start.strip() or start.lstrip().lower().startswith(tuple(IMPOSTORS)):
        found = "nothing" if not start.strip() else repr(start.lstrip()[:40].decode("latin-1"))
        raise FetchError(f"{path.name} holds {found}, not the file: a proxy or mirror sent something else; try another network")
    if path.suffix == ".json":
        read_json_object(path, error=FetchError)
    elif path.suffix == ".safetensors":
        _check_safetensors(path, start)
    elif path.suffix == ".txt":
        _check_text(path)
    elif path.suffix == ".bin" and not (start.startswith(b"\x80\x02") or zipfile.is_zipfile(path)):
        raise FetchError(f"{path.name} is neither a whole zip nor an old torch file: half of it, or something else, arrived")


def _check_safetensors(path: Path, start: bytes) -> None:
    """FetchError unless the header is whole and its last tensor ends where the file ends."""
    size = path.stat().st_size
    length = int.from_bytes(start[:8], "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise FetchError(f"{path.name} claims a header of {length:,} bytes in a file of {size:,}: no whole safetensors file")
    with path.open("rb") as stream:
        stream.seek(8)
        header = parse_json_object(stream.read(length), path.name, error=FetchError)
    offsets = [entry.get("data_offsets") for entry in header.values() if isinstance(entry, dict)]
    ends = [pair[1] for pair in offsets if isinstance(pair, list) and len(pair) == 2 and type(pair[1]) is int]
    expected = 8 + length + max(ends, default=0)
    if expected != size:
        raise FetchError(f"{path.name} has {size:,} bytes, its own header calls for {expected:,}: it did not arrive whole")


def _check_text(path: Path) -> None:
    try:
        read_regular_file(path, error=FetchError, max_bytes=64 << 20).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise FetchError(f"{path.name} is not text: byte {problem.start} is not UTF-8") from None


def _is_inside(name: str) -> bool:
    """Whether a name is a relative path that stays in its folder, in the one way in which it can be written."""
    parts = PurePosixPath(name).parts
    return bool(parts) and "/".join(parts) == name and ".." not in parts and "\0" not in name
