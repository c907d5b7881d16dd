"""Finding the weights of a checkpoint, in whatever format they are: one file, shards named by an index, a bundle."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np

from minibert.checkpoints.dialects import FLAX, GOOGLE, TORCH, Dialect, is_of_an_optimiser
from minibert.checkpoints.formats.flax_msgpack import open_flax_msgpack
from minibert.checkpoints.formats.safetensors_file import INDEX_FILE, SINGLE_FILE, open_safetensors
from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.checkpoints.formats.tensor_bundle import SUFFIX, find_bundle, open_tensor_bundle
from minibert.checkpoints.formats.torch_file import open_torch_file
from minibert.checkpoints.names import SECOND_COPIES, TIED_KERNEL, WORD_TABLE
from minibert.errors import CheckpointError, named, shown
from minibert.printable import listed
from minibert.strict_json import read_json_object

TORCH_FILE = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"
FLAX_FILE = "flax_model.msgpack"
SAVED_MODEL = Path("variables", "variables")
"""Where a SavedModel and a module of TensorFlow Hub have their bundle."""

MAX_INDEX_BYTES = 2_000_000
"""Of the index of shards; BERT-large's would take 0.04 MB."""

OTHER_FORMATS = ("tf_model.h5", "model.*.safetensors", "adapter_model.*", "*.onnx", "*.gguf", "*.ot", "openvino_model.*")
"""Weights in other forms, or under other names, than those that are read."""


class Canonical(NamedTuple):
    """A stored tensor under its name of today, and whether a dense weight of its kind is [out, in]."""

    name: str
    tensor: StoredTensor
    is_transposed: bool

    def out_in(self) -> np.ndarray:
        """The values, of a dense weight as [out, in]."""
        return self.tensor.read() if self.is_transposed else self.tensor.read().T


@dataclass(frozen=True)
class StoredTensors:
    """All tensors of a checkpoint by their names in it; `files` are the files that hold them."""

    format: str
    files: list[Path]
    tensors: Mapping[str, StoredTensor]
    dialect: Dialect = TORCH
    left_out: tuple[str, ...] = ()
    """Names of what is no parameter of a model: slots of an optimiser, steps, texts."""

    @property
    def number_of_bytes(self) -> int:
        """What all tensors take together."""
        return sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in self.tensors.values())

    @property
    def canonical(self) -> dict[str, Canonical]:
        """The tensors by their names of today, in Hugging Face's spelling."""
        return {
            self.dialect.canonical(name): Canonical(name, tensor, self.dialect.is_transposed(name))
            for name, tensor in self.tensors.items()
        }

    def copies(self) -> dict[str, bool]:
        """What is stored a second time, by its name of today, and whether it is equal to what BERT uses in its place."""
        found = self.canonical
        return {
            copy: np.array_equal(found[copy].out_in(), found[original].tensor.read())
            for copy, original in SECOND_COPIES.items()
            if copy in found and original in found
        }

    def check_tied_kernel(self) -> None:
        """CheckpointError where the masked language model's last kernel is stored and is not the table of word embeddings."""
        if self.copies().get(TIED_KERNEL) is False:
            raise CheckpointError(
                f"{self.canonical[TIED_KERNEL].tensor.path}: {TIED_KERNEL} is not the table of word embeddings, which BERT uses "
                f"in its place; expected it to be equal to {WORD_TABLE}, or absent"
            )


def open_checkpoint(path: Path) -> StoredTensors:
    """The tensors of a checkpoint, none of them read yet.

    Args:
        path: a folder, a file of weights, or the prefix of a TensorFlow checkpoint, `bert_model.ckpt`. Of several formats in one
            folder safetensors comes first, then torch's, Flax's and TensorFlow's.

    Raises CheckpointError if there are no weights, or what is there is not sound.
    """
    if os.path.isdir(path):
        return _open_folder(path)
    prefix = path.with_name(path.name.removesuffix(SUFFIX))
    if os.path.exists(prefix.with_name(prefix.name + SUFFIX)):
        return _open_bundle(prefix)
    if not os.path.exists(path):
        raise CheckpointError(
            f"{path} does not exist; expected a checkpoint folder, a file of weights, or the prefix of a TensorFlow checkpoint"
        )
    if path.name.endswith((".safetensors.index.json", ".bin.index.json")):
        return _open_shards(path)
    if path.suffix not in READERS:
        raise CheckpointError(f"{path} has no suffix of a file of weights; known are {', '.join([*READERS, SUFFIX])}")
    return READERS[path.suffix](path)


