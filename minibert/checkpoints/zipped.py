"""A checkpoint in a zip, as Google publishes them: unpacked once into minibert's own folder, and then used from there."""

import contextlib
import os
import shutil
import tempfile
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from minibert.checkpoints.archive import check_directory, check_members, unpack
from minibert.checkpoints.formats.opening import MAX_FILE_BYTES, opened
from minibert.checkpoints.integrity import sha256_of
from minibert.errors import CheckpointError, FetchError, MinibertError
from minibert.strict_json import MAX_SETTINGS_BYTES, MAX_VOCABULARY_BYTES

WANTED = (
    "bert_config.json",
    "config.json",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "bert_model.ckpt.index",
    "bert_model.ckpt.data-?????-of-?????",
    "model.safetensors",
    "pytorch_model.bin",
    "flax_model.msgpack",
)
"""Nothing else is taken out, and everything lands beside each other."""

MAX_INDEX_BYTES = 4 << 20


def unpacked(archive: Path, home: Path) -> Path:
    """The folder with the checkpoint that a zip holds, under `home`; there is one for each sha256 of a zip.

    Raises CheckpointError for a zip that is damaged, holds no checkpoint or more than one, or cannot be unpacked: nothing of it
    is left then.
    """
    # Before every byte of it is hashed: it may be anything, of any size.
    wanted = wanted_members(archive)
    try:
        check_members(archive, {member: most_bytes(name) for name, member in wanted.items()})
    except FetchError as problem:
        raise CheckpointError(f"{archive} cannot be used: {problem}") from None
    except OSError as problem:
        raise CheckpointError(f"{archive} cannot be read: {problem.strerror}") from None
    folder = home / "unpacked" / sha256_of(archive)
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    except OSError as problem:
        raise CheckpointError(f"{archive} cannot be unpacked into {folder.parent}: {problem.strerror}") from None
    try:
        unpack(archive, {member: work / name for name, member in wanted.items()}, {})
        work.chmod(0o755)
        # Whoever was first has unpacked the same bytes.
        with contextlib.suppress(OSError):
            os.rename(work, folder)
        if not folder.is_dir():
            raise CheckpointError(f"{archive} cannot be unpacked: {folder} cannot be made")
    except MinibertError as problem:
        raise CheckpointError(f"{archive} cannot be used: {problem}") from None
    except OSError as problem:
        raise CheckpointError(f"{archive} cannot be unpacked into {folder.parent}: {problem.strerror}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def most_bytes(name: str) -> int:
    """The most bytes that a file of a checkpoint may have: as many as its reader takes, so that nothing more fills the disk."""
    if name in ("vocab.txt", "tokenizer.json"):
        return MAX_VOCABULARY_BYTES
    if name.endswith(".json"):
        return MAX_SETTINGS_BYTES
    return MAX_INDEX_BYTES if name.endswith(".index") else MAX_FILE_BYTES


def wanted_members(archive: Path) -> dict[str, str]:
    """The files of a checkpoint in a zip, by the names they will have, and their members; CheckpointError unless there is one."""
    try:
        with opened(archive, "a zip with a checkpoint") as (stream, _):
            check_directory(archive, stream)
            members = [member.orig_filename for member in zipfile.ZipFile(stream).infolist()]
    except FetchError as problem:
        raise CheckpointError(f"{archive} cannot be used: {problem}") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as problem:
        raise CheckpointError(f"{archive} is not a sound zip file: {problem}") from None
    wanted: dict[str, str] = {}
    for member in members:
        name = PurePosixPath(member).name
        if any(fnmatchcase(name, pattern) for pattern in WANTED):
            if name in wanted:
                raise CheckpointError(f"{archive} holds {wanted[name]} and {member}; expected one checkpoint: unpack it yourself")
            wanted[name] = member
    if not any("config" in name for name in wanted) or not any("model" in name for name in wanted):
        raise CheckpointError(f"{archive} holds no checkpoint; expected bert_config.json and bert_model.ckpt.index in it")
    return wanted
