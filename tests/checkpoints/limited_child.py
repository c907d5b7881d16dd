"""Files that nobody should trust, opened in a child process that has 200 MB of memory, and a second for each of them."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import minibert

needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS limits memory on Linux only")

OPEN_CHECKPOINT = "from minibert.checkpoints.tensors import open_checkpoint as open_file"

PROGRAM = """
import resource, signal, sys, time, types

# The package without its __init__, which would import JAX.
package = types.ModuleType("minibert")
package.__path__ = [sys.argv[1]]
sys.modules["minibert"] = package

from pathlib import Path

from minibert.errors import CheckpointError

exec(sys.argv[2])


def too_long(*_):
    raise TimeoutError


signal.signal(signal.SIGALRM, too_long)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

for name in sys.argv[4:]:
    begin = time.process_time()
    signal.alarm(int(sys.argv[3]))
    try:
        found = open_file(Path(name))
        for tensor in getattr(found, "tensors", found).values():
            tensor.read().sum()
        outcome = "accepted"
    except CheckpointError as problem:
        outcome = "refused" if name in str(problem) else "unnamed"
    except Exception as problem:
        outcome = type(problem).__name__
    signal.alarm(0)
    seconds = time.process_time() - begin
    print(outcome if seconds < 1 else f"{outcome} after {seconds:.1f} s", name, flush=True)
"""


def outcomes(names: Iterable[Path | str], *, opener: str = OPEN_CHECKPOINT, most_seconds: int = 20) -> dict[str, str]:
    """What comes of opening each file or folder and reading every tensor in it: "refused" is an error of ours that names it.

    Others are "unnamed", "accepted" and the names of errors that are not ours; all say so when it took over a second.

    Args:
        names: the paths.
        opener: source that defines `open_file`, which takes a path and gives tensors by their names.
        most_seconds: after so many by the clock a file is given up.
    """
    paths = [str(name) for name in names]
    command = [sys.executable, "-c", PROGRAM, str(Path(minibert.__file__).parent), opener, str(most_seconds), *paths]
    child = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert (child.returncode, child.stderr) == (0, "")
    found = [line.rpartition(" " + path) for line, path in zip(child.stdout.splitlines(), paths, strict=True)]
    return {path: line[0] for line, path in zip(found, paths, strict=True)}
