"""The folder beside the output in which a training lives until it is done: its lock, what it was told, its checkpoints."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from minibert.atomic_write import sync_folder, sync_tree, write_atomically
from minibert.errors import InputError
from minibert.features.corpus.receipt import differences
from minibert.folder_lock import LOCK_FILE, LockedError, has_been_locked, is_lock_of, lock_folder
from minibert.printable import listed
from minibert.strict_json import read_json_object
from minibert.training.checkpoints import TrainingCheckpoints
from minibert.training.reports.training_files import METRICS

PLAN = "plan.json"


class Work:
    """The folder; `states` and `best` in it are the loop's."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.name}.training")

    @contextlib.contextmanager
    def locked(self, inputs: Iterable[str | Path | None]) -> Iterator[None]:
        """Within it no other process works there. Of several processes that train together the first one has the lock.

        Raises InputError where another one has it already, where what is there is no training's, and for one of the `inputs`,
        files and folders that are read, that lies in the folder: nothing there is touched.
        """
        for path in inputs:
            if path is not None and _lies_in(path, self.folder):
                raise InputError(
                    f"{path} lies in {self.folder}, which is removed when this training is done; copy it to another place, or "
                    "choose another output"
                )
        if jax.process_index() != 0:
            yield
            return
        try:
            self._check_own()
            self.output.parent.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(self.folder)
        except LockedError as problem:
            who = f"process {problem.holder}" if problem.holder else "another process"
            raise InputError(f"{self.output} is being trained by {who}; wait for it, or choose another output") from None
        except OSError as problem:
            raise InputError(f"{self.folder} cannot be written: {problem.strerror or problem}; choose another output") from None
        try:
            yield
        finally:
            # Once it is removed, a folder of this name is another training's.
            if is_lock_of(lock, self.folder) and not self._has_states():
                self.remove()
            os.close(lock)

    def start(self, plan: Mapping[str, Any], *, resume: bool, restart: bool) -> None:
        """Note what is going to be done, or make sure that it is what an interrupted run was doing; one process is enough for it.

        Raises InputError, saying what differs, where it is not, and where a run was interrupted and nobody said what to do.
        """
        # As it comes back from JSON.
        now = json.loads(json.dumps(plan))
        path = self.folder / PLAN
        if path.exists() and self._has_states() and not restart:
            if not resume:
                raise InputError(
                    f"{self.folder} holds a training that was interrupted; go on with it by --resume, or forget it by --restart"
                )
            found = [_by_option(each) for each in differences(read_json_object(path, error=InputError), now)]
            if found:
                raise InputError(
                    f"the interrupted training in {self.folder} was another one: {listed(found)}; give what it was given, or "
                    "begin anew with --restart"
                )
            return
        for name in ("states", "best", "final"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        with write_atomically(path) as file:
            file.write(json.dumps(now, indent=1, sort_keys=True).encode())
        sync_folder(self.folder)

    def _has_states(self) -> bool:
        """Whether there is anything to go on from."""
        return (self.folder / PLAN).exists() and bool(self.steps())

    def steps(self) -> list[int]:
        """Of the checkpoints that there are, from the oldest."""
        return TrainingCheckpoints(self.folder / "states").steps()

    def check_unfinished(self) -> None:
        """InputError where the output is there whole; what led to it and was not removed yet goes then."""
        if self._is_published() or ((self.output / METRICS).exists() and not self._has_states()):
            self.remove()
            raise InputError(f"the training of {self.output} is done, and there is nothing to go on with; use what is there")

    def _is_published(self) -> bool:
        return (self.folder / PLAN).exists() and self.output.exists() and any(self.output.iterdir())

    def finish(self, final: Path) -> None:
        """The folder `final` becomes the output, whole, and nothing else is left."""
        sync_tree(final)
        os.replace(final, self.output)
        sync_folder(self.output.parent)
        self.remove()

    def remove(self) -> None:
        """The plan first: without it nothing in the folder counts. The lock last: by it the next training knows the folder."""
        with contextlib.suppress(OSError):
            (self.folder / PLAN).unlink(missing_ok=True)
            for path in [path for path in self.folder.iterdir() if path.name != LOCK_FILE]:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            (self.folder / LOCK_FILE).unlink()
            self.folder.rmdir()

    def _check_own(self) -> None:
        """InputError where the folder is there and no training made it: what makes one begins with its lock."""
        if not os.path.lexists(self.folder):
            return
        is_folder = self.folder.is_dir() and not self.folder.is_symlink()
        if is_folder and (not any(self.folder.iterdir()) or has_been_locked(self.folder)):
            return
        raise InputError(
            f"{self.folder} is there and holds no training of minibert's, which would live there until it is done; move it, or "
            "choose another output"
        )


def _by_option(difference: str) -> str:
    """What differs by the name that it was given under, not by where the plan has it."""
    for group in ("options.", "training.", "optimiser."):
        difference = difference.removeprefix(group)
    return difference


def _lies_in(path: str | Path, folder: Path) -> bool:
    # What is no path is refused by who reads it.
    with contextlib.suppress(TypeError, ValueError):
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    return False