def _open_folder(folder: Path) -> StoredTensors:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise CheckpointError(f"{folder} may not be read by this user; ask its owner, or copy it")
    for name in (SINGLE_FILE, INDEX_FILE, TORCH_FILE, TORCH_INDEX, FLAX_FILE):
        if os.path.exists(folder / name):
            return open_checkpoint(folder / name)
    for place in (folder, folder / SAVED_MODEL.parent):
        prefix = find_bundle(place)
        if prefix is not None:
            return _open_bundle(prefix)
    others = sorted(path.name for pattern in OTHER_FORMATS for path in folder.glob(pattern))
    held = f"it holds {', '.join(others)}, a format that this version does not read" if others else "it holds no weights"
    known = f"{SINGLE_FILE}, {TORCH_FILE} or their indices, {FLAX_FILE} or a TensorFlow checkpoint"
    raise CheckpointError(f"{folder} has no weights that are read, {known}: {held}")


def _open_bundle(prefix: Path) -> StoredTensors:
    bundle = open_tensor_bundle(prefix)
    left_out = [name for name in bundle.tensors if is_of_an_optimiser(name)]
    tensors = {name: tensor for name, tensor in bundle.tensors.items() if name not in set(left_out)}
    return StoredTensors("TensorFlow checkpoint", bundle.files, tensors, GOOGLE, (*left_out, *bundle.texts))


def _open_safetensors(path: Path) -> StoredTensors:
    return StoredTensors("safetensors", [path], open_safetensors(path).tensors)


def _open_torch(path: Path) -> StoredTensors:
    return StoredTensors("PyTorch", [path], open_torch_file(path))


def _open_flax(path: Path) -> StoredTensors:
    return StoredTensors("Flax", [path], open_flax_msgpack(path), FLAX)


READERS: dict[str, Callable[[Path], StoredTensors]] = {
    ".safetensors": _open_safetensors,
    ".bin": _open_torch,
    ".pt": _open_torch,
    ".pth": _open_torch,
    ".msgpack": _open_flax,
}


def _open_shards(index: Path) -> StoredTensors:
    weight_map = read_json_object(index, error=CheckpointError, max_bytes=MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; expected a table from tensor names to shard files")
    shards: dict[str, StoredTensors] = {}
    tensors: dict[str, StoredTensor] = {}
    suffix = Path(index.name.removesuffix(".index.json")).suffix
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not _is_base_name(shard) or Path(shard).suffix != suffix:
            raise CheckpointError(
                f"{index} puts tensor {shown(name)} into {shown(shard)}; expected the name of a file beside the index"
            )
        if shard not in shards:
            _check_link(index.parent / shard)
            shards[shard] = READERS[suffix](index.parent / shard)
        if name not in shards[shard].tensors:
            raise CheckpointError(f"{index} puts tensor {shown(name)} into {named(shard)}, which does not hold it")
        tensors[name] = shards[shard].tensors[name]
    for shard, stored in shards.items():
        unlisted = sorted(name for name in stored.tensors if weight_map.get(name) != shard)
        if unlisted:
            names = listed([named(name) for name in unlisted])
            raise CheckpointError(f"{index.parent / shard} holds {names}, which {index.name} does not put there")
    [file_format] = {stored.format for stored in shards.values()}
    return StoredTensors(f"{file_format}, sharded", [index.parent / shard for shard in shards], tensors)


def _check_link(shard: Path) -> None:
    """Refuse a link that leads out of the folder, but for those of a hub's cache, which lead to where its files are kept."""
    folder = shard.parent.resolve()
    if os.path.islink(shard) and shard.resolve().parent not in (folder, folder.parents[1] / "blobs"):
        raise CheckpointError(f"{shard} is a link to {shard.resolve()}, outside its folder; put the file itself there")


def _is_base_name(name: str) -> bool:
    return name not in ("", ".", "..") and PurePosixPath(name).name == name and PureWindowsPath(name).name == name
