"""The trace file: named intermediates of one forward pass, written by minibert or by any other program.

A trace file is a safetensors file. Tensors:

    inputs.input_ids        integers [batch, tokens]; required
    inputs.attention_mask   integers [batch, tokens], 1 for real tokens, 0 for padding; all real if absent
    inputs.token_type_ids   integers [batch, tokens]; zeros if absent
    inputs.position_ids     integers [batch, tokens]; 0, 1, 2, … if absent
    NAME                    an intermediate under its name in `minibert.model.tap`, in its shape there, of any float dtype

Any of the names may be left out; at least one must be there. Metadata, all of it optional, all strings:

    format              "minibert trace 1"
    implementation      what computed it, in a few words, as exactly as it can be said: library, class, commit
    versions            a JSON object, library -> version
    checkpoint_sha256   of the file of weights: with it the true values can be looked up
    config              a JSON object: the configuration, under Hugging Face's names
    dtype               of the arithmetic, such as "float32"
    device              such as "cpu"
    texts               a JSON list of what the inputs were made from: a text, or a pair of texts
"""

import contextlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from minibert.atomic_write import write_atomically
from minibert.checkpoints.formats.safetensors_file import open_safetensors
from minibert.errors import TraceError
from minibert.model.tap import is_intermediate_name
from minibert.printable import counted

FORMAT = "minibert trace 1"
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
PREFIX = "inputs."


def write_trace_file(
    path: Path, values: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write a trace file, whole or not at all. Raises TraceError where nothing can be written."""
    tensors = {f"{PREFIX}{name}": np.ascontiguousarray(array) for name, array in inputs.items()}
    tensors |= {name: np.ascontiguousarray(array) for name, array in values.items()}
    with write_atomically(path, error=TraceError) as file:
        file.write(save(tensors, {"format": FORMAT, **metadata}))


def read_trace_file(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, str]]:
    """The intermediates, the inputs with their defaults filled in, and the metadata of a trace file.

    Raises TraceError for a file that is no trace, for an intermediate that no BERT has, and for shapes that do not fit the
    inputs.
    """
    file = open_safetensors(path, error=TraceError)
    arrays = {name: np.array(tensor.read()) for name, tensor in file.tensors.items()}
    if f"{PREFIX}input_ids" not in arrays:
        raise TraceError(
            f"{path} is no trace: it holds no tensor {PREFIX}input_ids; minibert/verification/trace_file.py has the format"
        )
    stored = {name: arrays.pop(f"{PREFIX}{name}") for name in INPUTS if f"{PREFIX}{name}" in arrays}
    inputs = checked_inputs(stored, f"{path}: {PREFIX}")
    unknown = [name for name in arrays if not is_intermediate_name(name)]
    if unknown:
        raise TraceError(
            f"{path} holds {', '.join(unknown[:5])}, which is no intermediate's name; minibert/model/tap.py has the names, and "
            f"inputs are {', '.join(PREFIX + name for name in INPUTS)}"
        )
    if not arrays:
        raise TraceError(f"{path} is an empty trace: it holds inputs and no intermediate; record at least one name")
    values = {name: checked_values(name, array, len(inputs["input_ids"]), f"{path}: ") for name, array in arrays.items()}
    return values, inputs, file.metadata


@cache
def versions(*libraries: str) -> str:
    """The installed versions of libraries, as the metadata has them."""
    found = {}
    for library in libraries:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = version(library)
    return json.dumps(found)


def checked_values(name: str, values: object, texts: int | None, where: str) -> np.ndarray:
    """An intermediate as an array of floating-point numbers with its texts as the first axis; TraceError if it is none."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "V":  # bfloat16 and its like
            array[:0].astype(np.float64)
        fits = array.dtype.kind in "fV" and array.ndim in (2, 3, 4) and texts in (None, len(array))
        found = f"{array.dtype} {list(array.shape)}"
    except (TypeError, ValueError, IndexError):
        fits, found = False, f"a {type(values).__name__}"
    if not fits:
        batch = "its texts" if texts is None else f"the batch of {counted(texts, 'text')}"
        raise TraceError(f"{where}{name} is {found}; expected floating-point numbers with {batch} as their first axis")
    return array


def checked_inputs(stored: Mapping[str, object], where: str) -> dict[str, np.ndarray]:
    """The inputs of a trace as int32 [batch, tokens], with defaults for all but input_ids; TraceError if they are none."""
    if stored.get("input_ids") is None:
        raise TraceError(f"{where}input_ids is not there; a trace needs the ids that it was recorded for")
    given = {name: np.asarray(array) for name, array in stored.items() if array is not None}
    ids = given["input_ids"]
    defaults = {
        "attention_mask": np.ones(ids.shape, np.int32),
        "token_type_ids": np.zeros(ids.shape, np.int32),
        "position_ids": np.broadcast_to(np.arange(ids.shape[-1], dtype=np.int32), ids.shape) if ids.ndim else ids,
    }
    inputs = {name: given.get(name, defaults.get(name, ids)) for name in INPUTS}
    for name, array in inputs.items():
        if array.ndim != 2 or array.shape != ids.shape or array.dtype.kind not in "iub" or 0 in array.shape:
            raise TraceError(f"{where}{name} is {array.dtype} {list(array.shape)}; expected integers [batch, tokens]")
    return {name: array.astype(np.int32) for name, array in inputs.items()}
