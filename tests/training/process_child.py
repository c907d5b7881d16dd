"""One of two processes that train together: what it saw, as JSON.

    python tests/training/process_child.py PORT NUMBER FOLDER (whole | killed)

`whole` trains without interruption, and once more with a stop and a resume; of `killed` the second process kills itself.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import jax
from small_training import OBJECTIVE, BagOfWords, differing, small_options, small_rows

from minibert.training import loop
from minibert.training.checkpoints import TrainingCheckpoints, host_copy
from minibert.training.inference import logits_of
from minibert.training.loop import Trained, fit
from minibert.training.parallel import Placement

BATCHES: list[tuple[slice, int]] = []
SECONDS_OF_SILENCE = 4


class StopError(Exception):
    """What ends a training here."""


def train(folder: Path | None, **arguments: Any) -> Trained:
    """Three steps of eight rows in pieces over all devices, dropout on."""
    options = small_options(epochs=1, batch_size=8, devices="2x2", checkpoint_every=1)
    return fit(BagOfWords(), small_rows(24), OBJECTIVE, options, folder=folder, **arguments)


def total(model: Any, placement: Placement) -> dict[str, float]:
    return {"sum": float(sum(row.sum() for row in logits_of(model, small_rows(8), batch_size=8, placement=placement)))}


def watch_batches() -> None:
    batch_of = loop.batch_of

    def watched(*arguments: Any, share: slice, **keywords: Any) -> Any:
        batch = batch_of(*arguments, share=share, **keywords)
        BATCHES.append((share, len(batch["input_ids"])))
        return batch

    loop.batch_of = watched


def stop(record: dict[str, Any]) -> None:
    if record["step"] == 3:
        raise StopError


def whole(folder: Path) -> dict[str, Any]:
    watch_batches()
    trained = train(None)
    batches = [[share.start, share.stop, rows] for share, rows in BATCHES]
    apart: list[list[str]] = []
    save = TrainingCheckpoints.save

    def watched(self: TrainingCheckpoints, step: int, arrays: Any, remembered: Any) -> None:
        save(self, step, arrays, remembered)
        # The first process writes the record last.
        while step not in self.steps():
            time.sleep(0.01)
        # Whole copies, which the processes make together.
        apart.append(differing(host_copy(arrays), host_copy(self.restore_only(step, arrays))))

    TrainingCheckpoints.save = watched
    with contextlib.suppress(StopError):
        train(folder, report=stop)
    TrainingCheckpoints.save = save
    resumed = train(folder, evaluate=total, best_by="sum")
    return {
        "losses": [record["loss"] for record in trained.records],
        "resumed": [record["loss"] for record in resumed.records if "loss" in record],
        "sum": resumed.records[-1]["evaluation"]["sum"],
        "apart": differing(trained.model, resumed.model),
        "restored apart": apart,
        "batches": batches,
        "bytes": trained.bytes_per_device,
        "devices": jax.device_count(),
    }


def killed(number: int) -> None:
    def die(record: dict[str, Any]) -> None:
        if record["step"] == 2 and number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    train(None, report=die)


def main() -> None:
    port, number, folder, what = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        f"localhost:{port}", 2, number, initialization_timeout=60, heartbeat_timeout_seconds=SECONDS_OF_SILENCE
    )
    if what == "whole":
        print(json.dumps(whole(folder)), flush=True)
    else:
        killed(number)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main()
