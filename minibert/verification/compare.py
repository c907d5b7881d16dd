"""`compare`: how far a trace is from the truth, measured in the reference's own rounding errors."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minibert.checkpoints.integrity import weights_sha256
from minibert.checkpoints.registry import find_weights, resolve
from minibert.config import REQUIRED_KEYS
from minibert.errors import TraceError
from minibert.model.tap import data_flow_order, intermediate_names
from minibert.numpy_bert import NumpyBert
from minibert.printable import counted
from minibert.strict_json import parse_json_object
from minibert.verification.measures import (
    cosine,
    error_in_floors,
    error_of_each_text,
    largest,
    real_positions,
    root_mean_square,
    ulp_distances,
)
from minibert.verification.oracle import Model, computed_reference, oracle_of
from minibert.verification.reference import Reference, is_reference_file, is_trace_path
from minibert.verification.report import Report, Row
from minibert.verification.trace import Trace
from minibert.verification.trace_file import checked_values

SETTINGS = ("hidden_act", "layer_norm_eps")
"""What a configuration says of the arithmetic besides its sizes."""


def compare(trace: Mapping[str, np.ndarray], reference: Reference | Trace | Model, *, model: Model | None = None) -> Report:
    """Hold a trace against a reference, at every intermediate that both have.

    Args:
        trace: what `minibert.record` gave for the reference's inputs, or any mapping of the same names to arrays.
        reference: a stored Reference or the path of its file; a Trace of another implementation or the path of its file; or a
            model, whose parameters the NumPy BERT then computes the truth from.
        model: whose parameters give the truth where the reference is a Trace, which has none; found by the sha256 in the
            trace's metadata if it is not given.

    Raises:
        TraceError: inputs, sizes or a checkpoint that are not the reference's, shapes that differ, no name in common, or a
            reference that itself parts from the truth.
    """
    if not isinstance(trace, Mapping):
        raise TraceError(f"compare() was given a {type(trace).__name__}; expected a Trace, or a mapping of names to arrays")
    found = reference_for(trace, reference, model=model)
    if isinstance(trace, Trace):
        _check_same_origin(trace, found)
    common = sorted((name for name in trace if name in found.truth), key=data_flow_order)
    if not common:
        raise TraceError(f"the trace and {found.origin} have no intermediate in common")
    arrays = {name: checked_values(name, trace[name], None, "the trace's ") for name in common}
    rows = tuple(_compare_one(name, values, found) for name, values in arrays.items())
    missing = tuple(name for name in _expected(found) if name not in arrays)
    notes = (*_notes(arrays, found), *_other_settings(trace, found))
    return Report(rows, missing, notes, compared=_in_words(trace, found))


def _in_words(trace: Mapping[str, np.ndarray], reference: Reference) -> dict[str, str]:
    metadata = trace.metadata if isinstance(trace, Trace) else {}
    texts, tokens = reference.inputs["input_ids"].shape
    return {
        "trace": _implementation(metadata),
        "reference": f"{reference.origin if reference.path else 'computed'}: {_implementation(reference.metadata)}",
        "inputs": f"{counted(texts, 'text')} in rows of {counted(tokens, 'token')}",
    }


def _implementation(metadata: Mapping[str, str]) -> str:
    parts = [metadata.get("implementation", "an unnamed implementation")]
    parts += [metadata[name] for name in ("dtype", "device", "versions") if name in metadata]
    weights = metadata.get("checkpoint_sha256")
    return ", ".join([*parts, *([f"weights with sha256 {weights}"] if weights else [])])


def _expected(reference: Reference) -> list[str]:
    """The names that a whole trace has: those of the reference, and those of all layers where it says how many there are."""
    layers = _config_in(reference.metadata).get("num_hidden_layers")
    names = intermediate_names(layers, pooler=False) if isinstance(layers, int) and layers > 0 else []
    return sorted({*names, *reference.truth}, key=data_flow_order)


def reference_for(
    trace: Mapping[str, np.ndarray],
    reference: Reference | Trace | Model,
    *,
    model: Model | None = None,
) -> Reference:
    """The truth and the floors that `compare` holds a trace against; arguments and errors as there."""
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, str | Path):
        path = Path(reference)
        if is_trace_path(path):
            if is_reference_file(path):
                return Reference.read(path)
            reference = Trace.read(path)
    if isinstance(reference, Trace):
        return _reference_of_trace(trace, reference, model)
    if not isinstance(trace, Trace):
        raise TraceError("a mapping of arrays does not say what its inputs were; give a Trace, or a stored reference")
    return _computed_for(trace, _oracle_for(trace, reference), _arithmetic(trace))


def _oracle_for(trace: Trace, model: Model) -> NumpyBert:
    """The truth that a trace can be held against: TraceError for other weights than those that it names, or other sizes."""
    if isinstance(model, str | Path):
        _check_weights(trace, resolve(model))
    oracle = oracle_of(model)
    _check_sizes(trace, dataclasses.asdict(oracle.config), "the checkpoint that gives the true values")
    return oracle


def _computed_for(trace: Trace, oracle: NumpyBert, arithmetic: str) -> Reference:
    computed = computed_reference(oracle, trace.inputs, list(trace), arithmetic)
    broken = computed.first_without_number
    if broken is not None:
        raise TraceError(
            f"the true values of {broken} are no finite numbers even in float64: the checkpoint's weights hold NaN, infinity "
            "or absurd values; minibert doctor says which"
        )
    return computed


def _check_weights(trace: Trace, folder: Path) -> None:
    recorded = trace.metadata.get("checkpoint_sha256")
    if not recorded:
        return
    weights, found = weights_sha256(folder)
    if recorded != found:
        raise TraceError(
            f"the trace was recorded from weights with sha256 {recorded}, and {weights} has sha256 {found}; give the checkpoint "
            "that it was recorded from"
        )


def _arithmetic(trace: Mapping[str, np.ndarray]) -> str:
    """The dtype of a trace's arithmetic: what its metadata says, or else float64 where all arrays are."""
    if isinstance(trace, Trace) and "dtype" in trace.metadata:
        return trace.metadata["dtype"]
    return "float64" if all(np.asarray(values).dtype == np.float64 for values in trace.values()) else "float32"


