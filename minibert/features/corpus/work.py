"""The work folder of a job: what was computed so far, on the disk chunk by chunk, so that a kill costs one chunk at most.

    .NAME.partial/
        lock            held by the process that works here
        <stream>.data   the results, appended chunk by chunk; an output may have several streams
        chunks.jsonl    a line for each chunk: the length and CRC-32 of its part of every stream
        progress.json   how far all of these files count, what the job is, and where the input goes on; with its own sha256

A chunk is appended to the streams, then to chunks.jsonl, each synced; then progress.json is replaced, and only then the chunk
exists. What is behind the lengths in progress.json is what a kill left and is dropped; damage before them is an error.
"""

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minibert.checkpoints.integrity import sha256_of
from minibert.errors import InputError
from minibert.features.corpus import storage
from minibert.folder_lock import LOCK_FILE, LockedError, lock_folder
from minibert.strict_json import parse_json_object

CHUNKS = "chunks.jsonl"
PROGRESS = "progress.json"
RECEIPT = "receipt.json"
RESTART = "start anew with --restart"
LARGEST_PROGRESS = 1 << 24
LONGEST_CHUNK_LINE = 1 << 16


@dataclass
class Progress:
    """How far a job is; as JSON in progress.json."""

    plan: Mapping[str, Any]
    """What the job is: the options, the model and the input that a resume must agree with."""
    streams: dict[str, int]
    """The bytes of every stream that count."""
    chunks: int = 0
    chunks_bytes: int = 0
    chunks_crc: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    position: Mapping[str, Any] | None = None
    """Where the source goes on."""
    finished: Mapping[str, Any] | None = None
    """The result when it is whole, and only has to take its place: its file in this folder, its size and sha256."""


