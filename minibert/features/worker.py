"""A worker process of `minibert.features.workers`, run as a module: a model comes in, then batches.

Both ways go by pickle over the process's own pipes, which nobody but the parent that started it holds.
"""

import contextlib
import os
import pickle
import signal
import sys

import jax
import numpy as np

from minibert.features.programs import Programs
from minibert.process_memory import keep_freed_memory


def main() -> None:
    """Serve until the parent closes its end."""
    # The parent decides what an interrupt from the keyboard ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints goes to the terminal, not among the results.
    os.dup2(2, 1)
    keep_freed_memory()
    with contextlib.suppress(EOFError, BrokenPipeError):
        settings, model = pickle.load(jobs)
        for name, value in settings.items():
            jax.config.update(name, value)
        programs = Programs(model, jax.local_devices()[:1])
        while True:
            arrays, layers, pooling = pickle.load(jobs)
            try:
                result: np.ndarray | str = programs.start(arrays, layers, pooling)()
            except Exception as problem:  # told to the parent, which knows what was asked for
                result = f"{type(problem).__name__}: {problem}"
            pickle.dump(result, results, protocol=5)
            results.flush()


if __name__ == "__main__":
    main()
