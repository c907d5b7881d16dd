"""Checkpoints of a training that is under way, by orbax: whole or not there, proved by their sha256.

A checkpoint is a folder of orbax's and beside it a small record, `7.json`, written last: the hashes of all its files, what the
loop has to remember besides arrays, and a hash of this. A folder without its record was never finished. Where the newest is
damaged the one before it serves, and a warning says so: the steps in between are made again, to the same bits.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from minibert.atomic_write import sync_folder, sync_tree, write_atomically
from minibert.checkpoints.integrity import sha256_of
from minibert.errors import CheckpointError, shown
from minibert.strict_json import read_json_object

# As TensorStore, orbax' library for arrays, tells of it in the midst of much else.
_OS_ERROR = re.compile(r"os_error_code='(\d+)'")
_RECORD = re.compile(r"(0|[1-9][0-9]{0,11})\.json")


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint of a training cannot be used, and an earlier one is."""


class Restored(NamedTuple):
    """What `restore` found."""

    arrays: Any
    remembered: dict[str, Any]


class TrainingCheckpoints:
    """The checkpoints in a folder, by the number of steps made. With several processes every method is called by each of them."""

    def __init__(self, folder: Path, kept: int = 2, resumed_from: "TrainingCheckpoints | None" = None) -> None:
        self.folder = folder.absolute()
        self.kept = kept
        self.resumed_from = self if resumed_from is None else resumed_from
        """Those that a run goes on from after a failure."""

    def save(self, step: int, arrays: Any, remembered: Mapping[str, Any]) -> None:
        """Write a tree of arrays and what is to be remembered (JSON) as the checkpoint of `step`, then drop all but the last few.

        Those of this step and of later ones go before it is written: a run that makes this step has gone back behind them.

        Raises CheckpointError where it cannot be written; those before it are as they were.
        """
        target = self.folder / str(step)
        try:
            if jax.process_index() == 0:
                self.folder.mkdir(parents=True, exist_ok=True)
                for later in reversed([found for found in self.steps() if found >= step]):
                    self._remove(later)
            self._write(target, arrays)
            if jax.process_index() == 0:
                # So that a power cut after the record is written takes nothing of what it names.
                sync_tree(target)
                record = {"files": _hashes(target), "remembered": dict(remembered)}
                with write_atomically(self._record(step), error=CheckpointError) as file:
                    # In the order in which it was told, for what is remembered is shown again.
                    file.write(json.dumps(record | {"sha256": _hash_of(record)}, allow_nan=False).encode())
                sync_folder(self.folder)
                for old in self.steps()[: -self.kept]:
                    self._remove(old)
        except CheckpointError:
            self._give_up(step)
            raise
        except OSError as problem:
            self._give_up(step)
            raise self._unwritten(target, problem) from None

    def restore(self, like: Any) -> Restored | None:
        """The newest whole checkpoint, its arrays laid out as those of `like`; None where there is none at all.

        Warns (DamagedCheckpointWarning) of each that is damaged. Raises CheckpointError where all are.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                record = self._checked_record(step)
                return Restored(_read(self.folder / str(step), like), record["remembered"])
            except CheckpointError as problem:
                warnings.warn(f"{problem}; going on from the checkpoint before it", DamagedCheckpointWarning, stacklevel=2)
        if steps:
            raise CheckpointError(f"{self.folder} holds no checkpoint that is whole; start anew with --restart")
        return None

    def restore_only(self, step: int, like: Any) -> Any:
        """The arrays of the checkpoint of `step`. Raises CheckpointError where it is not there or not whole."""
        self.check(step)
        return _read(self.folder / str(step), like)

    def check(self, step: int) -> None:
        """CheckpointError unless the checkpoint of `step` is there and whole."""
        try:
            self._checked_record(step)
        except CheckpointError as problem:
            raise CheckpointError(
                f"the checkpoint of step {step} in {self.folder} is needed and not whole: {problem}; bring it back, or start "
                "anew with --restart"
            ) from None

    def steps(self) -> list[int]:
        """Of the finished checkpoints, from the oldest."""
        try:
            found = [_RECORD.fullmatch(name) for name in os.listdir(self.folder)]
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise CheckpointError(f"{self.folder} cannot be read: {problem.strerror or problem}; expected a folder") from None
        return sorted(int(match[1]) for match in found if match)

    def clean(self) -> None:
        """Remove what was never finished. Raises CheckpointError for what cannot be removed."""
        whole = {name for step in self.steps() for name in (str(step), f"{step}.json")}
        if not self.folder.exists() or jax.process_index() != 0:
            return
        try:
            for path in self.folder.iterdir():
                if path.name not in whole:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as problem:
            raise CheckpointError(
                f"what an earlier run left unfinished in {self.folder} cannot be removed: {problem.strerror or problem}; remove "
                "it yourself"
            ) from None

    def _checked_record(self, step: int) -> dict[str, Any]:
        record = read_json_object(self._record(step), error=CheckpointError)
        folder = self.folder / str(step)
        files, remembered = record.get("files"), record.get("remembered")
        if not isinstance(files, dict) or not isinstance(remembered, dict):
            raise CheckpointError(f"{self._record(step)} is not the record of a checkpoint")
        if record != {"files": files, "remembered": remembered, "sha256": _hash_of({"files": files, "remembered": remembered})}:
            raise CheckpointError(f"the record {self._record(step)} is damaged: its sha256 is another")
        found = _hashes(folder)
        for name in sorted({*files, *found}):
            if files.get(name) != found.get(name):
                state = "is missing" if name not in found else "is damaged" if name in files else "does not belong there"
                raise CheckpointError(f"the checkpoint {folder} is damaged: {shown(name)} {state}")
        return record

    def _write(self, target: Path, arrays: Any) -> None:
        import orbax.checkpoint as ocp

        try:
            with _alone_with_the_exception(), ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(target, _by_path(arrays), force=True)
                checkpointer.wait_until_finished()
        except Exception as problem:  # orbax and what it writes with have errors of many kinds
            raise self._unwritten(target, problem) from None

    def _unwritten(self, target: Path, problem: Exception) -> CheckpointError:
        then = "the checkpoints before it are whole: make room, then go on with --resume"
        if not self.resumed_from.steps():
            then = "there is no checkpoint before it: make room, then begin again"
        return CheckpointError(f"{target} cannot be written: {_first_line(problem)}; {then}")

    def _record(self, step: int) -> Path:
        return self.folder / f"{step}.json"

    def _remove(self, step: int) -> None:
        """The record first: what has none does not count."""
        self._record(step).unlink(missing_ok=True)
        shutil.rmtree(self.folder / str(step), ignore_errors=True)

    def _give_up(self, step: int) -> None:
        with contextlib.suppress(OSError, CheckpointError):
            if step not in self.steps():
                self.clean()


def _by_path(tree: Any) -> dict[str, Any]:
    """The arrays by their paths: a plain dict, which any version of any library reads."""
    return {jax.tree_util.keystr(keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@contextlib.contextmanager
def _alone_with_the_exception() -> Iterator[None]:
    """Within it orbax's threads print nothing of a failure, before its exception or after it, which says all that they say."""
    loggers, hook = [logging.getLogger(name) for name in ("absl", "asyncio")], sys.unraisablehook

    def is_of_others(record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname and not record.getMessage().startswith("Task exception was never retrieved")

    def of_others(problem: Any) -> None:
        if str(problem.exc_value) != "Event loop is closed":
            hook(problem)

    for logger in loggers:
        logger.addFilter(is_of_others)
    sys.unraisablehook = of_others
    yield
    # After a failure all this stays: writes that were begun still come to their end, and find the loop closed.
    sys.unraisablehook = hook
    for logger in loggers:
        logger.removeFilter(is_of_others)


def _read(folder: Path, like: Any) -> Any:
    import orbax.checkpoint as ocp

    wanted = {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) for path, leaf in _by_path(like).items()}
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(folder, wanted)
    except Exception as problem:
        raise CheckpointError(f"the checkpoint {folder} cannot be read: {_first_line(problem)}") from None
    return jax.tree.unflatten(jax.tree.structure(like), [found[path] for path in wanted])


def _hash_of(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file; nothing for what is no regular file and might never end."""
    try:
        files = [path for path in sorted(folder.rglob("*")) if not path.is_dir()]
        return {path.relative_to(folder).as_posix(): sha256_of(path) if path.is_file() else "" for path in files}
    except OSError as problem:
        raise CheckpointError(f"{folder} cannot be read: {problem.strerror or problem}") from None


def _first_line(problem: Exception) -> str:
    told = problem.strerror if isinstance(problem, OSError) else None
    found = _OS_ERROR.search(str(problem))
    if found:
        return os.strerror(int(found[1]))
    line = (told or str(problem).strip() or type(problem).__name__).splitlines()[0]
    # What was tried stands at the beginning, and why it failed at the end.
    return line if len(line) <= 300 else f"{line[:100]} … {line[-200:]}"


def host_copy(tree: Any) -> Any:
    """The arrays of a tree in this process's memory, whole; every process has to ask."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)
