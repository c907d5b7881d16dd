"""Checkpoints of a training that is under way, by orbax: whole or not there, proved by their sha256.

A checkpoint is a folder of orbax's and beside it a small record, `7.json`, written last: the hashes of all its files and what
the loop has to remember besides arrays. A folder without its record was never finished. Where the newest is damaged the one
before it serves, and a warning says so: the steps in between are made again, to the same bits.
"""

import contextlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from minibert.atomic_write import sync_folder, write_atomically
from minibert.checkpoints.integrity import sha256_of
from minibert.errors import CheckpointError, shown
from minibert.strict_json import read_json_object

_RECORD = re.compile(r"([0-9]{1,12})\.json")


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint of a training cannot be used, and an earlier one is."""


class Restored(NamedTuple):
    """What `restore` found."""

    arrays: Any
    remembered: dict[str, Any]


class TrainingCheckpoints:
    """The checkpoints in a folder, by the number of steps made. With several processes every method is called by each of them."""

    def __init__(self, folder: Path, kept: int = 2) -> None:
        self.folder = folder.absolute()
        self.kept = kept

    def save(self, step: int, arrays: Any, remembered: Mapping[str, Any]) -> None:
        """Write a tree of arrays and what is to be remembered (JSON) as the checkpoint of `step`, then drop all but the last few.

        Raises CheckpointError where it cannot be written; those before it are as they were.
        """
        import orbax.checkpoint as ocp

        target = self.folder / str(step)
        try:
            if jax.process_index() == 0:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._remove(step)
            with ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(target, _by_path(arrays), force=True)
                checkpointer.wait_until_finished()
            if jax.process_index() == 0:
                record = {"files": _hashes(target), "remembered": dict(remembered)}
                with write_atomically(self._record(step), error=CheckpointError) as file:
                    file.write(json.dumps(record).encode())
                sync_folder(self.folder)
                for old in self.steps()[: -self.kept]:
                    self._remove(old)
        except CheckpointError:
            self._give_up(step)
            raise
        except Exception as problem:  # orbax and what it writes with have errors of many kinds
            self._give_up(step)
            raise CheckpointError(
                f"{target} cannot be written: {_first_line(problem)}; the checkpoints before it are whole: make room, then go on "
                "with --resume"
            ) from None

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
        self._checked_record(step)
        return _read(self.folder / str(step), like)

    def steps(self) -> list[int]:
        """Of the finished checkpoints, from the oldest."""
        with contextlib.suppress(FileNotFoundError):
            found = [_RECORD.fullmatch(name) for name in os.listdir(self.folder)]
            return sorted(int(match[1]) for match in found if match)
        return []

    def clean(self) -> None:
        """Remove what was never finished."""
        whole = {name for step in self.steps() for name in (str(step), f"{step}.json")}
        if self.folder.exists() and jax.process_index() == 0:
            for path in self.folder.iterdir():
                if path.name not in whole:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _checked_record(self, step: int) -> dict[str, Any]:
        record = read_json_object(self._record(step), error=CheckpointError)
        folder = self.folder / str(step)
        files, remembered = record.get("files"), record.get("remembered")
        if not isinstance(files, dict) or not isinstance(remembered, dict):
            raise CheckpointError(f"{self._record(step)} is not the record of a checkpoint")
        found = _hashes(folder)
        for name in sorted({*files, *found}):
            if files.get(name) != found.get(name):
                state = "is missing" if name not in found else "is damaged" if name in files else "does not belong there"
                raise CheckpointError(f"the checkpoint {folder} is damaged: {shown(name)} {state}")
        return record

    def _record(self, step: int) -> Path:
        return self.folder / f"{step}.json"

    def _remove(self, step: int) -> None:
        """The record first: what has none does not count."""
        self._record(step).unlink(missing_ok=True)
        shutil.rmtree(self.folder / str(step), ignore_errors=True)

    def _give_up(self, step: int) -> None:
        with contextlib.suppress(OSError):
            if step not in self.steps():
                self.clean()


def _by_path(tree: Any) -> dict[str, Any]:
    """The arrays by their paths: a plain dict, which any version of any library reads."""
    return {jax.tree_util.keystr(keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _read(folder: Path, like: Any) -> Any:
    import orbax.checkpoint as ocp

    wanted = {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) for path, leaf in _by_path(like).items()}
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(folder, wanted)
    except Exception as problem:
        raise CheckpointError(f"the checkpoint {folder} cannot be read: {_first_line(problem)}") from None
    return jax.tree.unflatten(jax.tree.structure(like), [found[path] for path in wanted])


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file, after it was brought onto the disk."""
    hashes = {}
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
                hashes[path.relative_to(folder).as_posix()] = sha256_of(path)
    except OSError as problem:
        raise CheckpointError(f"{folder} cannot be read: {problem.strerror or problem}") from None
    return hashes


def _first_line(problem: Exception) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[0][:300]


def host_copy(tree: Any) -> Any:
    """The arrays of a tree in this process's memory, whole; every process has to ask."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)