def _reference_of_trace(trace: Mapping[str, np.ndarray], reference: Trace, model: Model | None) -> Reference:
    """The truth for a trace's inputs, with the reference trace's own error as the floor where it is the larger one.

    A float64 trace is held to what float64 can do, whatever the reference was computed in.
    """
    if isinstance(trace, Trace):
        _check_same_weights(trace, reference.metadata, "the reference trace")
    if model is None:
        sha256 = reference.metadata.get("checkpoint_sha256")
        model = find_weights(sha256) if sha256 else None
    if model is None:
        raise TraceError(
            "two traces alone do not say which of them is right: the true values need the parameters; give the checkpoint as "
            "model=, or fetch the one whose sha256 the reference trace names"
        )
    oracle = _oracle_for(reference, model)
    ours, theirs = _arithmetic(trace), _arithmetic(reference)
    computed = _computed_for(reference, oracle, theirs)
    own = compare(reference, computed)
    if own.first_disagreement is not None:
        raise TraceError(
            f"the reference trace, of {reference.metadata.get('implementation', 'an unnamed implementation')}, itself parts from "
            f"the truth, first at {own.first_disagreement.name}; compare it with its checkpoint to learn why"
        )
    if (ours == "float64") != (theirs == "float64"):
        return _computed_for(reference, oracle, ours)
    mask = computed.inputs["attention_mask"]
    floor = {}
    for name, truth in computed.truth.items():
        error = error_of_each_text(name, np.asarray(reference[name]), truth, mask).max()
        floor[name] = np.maximum(computed.floor[name], error)
    metadata = computed.metadata | reference.metadata
    return Reference(None, metadata, computed.inputs, computed.float32, computed.truth, floor, None)


def _check_same_origin(trace: Trace, reference: Reference) -> None:
    """Raise TraceError where the trace cannot be held against the reference: other inputs, sizes or weights."""
    for name, theirs in reference.inputs.items():
        if not np.array_equal(trace.inputs[name], theirs):
            other = _first_other_text(trace, reference)
            raise TraceError(f"the trace's {name} is not that of {reference.origin}{other}; record the reference's own inputs")
    positions = np.arange(reference.inputs["input_ids"].shape[1])
    if "position_ids" not in reference.inputs and (trace.inputs["position_ids"] != positions).any():
        raise TraceError(f"the trace was recorded with its own position_ids; {reference.origin} has positions 0, 1, 2, …")
    _check_same_weights(trace, reference.metadata, reference.origin)
    _check_sizes(trace, _config_in(reference.metadata), reference.origin)


def _check_same_weights(trace: Trace, metadata: Mapping[str, str], origin: str) -> None:
    ours, theirs = (each.get("checkpoint_sha256") for each in (trace.metadata, metadata))
    if ours and theirs and ours != theirs:
        raise TraceError(
            f"the trace was recorded from weights with sha256 {ours}, {origin} from weights with sha256 {theirs}; record both "
            "from one checkpoint"
        )


