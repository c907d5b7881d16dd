"""Finding the weights of a checkpoint folder: one safetensors file, or shards named by an index."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from minibert.checkpoints.formats.safetensors_file import SafetensorsFile, open_safetensors
from minibert.checkpoints.formats.stored_tensor import StoredTensor
from minibert.errors import CheckpointError
from minibert.strict_json import read_json_object

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
OTHER_FORMATS = (
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
    "flax_model.msgpack",
    "tf_model.h5",
    "bert_model.ckpt*",
    "model.ckpt*",
    "model.*.safetensors",
    "adapter_model.*",
    "*.onnx",
    "*.gguf",
    "*.ot",
    "openvino_model.*",
)
"""Weights in other forms, or under other names, than those that are read."""


@dataclass(frozen=True)
class StoredTensors:
    """All tensors of a checkpoint by their names in it; `files` are the files that hold them."""

    format: str
    files: list[Path]
    tensors: Mapping[str, StoredTensor]

    @property
    def number_of_bytes(self) -> int:
        """What all tensors take together."""
        return sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in self.tensors.values())


def open_checkpoint(folder: Path) -> StoredTensors:
    """The tensors of `folder`, none of them read yet.

    Raises CheckpointError if the folder has no safetensors weights, or its index and shards do not agree.
    """
    single, index = folder / SINGLE_FILE, folder / INDEX_FILE
    if os.path.exists(single):
        return StoredTensors("safetensors", [single], open_safetensors(single).tensors)
    if os.path.exists(index):
        return _open_shards(folder, index)
    if not os.path.isdir(folder):
        raise CheckpointError(f"{folder} is not a folder; expected a checkpoint folder with config.json and {SINGLE_FILE}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise CheckpointError(f"{folder} may not be read by this user; ask its owner, or copy it")
    others = sorted(path.name for pattern in OTHER_FORMATS for path in folder.glob(pattern))
    held = f"it holds {', '.join(others)}, a format that this version does not read" if others else "it holds no weights"
    raise CheckpointError(f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}: {held}")


def _open_shards(folder: Path, index: Path) -> StoredTensors:
    weight_map = read_json_object(index, error=CheckpointError).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; expected a table from tensor names to shard files")
    shards: dict[str, SafetensorsFile] = {}
    tensors: dict[str, StoredTensor] = {}
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not _is_base_name(shard):
            raise CheckpointError(f"{index} puts tensor {name!r} into {shard!r}; expected the name of a file beside the index")
        if shard not in shards:
            shards[shard] = open_safetensors(folder / shard)
        if name not in shards[shard].tensors:
            raise CheckpointError(f"{index} puts tensor {name!r} into {shard}, which does not hold it")
        tensors[name] = shards[shard].tensors[name]
    for shard, file in shards.items():
        unlisted = sorted(name for name in file.tensors if weight_map.get(name) != shard)
        if unlisted:
            raise CheckpointError(f"{folder / shard} holds {', '.join(unlisted)}, which {index.name} does not put there")
    return StoredTensors("safetensors, sharded", [folder / shard for shard in shards], tensors)


def _is_base_name(name: str) -> bool:
    return name not in ("", ".", "..") and PurePosixPath(name).name == name and PureWindowsPath(name).name == name