class Work:
    """The work folder of one output, locked by this process.

    Args:
        output: the file that the job makes; the folder is beside it.
        starts: the streams by their names, and the bytes that each begins with before its first chunk.

    Raises InputError where another process works there, and where the state that is there is damaged; OSError as the system does.
    """

    def __init__(self, output: Path, starts: Mapping[str, bytes]) -> None:
        self.output, self.starts = output, dict(starts)
        self.folder = work_folder(output)
        try:
            self._lock = lock_folder(self.folder)
        except LockedError as problem:
            who = f"process {problem.holder}" if problem.holder else "another process"
            raise InputError(f"{output} is being written by {who}; wait for it, or choose another --output") from None
        self.progress: Progress | None = None

    def close(self) -> None:
        """Give the lock back. The folder stays where there is something in it to go on from, and otherwise goes."""
        try:
            if not (self.folder / PROGRESS).exists():
                # What is left after an error here counts for nothing, and the next job clears it away.
                with contextlib.suppress(OSError):
                    storage.remove_folder(self.folder, last=(LOCK_FILE,))
        finally:
            os.close(self._lock)

    def start(self, plan: Mapping[str, Any]) -> None:
        """Begin anew: nothing of what is there counts any more."""
        self._forget()
        for name in os.listdir(self.folder):
            if name != LOCK_FILE:
                os.unlink(self.folder / name)
        storage.sync_folder(self.folder)
        storage.sync_folder(self.folder.parent)
        self.progress = Progress(plan, {name: len(start) for name, start in self.starts.items()})
        for name, start in self.starts.items():
            storage.append(self.stream(name), start)

    def read(self) -> Progress | None:
        """What an earlier process left: None if nothing counts yet. InputError where it is damaged."""
        path = self.folder / PROGRESS
        if not path.exists():
            return None
        self.progress = _read_progress(path)
        return self.progress

    def repair(self) -> None:
        """Drop what counts in no file, and check all that does. InputError where a part of it is missing or changed."""
        progress = self._progress
        sizes = {self.stream(name): size for name, size in progress.streams.items()}
        for path, size in {**sizes, self.folder / CHUNKS: progress.chunks_bytes}.items():
            found = path.stat().st_size if path.exists() else -1
            if found < size:
                missing = f"has {found:,} of {size:,} bytes" if found >= 0 else "is missing"
                raise InputError(f"{path} {missing}: the work kept for {self.output} is damaged; {RESTART}")
            if found > size:
                storage.cut(path, size)
        # The list of lengths first, which says how much to read of the others.
        for name in progress.streams:
            for _ in self._chunk_lines(name):
                pass
        for name in progress.streams:
            for _ in self.pieces(name):
                pass

    def append(self, pieces: Mapping[str, bytes | memoryview], totals: Mapping[str, int], position: Mapping[str, Any]) -> None:
        """Add a chunk: its part of every stream, what the totals are with it, and where the source goes on behind it.

        On an OSError the chunk is not there, and what is there stays as it was.
        """
        progress = self._progress
        line = {name: [len(memoryview(data).cast("B")) if len(data) else 0, zlib.crc32(data)] for name, data in pieces.items()}
        data = json.dumps(line, sort_keys=True).encode() + b"\n"
        new = Progress(
            progress.plan,
            {name: size + line[name][0] for name, size in progress.streams.items()},
            progress.chunks + 1,
            progress.chunks_bytes + len(data),
            zlib.crc32(data, progress.chunks_crc),
            dict(totals),
            position,
        )
        for name, piece in pieces.items():
            storage.append(self.stream(name), piece)
        storage.append(self.folder / CHUNKS, data)
        self._record(new)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The chunks' parts of a stream, one after the other. InputError for one that is not what was written."""
        progress, path = self._progress, self.stream(name)
        with path.open("rb") as file:
            file.seek(len(self.starts[name]))
            for number, (size, checksum) in enumerate(self._chunk_lines(name), start=1):
                data = file.read(size)
                if len(data) != size or zlib.crc32(data) != checksum:
                    raise self._damaged(path, f"chunk {number:,} of {progress.chunks:,}")
                yield data

    def stream(self, name: str) -> Path:
        """The file of a stream."""
        return self.folder / f"{name}.data"

    def finish(self, result: Path, receipt: Callable[[int, str], bytes] | None) -> None:
        """Record that the job is done.

        Args:
            result: a file in this folder, synced.
            receipt: makes the receipt that will be beside it, of the size and sha256 of the result; None where it has its own.
        """
        size, sha256 = _size_and_sha256(result)
        if receipt is not None:
            storage.replace_content(self.folder / RECEIPT, receipt(size, sha256))
        finished = {"result": result.name, "bytes": size, "sha256": sha256, "receipt": receipt is not None}
        self._record(Progress(**{**vars(self._progress), "finished": finished}))

    def publish(self, check: bool = True) -> bool:
        """Let a finished result take its place, then its receipt; after that nothing in this folder counts any more.

        The second of two renames may be what a crash prevented: then the receipt is brought behind. False, and nothing is done,
        where the result is neither here nor there. InputError where `check` finds that it is not what was written.
        """
        finished = self._progress.finished
        if finished is None:
            raise ValueError("a job that is not finished has no result to publish")
        result, receipt = self.folder / finished["result"], self.folder / RECEIPT
        whole = (finished["bytes"], finished["sha256"])
        if result.exists():
            if check and _size_and_sha256(result) != whole:
                raise self._damaged(result, "its sha256")
            storage.move(result, self.output)
        elif not (self.output.is_file() and _size_and_sha256(self.output) == whole):
            return False
        if finished["receipt"] and receipt.exists():
            storage.move(receipt, receipt_path(self.output))
        self._forget()
        self.progress = None
        return True

    @property
    def is_moved(self) -> bool:
        """Whether a finished job's result has left this folder."""
        finished = self._progress.finished
        return finished is not None and not (self.folder / finished["result"]).exists()

    @property
    def _progress(self) -> Progress:
        if self.progress is None:
            raise ValueError("neither start() nor read() was called, or there was nothing to read")
        return self.progress

    def _forget(self) -> None:
        if (self.folder / PROGRESS).exists():
            os.unlink(self.folder / PROGRESS)
            storage.sync_folder(self.folder)  # or a power cut might take the streams and leave this

    def _record(self, progress: Progress) -> None:
        state = asdict(progress)
        data = json.dumps({"state": state, "sha256": _checksum(state)}, indent=1).encode() + b"\n"
        storage.replace_content(self.folder / PROGRESS, data)
        self.progress = progress

    def _chunk_lines(self, name: str) -> Iterator[tuple[int, int]]:
        progress, path = self._progress, self.folder / CHUNKS
        checksum = place = 0
        if not progress.chunks:
            return
        with path.open("rb") as file:
            for _ in range(progress.chunks):
                line = file.readline(LONGEST_CHUNK_LINE)
                checksum, place = zlib.crc32(line, checksum), place + len(line)
                try:
                    size, crc = json.loads(line)[name]
                    size, crc = int(size), int(crc)
                except (ValueError, KeyError, TypeError):
                    raise self._damaged(path, "a line") from None
                if not 0 <= size <= progress.streams[name]:
                    raise self._damaged(path, "a length")
                yield size, crc
        if (checksum, place) != (progress.chunks_crc, progress.chunks_bytes):
            raise self._damaged(path, "its checksum")

    def _damaged(self, path: Path, what: str) -> InputError:
        return InputError(f"{path} is damaged ({what} is not what was written): {self.output} cannot be resumed; {RESTART}")


def work_folder(output: Path) -> Path:
    """Where the work for an output is kept until it is whole."""
    return output.with_name(f".{output.name}.partial")


def receipt_path(output: Path) -> Path:
    """Where the receipt of an output is that cannot hold one itself."""
    return output.with_name(f"{output.name}.receipt.json")


def _read_progress(path: Path) -> Progress:
    damaged = InputError(f"{path} is damaged: its checksum does not fit what it says; {RESTART}")
    try:
        if path.stat().st_size > LARGEST_PROGRESS:
            raise damaged
        content = parse_json_object(path.read_bytes(), str(path), error=InputError)
        state = content["state"]
        if set(content) != {"state", "sha256"} or content["sha256"] != _checksum(state):
            raise damaged
        return Progress(**state)
    except (InputError, KeyError, TypeError):
        raise damaged from None


def _checksum(state: Any) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _size_and_sha256(path: Path) -> tuple[int, str]:
    return path.stat().st_size, sha256_of(path)
