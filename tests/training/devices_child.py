"""Trainings on eight simulated devices, in a process of its own: what came of them, as JSON.

XLA_FLAGS=--xla_backend_optimization_level=0 python tests/training/devices_child.py FOLDER
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from small_training import OBJECTIVE, differing, leaves_of, small_model, small_options, small_rows

from minibert.model.dropout import dropout
from minibert.model.paths import path_of
from minibert.training.checkpoints import TrainingCheckpoints
from minibert.training.inference import logits_of
from minibert.training.loop import Trained, fit
from minibert.training.parallel import DATA, SHARD, Placement

# Before anything is computed.
jax.config.update("jax_num_cpu_devices", 8)

ROWS = small_rows(48)
MODEL = small_model(num_hidden_layers=1)
STATES: list[Any] = []


class StopError(Exception):
    """What ends a training here."""


def train(devices: str, folder: Path | None = None, accumulation: int = 1, stop_at: int = 0) -> Trained:
    """Three steps, dropout on."""

    def report(record: dict[str, Any]) -> None:
        if record["step"] == stop_at:
            raise StopError

    options = small_options(epochs=1, batch_size=16, devices=devices, accumulation=accumulation, checkpoint_every=1)
    return fit(MODEL, ROWS, OBJECTIVE, options, folder=folder, report=report if stop_at else None)


def losses(trained: Trained) -> list[float]:
    return [record["loss"] for record in trained.records]


def layout(state: Any) -> dict[str, list[int]]:
    """Of each array of a state that is in pieces: how often it is held, and its pieces."""
    found = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(state):
        pieces = {str(shard.index) for shard in leaf.addressable_shards}
        if len(pieces) > 1:
            found[path_of(keys)] = [len(leaf.addressable_shards) // len(pieces), len(pieces)]
    return found


def masks() -> dict[str, Any]:
    """Whether the rows of a batch over the devices are dropped from as on one, and each from others."""
    placement, ones = Placement("4x2"), jnp.ones((8, 4000))
    key = jax.random.key(3)
    spread = jax.jit(lambda values: dropout(values, 0.5, key), out_shardings=placement.rows)(jax.device_put(ones, placement.rows))
    kept = np.asarray(spread) != 0.0
    correlations = np.corrcoef(kept) - np.eye(8)
    return {
        "devices": len({shard.device for shard in spread.addressable_shards}),
        "as on one": bool(np.array_equal(kept, np.asarray(dropout(ones, 0.5, key)) != 0.0)),
        "correlation": float(np.abs(correlations).max()),
    }


def main() -> None:
    folder = Path(sys.argv[1])
    found: dict[str, Any] = {"masks": masks()}
    save = TrainingCheckpoints.save
    TrainingCheckpoints.save = lambda self, step, arrays, remembered: STATES.append(arrays)
    for accumulation in (1, 2):
        for devices in ("1x1", "data", "shard", "4x2"):
            trained = train(devices, folder / "none", accumulation)
            of_layout = {"losses": losses(trained), "bytes": trained.bytes_per_device, "pieces": layout(STATES[-1])}
            of_layout["spread"] = max(
                float(np.abs(one - leaves_of(trained.model)[path]).max()) for path, one in leaves_of(MODEL).items()
            )
            found[f"{devices} {accumulation}"] = of_layout
    TrainingCheckpoints.save = save
    with contextlib.suppress(StopError):
        train("shard", folder / "moved", stop_at=3)
    found["moved"] = losses(train("4x2", folder / "moved"))
    like = Placement("4x2").place(STATES[-1])
    restored = {}
    for devices in ("shard", "data", "1x1"):
        mesh = Placement(devices)
        laid_out = jax.tree.map(lambda leaf, sharding: jax.device_put(leaf, sharding), like, mesh.shardings(like))
        restored[devices] = TrainingCheckpoints(folder / "moved" / "states").restore_only(3, laid_out)
    found["restored"] = [differing(restored["1x1"], restored[devices]) for devices in ("shard", "data")]
    found["restored pieces"] = len(layout(restored["shard"]))
    alone, spread = (logits_of(trained.model, ROWS, placement=Placement(devices)) for devices in ("1x1", "data"))
    found["logits"] = max(float(np.abs(one - other).max()) for one, other in zip(alone, spread, strict=True))
    found["axes"] = [DATA, SHARD]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