def _check_sizes(trace: Trace, theirs: Mapping[str, object], origin: str) -> None:
    ours = _config_in(trace.metadata)
    for name in REQUIRED_KEYS:
        if name in ours and name in theirs and ours[name] != theirs[name]:
            raise TraceError(
                f"{name} is {ours[name]} in the trace's configuration and {theirs[name]} in that of {origin}; record both from "
                "one checkpoint"
            )


def _other_settings(trace: Mapping[str, np.ndarray], reference: Reference) -> list[str]:
    """The settings, other than sizes, that both configurations have and that differ: the reason of a difference, perhaps."""
    ours, theirs = (_config_in(each.metadata) if isinstance(each, Trace | Reference) else {} for each in (trace, reference))
    return [
        f"{name} is {ours[name]} in the trace's configuration and {theirs[name]} in that of {reference.origin}"
        for name in SETTINGS
        if name in ours and name in theirs and ours[name] != theirs[name]
    ]


def _config_in(metadata: Mapping[str, str]) -> dict[str, object]:
    return parse_json_object(metadata.get("config", "{}").encode(), "the config in a trace's metadata", error=TraceError)


def _first_other_text(trace: Trace, reference: Reference) -> str:
    ours, theirs = (_texts(metadata) for metadata in (trace.metadata, reference.metadata))
    for place, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if our != their:
            return f": its text {place} is {our!r}, not {their!r}"
    return ""


def _texts(metadata: Mapping[str, str]) -> list[object]:
    try:
        texts = json.loads(metadata.get("texts", "[]"))
    except ValueError:
        return []
    return texts if isinstance(texts, list) else []


def _compare_one(name: str, ours: np.ndarray, reference: Reference) -> Row:
    positions, mask = reference.positions, reference.inputs["attention_mask"]
    if positions is not None and ours.ndim == 3 and ours.shape[1] > positions.max():
        ours = ours[:, positions]
    truth = reference.truth[name]
    if ours.shape != truth.shape:
        hint = ""
        if name.endswith((".scores", ".probabilities")) and ours.ndim == 4 and ours.shape[2] == ours.shape[3] == truth.shape[1]:
            hint = ": it attends over heads instead of tokens"
        raise TraceError(f"{name} has shape {list(ours.shape)} in the trace and {list(truth.shape)} in {reference.origin}{hint}")
    real = real_positions(name, mask, truth.shape, positions)
    errors = error_of_each_text(name, ours, truth, mask, positions)
    rms = root_mean_square(truth[real])
    error = largest(errors.tolist())
    ratio = largest(error_in_floors(*text) for text in zip(errors.tolist(), reference.floor[name].tolist(), strict=True))
    worst = np.unravel_index(np.argmax(np.where(real, np.abs(ours.astype(np.float64) - truth), 0.0)), truth.shape)
    place = tuple(int(index) for index in worst)
    token = None
    if len(place) > 2:
        column = place[1] if len(place) == 3 else place[2]
        column = column if positions is None or len(place) == 4 else int(positions[column])
        token = int(reference.inputs["input_ids"][place[0], column])
    return Row(
        name,
        max_abs_error=error,
        ratio=ratio,
        error_over_rms=error / rms if rms else error,
        cosine=cosine(ours.astype(np.float64)[real], truth[real]),
        max_ulps=largest([float(ulp_distances(np.ascontiguousarray(ours), truth)[real].max())]),
        worst=place,
        worst_token=token,
    )


def _notes(arrays: Mapping[str, np.ndarray], reference: Reference) -> list[str]:
    """Where values that are no numbers stand first, at a real position and at a padded one."""
    notes: dict[bool, str] = {}
    for name, values in arrays.items():
        broken = ~np.isfinite(values.astype(np.float64))
        if not broken.any():
            continue
        truth = reference.truth[name]
        if values.shape == truth.shape:
            real = real_positions(name, reference.inputs["attention_mask"], truth.shape, reference.positions)
        else:
            real = np.ones(values.shape, bool)
        for is_real, places in ((True, broken & real), (False, broken & ~real)):
            if places.any() and is_real not in notes:
                index = tuple(int(axis) for axis in np.argwhere(places)[0])
                ignored = "" if is_real else ", a padded position, which is left out of account"
                notes[is_real] = (
                    f"the first value that is no finite number is {values[index]} in {name} at {list(index)}{ignored}"
                )
    return list(notes.values())
