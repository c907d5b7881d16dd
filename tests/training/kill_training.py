"""Kills a training with checkpoints again and again, goes on, and compares what comes of it with an undisturbed one.

    python tests/training/kill_training.py FOLDER KILLS [SEED]

Every process dies by SIGKILL: by turns at an operation on a file that is drawn by chance, and at a random moment. One run is
killed until a process of it comes to its end; then a new one begins. Prints how many kills there were, and what went wrong.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

from small_training import leaves_of, short_training

OPERATIONS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open")


def started(folder: Path, last_operation: int) -> int:
    """The training in a process of its own, by a fork, which spares it the imports; JAX begins its threads only there.

    The process kills itself before the operation of this number; 0 for never.
    """
    child = os.fork()
    if child == 0:
        operations = count_operations(folder, last_operation)
        trained = short_training(folder)
        leaves = {path: hashlib.sha256(values.tobytes()).hexdigest() for path, values in leaves_of(trained.model).items()}
        result = {"leaves": leaves, "records": trained.records, "best": trained.best_step, "operations": operations[0]}
        folder.with_suffix(".result").write_text(json.dumps(result))
        os._exit(0)
    return child


def count_operations(folder: Path, last: int) -> list[int]:
    """The number of operations on files in the folder so far; the process dies before the last."""
    count = [0]

    def happens(event: str, arguments: tuple[object, ...]) -> None:
        if (event in OPERATIONS and str(folder) in str(arguments[0])) or event == "fsync":
            count[0] += 1
            if count[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(happens)
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        sys.audit("fsync")
        fsync(descriptor)

    os.fsync = watched
    return count


def ended(child: int, seconds: float) -> bool:
    """Whether the process came to its end by itself, unkilled; after so many seconds it is killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            if status not in (0, signal.SIGKILL):
                sys.exit(f"the training ended with status {status}")
            return status == 0
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def result_of(folder: Path) -> dict[str, object]:
    return json.loads(folder.with_suffix(".result").read_text())


def main() -> None:
    parent, wanted = Path(sys.argv[1]), int(sys.argv[2])
    generator = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    warnings.simplefilter("error")
    undisturbed = parent / "undisturbed"
    begun = time.monotonic()
    assert ended(started(undisturbed, 0), 600)
    seconds = time.monotonic() - begun
    expected = result_of(undisturbed)
    operations = expected.pop("operations")
    kills = at_operations = runs = 0
    wrong = []
    while kills < wanted:
        runs += 1
        folder = parent / f"run{runs}"
        while True:
            by_operation = kills % 2 == 0
            # What goes on has less to do than what began.
            last = generator.randrange(1, operations // 2) if by_operation and kills < wanted else 0
            limit = generator.uniform(0.2, 0.8) * seconds if not by_operation and kills < wanted else 600
            if ended(started(folder, last), limit):
                break
            kills += 1
            at_operations += by_operation
        found = result_of(folder)
        del found["operations"]
        names = {path.name for part in ("states", "best") for path in (folder / part).iterdir()}
        if found != expected or names != {path.name for part in ("states", "best") for path in (undisturbed / part).iterdir()}:
            wrong.append(folder.name)
    print(json.dumps({"runs": runs, "kills": kills, "at_operations": at_operations, "wrong": wrong, "operations": operations}))


if __name__ == "__main__":
    main()
