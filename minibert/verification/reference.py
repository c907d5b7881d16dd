"""Stored references: what another implementation computed, in float32 and in float64, for stated inputs.

A reference is a safetensors file. `input_ids`, `attention_mask` and `token_type_ids` are int32 [batch, tokens]. For every
recorded intermediate NAME there is `float32.NAME`, what the implementation gave in float32; `correction.NAME`, what must
be added to it, in float64, to have its float64 result (kept as float32, so the sum is exact to about 1e-13); and
`floor.NAME`, float64 [batch]: for each text the largest error of its float32 over the ways in which it computes the same
texts (eager and SDPA attention, alone and repeated, padded or not, features in other orders), for one run's error on a
short text is luck. Where
`positions` (int32) is there, intermediates over tokens were kept, and the floor taken, at those positions only. The metadata
says who computed it: implementation, versions, attention, checkpoint_sha256, and the texts.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minibert.checkpoints.formats.safetensors_file import open_safetensors
from minibert.checkpoints.formats.tensor_bundle import SUFFIX
from minibert.checkpoints.names import WORD_TABLE
from minibert.checkpoints.registry import weights_folder
from minibert.checkpoints.tensors import READERS, open_checkpoint
from minibert.errors import CheckpointError, TraceError
from minibert.strict_json import parse_json
from minibert.verification.measures import real_positions

CHECKPOINT_SUFFIXES = {".zip", SUFFIX, *READERS} - {".safetensors"}
"""No trace has such a name; a trace and a checkpoint may both be .safetensors."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Reference:
    """One stored reference; `truth[name]` is the float64 result, `float32[name]` the implementation's own float32."""

    path: Path | None
    """Its file; None where it was computed."""
    metadata: dict[str, str]
    inputs: dict[str, np.ndarray]
    float32: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    floor: dict[str, np.ndarray]
    positions: np.ndarray | None

    @property
    def origin(self) -> str:
        """What messages call it."""
        return str(self.path) if self.path is not None else f"the truth of {self.metadata.get('implementation', 'a model')}"

    @property
    def texts(self) -> list[str | list[str]]:
        """What the inputs were made from, a text each or a pair of texts. Raises TraceError if the metadata is broken."""
        where = f"the texts in the metadata of {self.origin}"
        return parse_json(self.metadata.get("texts", "[]").encode(), where, error=TraceError)

    @property
    def first_without_number(self) -> str | None:
        """The first name whose true values at real positions are not all finite; None if they are."""
        mask = self.inputs["attention_mask"]
        for name, values in self.truth.items():
            if not np.isfinite(values[real_positions(name, mask, values.shape, self.positions)]).all():
                return name
        return None

    @classmethod
    def read(cls, path: Path | str) -> "Reference":
        """The reference in a file. Raises TraceError if the file is broken or is none."""
        path = Path(path)
        file = open_safetensors(path, error=TraceError)
        arrays = {name: np.array(tensor.read()) for name, tensor in file.tensors.items()}
        missing = [name for name in INPUTS if name not in arrays]
        names = [name.removeprefix("float32.") for name in arrays if name.startswith("float32.")]
        needed = [f"{part}.{name}" for part in ("correction", "floor") for name in names]
        missing += [name for name in needed if name not in arrays]
        if missing or not names:
            what = f"it lacks {', '.join(missing)}" if missing else "it records no intermediate"
            raise TraceError(f"{path} is no stored reference: {what}; expected a file that record_transformers.py wrote")
        wrong = [name for name in names if arrays[f"correction.{name}"].shape != arrays[f"float32.{name}"].shape]
        wrong += [f"floor.{name}" for name in names if arrays[f"floor.{name}"].shape != arrays["input_ids"].shape[:1]]
        wrong += [name for name in INPUTS if arrays[name].shape != arrays["input_ids"].shape or arrays[name].ndim != 2]
        unsound = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if unsound:
            raise TraceError(f"{path} is no stored reference: {', '.join(unsound)} hold NaN or infinity; record it again")
        if wrong or not arrays["attention_mask"].any():
            what = f"the shapes of {', '.join(wrong)} do not fit" if wrong else "its attention_mask has no real token"
            raise TraceError(f"{path} is no stored reference: {what}; record it again")
        float32 = {name: arrays[f"float32.{name}"] for name in names}
        truth = {name: float32[name] + arrays[f"correction.{name}"].astype(np.float64) for name in names}
        inputs = {name: arrays[name] for name in INPUTS}
        floor = {name: arrays[f"floor.{name}"] for name in names}
        return cls(path, file.metadata, inputs, float32, truth, floor, arrays.get("positions"))


def is_trace_path(path: Path) -> bool:
    """Whether a path is one of a trace, or of a stored reference, and not of a checkpoint; a trace need not be there."""
    if path.is_dir() or path.suffix in CHECKPOINT_SUFFIXES or Path(f"{path}.index").exists():
        return False
    if not path.is_file():
        return bool(path.suffix)
    try:
        return WORD_TABLE not in open_checkpoint(path).canonical
    except CheckpointError:
        return True  # whose reader says what is wrong with it


def is_reference_file(path: Path) -> bool:
    """Whether a safetensors file holds a stored reference rather than a trace. Raises TraceError for any other file."""
    return any(name.startswith("float32.") for name in open_safetensors(path, error=TraceError).tensors)


def stored_references(name: str) -> list[Reference]:
    """The references that come with minibert for a registry name. Raises TraceError if there are none."""
    known = sorted(path.name for path in (weights_folder() / "references").iterdir())
    if name not in known:
        raise TraceError(f"minibert has no stored references for {name!r}; it has them for {', '.join(known)}")
    folder = weights_folder() / "references" / name
    return [Reference.read(path) for path in sorted(folder.glob("*.safetensors"))]
