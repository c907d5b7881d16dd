"""Training on many devices and many machines, by JAX's own sharding: where each parameter lies, and each row of a batch.

The model knows nothing of it. A mesh has two axes: over `data` parameters are repeated, over `shard` each is cut into pieces
(Rajbhandari et al. 2019, ZeRO, stage 3); the rows of a batch are spread over both. XLA puts in what has to be sent.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from minibert.errors import InputError, MinibertError, shown
from minibert.model.paths import path_of

DATA, SHARD = "data", "shard"

PARTITIONS: tuple[tuple[str, PartitionSpec], ...] = (
    (r"embeddings\.(word|position|token_type)$", PartitionSpec(None, SHARD)),
    (r"\.projection\.kernel$", PartitionSpec(SHARD, None)),
    (r"\.kernel$", PartitionSpec(None, SHARD)),
    (r"", PartitionSpec()),
)
"""A parameter's path -> how its axes are cut; the first that matches counts. Biases and LayerNorms are small and lie everywhere,
and so does a parameter whose axis the devices do not divide. What the optimiser keeps lies as its parameter does."""


class Placement:
    """Where everything lies.

    Args:
        devices: `data` (all devices, each with the whole model), `shard` (all devices, each with a piece of every parameter),
            or `4x2` for 4 groups of 2 devices which share a model.

    Raises InputError for anything else, and where there are not so many devices.
    """

    def __init__(self, devices: str = "data") -> None:
        count = jax.device_count()
        sizes = {"data": (count, 1), "shard": (1, count)}.get(devices)
        if sizes is None:
            match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", devices)
            if match is None:
                raise InputError(f"devices is {shown(devices)}; expected data, shard, or a number of groups by their size, 4x2")
            sizes = (int(match[1]), int(match[2]))
        if sizes[0] * sizes[1] > count or (jax.process_count() > 1 and sizes[0] * sizes[1] != count):
            raise InputError(f"devices is {shown(devices)}, which takes {sizes[0] * sizes[1]}; there are {count}")
        grid = np.array(jax.devices()[: sizes[0] * sizes[1]]).reshape(sizes)
        self.mesh = Mesh(grid, (DATA, SHARD), axis_types=(AxisType.Auto, AxisType.Auto))
        self.count = sizes[0] * sizes[1]
        self.rows = NamedSharding(self.mesh, PartitionSpec((DATA, SHARD)))
        """Of everything that has a row a text."""
        self.everywhere = NamedSharding(self.mesh, PartitionSpec())

    def check_batch_size(self, rows: int, accumulation: int = 1) -> None:
        """InputError unless every device gets as many rows of every part of a batch."""
        if rows % (self.count * accumulation):
            parts = f" in each of {accumulation} parts" if accumulation > 1 else ""
            raise InputError(
                f"a batch of {rows} rows cannot be spread evenly over {self.count} devices{parts}; give a multiple of "
                f"{self.count * accumulation}"
            )

    def shardings(self, tree: Any) -> Any:
        """How each array of a model, or of a whole state, lies."""
        return jax.tree_util.tree_map_with_path(lambda keys, leaf: self._sharding(path_of(keys), leaf.shape), tree)

    def place(self, tree: Any) -> Any:
        """The tree laid out; every process holds the same values before."""
        return jax.tree.map(_placed, tree, self.shardings(tree))

    def gathered(self, model: Any) -> Any:
        """Within a compiled step: every device gets all of the parameters, and its gradient goes back in pieces."""
        return jax.lax.with_sharding_constraint(model, self.everywhere) if self.mesh.shape[SHARD] > 1 else model

    def place_batch(self, batch: Any, rows: int) -> Any:
        """A batch of `rows` rows, of which each process gives its own share, `share_of(rows)`."""
        return jax.tree.map(
            lambda array: jax.make_array_from_process_local_data(self.rows, array, (rows, *array.shape[1:])), batch
        )

    def _sharding(self, path: str, shape: tuple[int, ...]) -> NamedSharding:
        spec = next(spec for pattern, spec in PARTITIONS if re.search(pattern, path))
        pieces = self.mesh.shape[SHARD]
        fits = len(spec) <= len(shape) and all(
            axis is None or length % pieces == 0 for axis, length in zip(spec, shape, strict=False)
        )
        return NamedSharding(self.mesh, spec) if fits else self.everywhere


def share_of(rows: int) -> slice:
    """Which rows of a batch this process gives."""
    count, number = jax.process_count(), jax.process_index()
    return slice(rows * number // count, rows * (number + 1) // count)


def together(action: Callable[[], None]) -> None:
    """Let the first process do it while the others wait. Where it fails there, InputError in every process."""
    problem: MinibertError | None = None
    if jax.process_index() == 0:
        try:
            action()
        except MinibertError as found:
            problem = found
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        has_failed = multihost_utils.broadcast_one_to_all(np.int32(problem is not None))
        if has_failed and problem is None:
            raise InputError("the first of the processes refused, and says why")
    if problem is not None:
        raise problem


def bytes_per_device(tree: Any) -> int:
    """How much of the tree lies on this process's first device."""
    first = jax.local_devices()[0]
    return sum(shard.data.nbytes for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards if shard.device == first)


def _placed(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jax.process_count() == 1:
        # A copy: the step takes the memory of what it is given.
        return jax.device_put(jnp.copy(leaf), sharding)
    values = np.asarray(leaf)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])
