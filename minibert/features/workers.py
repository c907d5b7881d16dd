"""Worker processes: on a CPU each core with a batch and a process of its own, which is faster than cores that share batches.

In one process XLA spreads every product over all cores, which then wait for each other some hundred times a batch. A process
that is told of one core keeps a batch's whole way through the model in that core's cache.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

import jax
import numpy as np

from minibert.errors import WorkerError
from minibert.features.layers import Layers
from minibert.model import Bert

ONE_CORE = {"NPROC": "1", "JAX_PLATFORMS": "cpu"}
"""The environment by which XLA makes a single thread for its work."""
CACHE_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
SECONDS_TO_END = 5

Job = tuple[dict[str, np.ndarray], Layers, str | None]
Jobs = SimpleQueue["tuple[Job, Future[np.ndarray]] | None"]


class Workers:
    """Some processes, each with a copy of a model as it is now; whichever is free takes the next batch.

    They end with `close()`, when nothing refers to this any more, and when this process ends, however it does.

    Raises WorkerError, here or where a result is waited for, if a process cannot be started or ends too early.
    """

    def __init__(self, model: Bert, count: int):
        settings = {name: getattr(jax.config, name) for name in CACHE_SETTINGS}
        hello = pickle.dumps((settings, model), protocol=5)
        self._jobs: Jobs = SimpleQueue()
        self.processes: list[subprocess.Popen[bytes]] = []
        try:
            for _ in range(count):
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "minibert.features.worker"],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        env={**os.environ, **ONE_CORE},
                    )
                )
            for process in self.processes:
                assert process.stdin is not None
                process.stdin.write(hello)
                process.stdin.flush()
        except OSError as problem:
            _end(self._jobs, self.processes)
            raise WorkerError(f"a worker process could not be started: {problem}; use fewer workers, or none") from None
        for process in self.processes:
            threading.Thread(target=_serve, args=(process, self._jobs), daemon=True).start()
        self._close = weakref.finalize(self, _end, self._jobs, self.processes)

    def start(self, arrays: dict[str, np.ndarray], layers: Layers, pooling: str | None) -> Callable[[], np.ndarray]:
        """As `Programs.start`: the function that waits for the batch's result."""
        if not self._close.alive:
            raise WorkerError("the workers were closed; make new Features")
        future: Future[np.ndarray] = Future()
        self._jobs.put(((arrays, layers, pooling), future))
        return future.result

    def close(self) -> None:
        """End the processes; batches under way are lost."""
        self._close()


def _serve(process: "subprocess.Popen[bytes]", jobs: Jobs) -> None:
    """A process's conversation, in a thread of its own, until there are no more jobs or it has ended."""
    assert process.stdin is not None and process.stdout is not None
    broken: str | None = None
    while (item := jobs.get()) is not None:
        job, future = item
        if broken is None:
            try:
                pickle.dump(job, process.stdin, protocol=5)
                process.stdin.flush()
                result = pickle.load(process.stdout)
            except (OSError, EOFError, ValueError, pickle.UnpicklingError):
                status = process.wait()
                broken = f"a worker process ended with status {status}, perhaps for lack of memory; use fewer workers, or none"
            else:
                if isinstance(result, np.ndarray):
                    future.set_result(result)
                else:
                    future.set_exception(WorkerError(f"a worker process failed: {result}"))
                continue
        # It takes its share of the jobs still, so that none is waited for in vain.
        future.set_exception(WorkerError(broken))
    process.stdout.close()
    with contextlib.suppress(OSError):
        process.stdin.close()


def _end(jobs: Jobs, processes: list["subprocess.Popen[bytes]"]) -> None:
    for _ in processes:
        jobs.put(None)
    for process in processes:
        process.terminate()
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
