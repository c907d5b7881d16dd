"""Opening a bundle: `prefix.index` says what each tensor is and where it lies in `prefix.data-00000-of-0000N`."""

import itertools
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.formats.crc import crc32c
from minibert.checkpoints.formats.file_checksum import FileChecksum
from minibert.checkpoints.formats.opening import check_size
from minibert.checkpoints.formats.stored_tensor import MappedTensor, StoredTensor, new_array
from minibert.checkpoints.formats.tensor_bundle.entries import Entry, entry_of, number_of_shards
from minibert.checkpoints.formats.tensor_bundle.table import read_table, unmasked
from minibert.errors import CheckpointError, named
from minibert.strict_json import read_regular_file

SUFFIX = ".index"
MAX_INDEX_BYTES = 4_000_000
"""BERT-large's index takes 0.03 MB, with the slots of its optimiser 0.1 MB."""


MAX_TENSORS = 20_000
"""With their slices; BERT-large has 391, with the slots of its optimiser 1,200."""
MAX_PARTITIONED_AXES = 2
"""TensorFlow's own partitioners cut along one."""


@dataclass(frozen=True)
class TensorBundle:
    """A bundle's checked index: its tensors of numbers, and the names of its texts, which no parameter is."""

    files: list[Path]
    tensors: dict[str, StoredTensor]
    texts: list[str]


@dataclass(frozen=True)
class SlicedTensor:
    """A tensor that was partitioned: `parts` are its slices, each with the place where it begins."""

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: tuple[tuple[tuple[int, ...], MappedTensor], ...]

    def read(self) -> np.ndarray:
        """The tensor put together."""
        whole = new_array(self.path, self.shape, self.dtype)
        for starts, part in self.parts:
            values = new_array(part.path, part.shape, part.dtype)
            part.read_into(values)
            whole[tuple(slice(start, start + length) for start, length in zip(starts, part.shape, strict=True))] = values
        return whole


def find_bundle(folder: Path) -> Path | None:
    """The prefix of the bundle in a folder: the one that its file `checkpoint` names, or the only one; None if there is none.

    Raises CheckpointError where there are several and none is named, or the one that is named is not there.
    """
    prefixes = sorted(folder / path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))
    if not prefixes:
        return None
    state = folder / "checkpoint"
    if state.is_file():
        text = read_regular_file(state, error=CheckpointError, max_bytes=1 << 20).decode("utf-8", "replace")
        named = re.search(r'^model_checkpoint_path:\s*"([^"\\]*)"\s*$', text, re.MULTILINE)
        # It may be the path on the machine that wrote it; only a file beside this one is meant here.
        if named and folder / Path(named[1]).name in prefixes:
            return folder / Path(named[1]).name
    if len(prefixes) > 1:
        names = ", ".join(prefix.name for prefix in prefixes[:5])
        raise CheckpointError(f"{folder} holds {len(prefixes)} TensorFlow checkpoints, {names}; give the path of one of them")
    return prefixes[0]


def open_tensor_bundle(prefix: Path) -> TensorBundle:
    """The tensors of the bundle whose files begin with `prefix`; of its data nothing is read yet.

    Each tensor's checksum is looked at when it is read.

    Raises CheckpointError, naming the file, for anything but a sound bundle whose shards are all there.
    """
    index = prefix.with_name(prefix.name + SUFFIX)

    def refuse(reason: str) -> CheckpointError:
        return CheckpointError(f"{index} is not a sound index of a TensorFlow checkpoint: {reason}; fetch or copy it again")

    table = read_table(read_regular_file(index, error=CheckpointError, max_bytes=MAX_INDEX_BYTES), refuse)
    if b"" not in table:
        raise refuse("it has no header")
    shards = _Shards(prefix, number_of_shards(table.pop(b""), refuse))
    if len(table) > MAX_TENSORS:
        raise refuse(f"it lists {len(table):,} tensors and slices; at most {MAX_TENSORS:,} are read")
    slices = {key: table.pop(key) for key in [key for key in table if key.startswith(b"\x00")]}
    entries: dict[str, Entry] = {}
    for key, value in table.items():
        try:
            name = key.decode()
        except UnicodeDecodeError:
            raise refuse(f"the name {key[:80]!r} is not UTF-8") from None
        entries[name] = entry_of(named(name), value, refuse)
    tensors: dict[str, StoredTensor] = {}
    for name, entry in entries.items():
        if entry.dtype is not None:
            told = named(name)
            tensors[name] = _sliced(told, entry, slices, shards, refuse) if entry.slices else shards.tensor(told, entry, refuse)
    if slices:
        raise refuse(f"it has {len(slices)} slices that belong to no tensor")
    shards.check_overlaps(refuse)
    texts = [name for name, entry in entries.items() if entry.dtype is None]
    return TensorBundle([index, *shards.used()], tensors, texts)


