"""The folder beside the output in which a training lives until it is done: its lock, what it was told, its checkpoints."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from minibert.atomic_write import sync_folder, sync_tree, write_atomically
from minibert.errors import InputError
from minibert.features.corpus.receipt import differences
from minibert.folder_lock import LockedError, lock_folder
from minibert.printable import listed
from minibert.strict_json import read_json_object
from minibert.training.checkpoints import TrainingCheckpoints

PLAN = "plan.json"


class Work:
    """The folder; `states` and `best` in it are the loop's."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.name}.training")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Within it no other process works there. Of several processes that train together the first one has the lock.

        Raises InputError where another one has it already.
        """
        if jax.process_index() != 0:
            yield
            return
        try:
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
            os.close(lock)
            if not self._has_states():
                shutil.rmtree(self.folder, ignore_errors=True)

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
            found = differences(read_json_object(path, error=InputError), now)
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
        """InputError where the output is there whole, and only what led to it was not removed yet; then it is."""
        if (self.folder / PLAN).exists() and self.output.exists() and any(self.output.iterdir()):
            self.remove()
            raise InputError(f"the training of {self.output} is done, and there is nothing to go on with; use what is there")

    def finish(self, final: Path) -> None:
        """The folder `final` becomes the output, whole, and nothing else is left."""
        sync_tree(final)
        os.replace(final, self.output)
        sync_folder(self.output.parent)
        self.remove()

    def remove(self) -> None:
        """The plan first: without it nothing in the folder counts."""
        (self.folder / PLAN).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
