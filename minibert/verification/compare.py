"""`compare`: how far a trace is from the truth, measured in the reference's own rounding errors."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Integer

from minibert.errors import TraceError
from minibert.verification.reference import INPUTS, Reference
from minibert.verification.trace import Trace

BUDGET = 1.5
"""How many times the reference's own float32 error ours may be: rounding differs between orders of summation."""


@dataclass(frozen=True)
class Row:
    """One intermediate against the float64 truth, over real (unpadded) positions of all texts."""

    name: str
    max_abs_error: float
    """The largest error over all texts."""
    ratio: float
    """Of the text where it is largest: its max abs error in units of its floor, which is the max abs error of the
    reference's own float32, the largest over its own ways of computing that text."""
    error_over_rms: float
    """The max abs error in units of the truth's root mean square."""
    cosine: float

    @property
    def agrees(self) -> bool:
        """Whether every text's error is within the budget; NaN never is."""
        return self.ratio <= BUDGET


@dataclass(frozen=True)
class Report:
    """The comparison, a row for each intermediate in data-flow order; `print(report)` shows a table."""

    rows: tuple[Row, ...]

    @property
    def agrees(self) -> bool:
        """Whether every intermediate is within the budget."""
        return all(row.agrees for row in self.rows)

    @property
    def first_disagreement(self) -> Row | None:
        """The first intermediate, in data-flow order, that leaves the budget."""
        return next((row for row in self.rows if not row.agrees), None)

    def __str__(self) -> str:
        lines = [f"{'intermediate':36} {'max abs error':>13} {'ratio':>6} {'over RMS':>9} {'cosine':>13}"]
        for row in self.rows:
            verdict = "agrees" if row.agrees else "PARTS"
            lines.append(
                f"{row.name:36} {row.max_abs_error:13.2e} {row.ratio:6.2f} {row.error_over_rms:9.1e} "
                f"{row.cosine:13.10f} {verdict}"
            )
        return "\n".join(lines)


def compare(trace: Mapping[str, np.ndarray], reference: Reference | Path | str) -> Report:
    """Hold a trace against a stored reference, at every intermediate that both have.

    Args:
        trace: what `minibert.record` gave for the reference's inputs, or any mapping of the same names to arrays.
        reference: a Reference, or the path of its file.

    Raises:
        TraceError: inputs that are not the reference's, shapes that differ, or no name in common.
    """
    if not isinstance(reference, Reference):
        reference = Reference.read(reference)
    if isinstance(trace, Trace):
        for name in INPUTS:
            if not np.array_equal(trace.inputs[name], reference.inputs[name]):
                raise TraceError(f"the trace's {name} is not that of {reference.path}; record the reference's own inputs")
        positions = np.arange(reference.inputs["input_ids"].shape[1])
        if (trace.inputs["position_ids"] != positions).any():
            raise TraceError(f"the trace was recorded with its own position_ids; {reference.path} has positions 0, 1, 2, …")
    common = [name for name in trace if name in reference.truth]
    if not common:
        raise TraceError(f"the trace and {reference.path} have no intermediate in common")
    return Report(tuple(_compare_one(name, np.asarray(trace[name]), reference) for name in common))


def worst_of(reports: Sequence[Report]) -> Report:
    """One report over several inputs: at each name the worst of every measure."""
    by_name: dict[str, list[Row]] = {}
    for report in reports:
        for row in report.rows:
            by_name.setdefault(row.name, []).append(row)
    return Report(
        tuple(
            Row(
                name,
                max_abs_error=_largest(row.max_abs_error for row in rows),
                ratio=_largest(row.ratio for row in rows),
                error_over_rms=_largest(row.error_over_rms for row in rows),
                cosine=-_largest(-row.cosine for row in rows),
            )
            for name, rows in by_name.items()
        )
    )


def _compare_one(name: str, ours: np.ndarray, reference: Reference) -> Row:
    positions = reference.positions
    if positions is not None and ours.ndim == 3 and ours.shape[1] > positions.max():
        ours = ours[:, positions]
    truth = reference.truth[name]
    if ours.shape != truth.shape:
        raise TraceError(f"{name} has shape {list(ours.shape)} in the trace and {list(truth.shape)} in {reference.path}")
    real = real_positions(name, reference.inputs["attention_mask"], truth.shape, positions)
    ours64 = ours.astype(np.float64)
    errors = np.where(real, np.abs(ours64 - truth), 0.0).reshape(len(truth), -1).max(axis=1)
    rms = float(np.sqrt(np.mean(np.square(truth[real]))))
    error = _largest(errors.tolist())
    ratio = _largest(error_in_floors(*text) for text in zip(errors.tolist(), reference.floor[name].tolist(), strict=True))
    return Row(name, error, ratio, error / rms if rms else error, cosine(ours64[real], truth[real]))


def error_in_floors(error: float, floor: float) -> float:
    """`error / floor`: 0 if there is no error, infinite where the floor is zero or either is NaN."""
    if error == 0.0:
        return 0.0
    return math.inf if floor == 0.0 or math.isnan(error) or math.isnan(floor) else error / floor


def _largest(values: Iterable[float]) -> float:
    """The maximum, which is NaN where any value is; Python's own `max` would depend on the order."""
    return float(np.max(list(values)))


def real_positions(
    name: str,
    mask: Integer[np.ndarray, "batch tokens"],
    shape: tuple[int, ...],
    positions: Integer[np.ndarray, " kept"] | None = None,
) -> Bool[np.ndarray, "..."]:
    """Which values of the intermediate `name` belong to real tokens: booleans of its `shape`.

    `mask` is the attention mask [batch, tokens]; `positions` are those that were kept of an intermediate [batch, tokens,
    width]. Of `scores` and `probabilities`, [batch, heads, queries, keys], both the query and the key must be real.
    """
    real = mask.astype(bool)
    if len(shape) == 2:
        return np.ones(shape, bool)
    if len(shape) == 3:
        real = real if positions is None else real[:, positions]
        return np.broadcast_to(real[:, :, None], shape)
    real_rows = real[:, None, :, None]
    if name.endswith((".scores", ".probabilities")):
        real_rows = real_rows & real[:, None, None, :]
    return np.broadcast_to(real_rows, shape)


def cosine(left: Float[np.ndarray, " values"], right: Float[np.ndarray, " values"]) -> float:
    """The cosine of the angle between two vectors; 1 for two zero vectors."""
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    if norms == 0.0:
        return float(np.array_equal(left, right))
    return float(left @ right) / norms