class _Shards:
    """The data files of a bundle, and which bytes of them are taken."""

    def __init__(self, prefix: Path, count: int):
        self.prefix = prefix
        self.count = count
        self.sizes: dict[int, int] = {}
        self.taken: list[tuple[int, int, int, str]] = []

    def path(self, shard: int) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self.count:05d}")

    def size(self, shard: int) -> int:
        if shard not in self.sizes:
            path = self.path(shard)
            try:
                status = os.stat(path)
            except OSError as problem:
                raise CheckpointError(
                    f"{path} cannot be read: {problem.strerror}; the checkpoint needs all of its {self.count} shards"
                ) from None
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError(f"{path} is not a regular file; expected the data of a TensorFlow checkpoint")
            check_size(path, status.st_size, CheckpointError)
            self.sizes[shard] = status.st_size
        return self.sizes[shard]

    def used(self) -> list[Path]:
        return [self.path(shard) for shard in sorted(self.sizes)]

    def tensor(self, name: str, entry: Entry, refuse: Any) -> MappedTensor:
        if not 0 <= entry.shard < self.count:
            raise refuse(f"tensor {name} is in shard {entry.shard} of {self.count}")
        begin, end = entry.offset, entry.offset + entry.size
        if begin < 0 or end > self.size(entry.shard):
            raise refuse(
                f"tensor {name} is at bytes {begin:,} to {end:,} of {self.path(entry.shard).name}, which holds "
                f"{self.size(entry.shard):,}"
            )
        assert entry.dtype is not None
        if entry.size:
            self.taken.append((entry.shard, begin, end, name))
        path = self.path(entry.shard)
        check = FileChecksum(path, begin, end, crc32c, unmasked(entry.checksum), f"tensor {name}")
        return MappedTensor(path, entry.dtype, entry.shape, begin, check=check)

    def check_overlaps(self, refuse: Any) -> None:
        """Refuse tensors that share bytes."""
        before = (-1, 0, 0, "")
        for taken in sorted(self.taken):
            if taken[0] == before[0] and taken[1] < before[2]:
                raise refuse(f"tensors {before[3]} and {taken[3]} lie in the same bytes of {self.path(taken[0]).name}")
            before = taken


def _sliced(name: str, entry: Entry, stored: dict[bytes, bytes], shards: _Shards, refuse: Any) -> SlicedTensor:
    parts = []
    for part in entry.slices:
        if part.key not in stored:
            raise refuse(f"a slice of {name} from {list(part.starts)} on is not there")
        own = entry_of(name, stored.pop(part.key), refuse)
        if own.dtype != entry.dtype or own.shape != part.lengths or own.slices:
            raise refuse(f"a slice of {name} from {list(part.starts)} on is {own.shape}; expected {part.lengths}")
        parts.append((part.starts, shards.tensor(name, own, refuse)))
    assert entry.dtype is not None
    _check_tiles(name, entry.shape, [(starts, part.shape) for starts, part in parts], refuse)
    return SlicedTensor(parts[0][1].path, entry.dtype, entry.shape, tuple(parts))


def _check_tiles(name: str, shape: tuple[int, ...], parts: list[tuple[tuple[int, ...], tuple[int, ...]]], refuse: Any) -> None:
    """Refuse slices that overlap or leave a gap.

    A box is told by its corners, with the sign + where an even number of axes is at its end and − elsewhere. The corners of
    boxes cancel out but for those of the whole exactly if each place is in one box: their sum is the difference, along each axis,
    of how often each place is covered.
    """
    partitioned = [axis for axis, length in enumerate(shape) if any(lengths[axis] != length for _, lengths in parts)]
    if len(partitioned) > MAX_PARTITIONED_AXES:
        raise refuse(f"{name} is partitioned along {len(partitioned)} axes; at most {MAX_PARTITIONED_AXES} are read")
    corners: Counter[tuple[int, ...]] = Counter()
    for starts, lengths, sign in [*((starts, lengths, 1) for starts, lengths in parts), ((0,) * len(shape), shape, -1)]:
        ends = [(starts[axis], starts[axis] + lengths[axis]) for axis in partitioned]
        for choice in itertools.product((0, 1), repeat=len(ends)):
            corners[tuple(end[which] for end, which in zip(ends, choice, strict=True))] += sign * (-1) ** sum(choice)
    if any(corners.values()):
        raise refuse(f"the slices of {name} overlap or leave a gap in its shape {list(shape)}")
