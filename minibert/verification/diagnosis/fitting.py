"""Faults with unknowns of their own, which are fitted to what was recorded: dropout's choices, and the rounding of a variance.

Each function is given one step of the NumPy BERT, computed from recorded inputs, and hands back what the fault would have made
of it. A fit must not be able to explain anything: dropout has two choices for each number, a variance one number for a whole
row, and no more of it than float32 can round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from minibert.numpy_bert import NumpyBert

ROUNDS = 20
"""How often the choice of dropout and the LayerNorm behind it are fitted to each other."""

PAIRS = 8
"""How many other points each point of a row makes a slope with."""

MOST_ROUNDINGS = 64.0
"""How many float32 units of the mean square a variance may be off in one pass, and of its root the mean."""

FEWEST_ROWS, SPREAD_OF_ROUNDING = 4, 0.2
"""Of how many rows on one says whether variances are off by the same number, and how much less it may spread than it is."""

OPEN = 1e-4
"""From this share of the largest number of a context on its difference is no rounding."""


@dataclass(frozen=True)
class Step:
    """One named intermediate: as the NumPy BERT computes it from what was recorded before, and as it was recorded itself.

    `seen` has everything before it in the region, and "hidden", what the region was given.
    """

    name: str
    computed: np.ndarray
    recorded: np.ndarray
    seen: Mapping[str, np.ndarray]
    bert: NumpyBert


Adjust = Callable[[Step], np.ndarray]


def one_pass_variance(layer_norms: list[str]) -> Adjust:
    """For LayerNorms whose variance is E[x²] − E[x]² in float32: each row is right but for a factor and its mean's rounding."""

    def adjust(step: Step) -> np.ndarray:
        part = step.name.removesuffix(".output")
        name = f"{part}.layer_norm"
        given = _given_to(part, step)
        if name not in layer_norms or given is None or not step.name.endswith(".output"):
            return step.computed
        scale, bias = step.bert.parameter(f"{name}.scale"), step.bert.parameter(f"{name}.bias")
        centred = given - given.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        # What fits the row best: a factor for 1 / sqrt(variance + epsilon), and an offset for the rounding of the mean.
        factor, offset = _two_terms(centred * scale, np.broadcast_to(scale, centred.shape), step.recorded - bias)
        with np.errstate(divide="ignore", invalid="ignore"):
            rounded = 1.0 / np.square(factor) - step.bert.config.layer_norm_eps
            shift = np.abs(offset / factor)
        unit = np.finfo(np.float32).eps * np.square(given).mean(axis=-1, keepdims=True)
        off = rounded - variance
        if off.size >= FEWEST_ROWS and np.std(off) < SPREAD_OF_ROUNDING * np.abs(np.mean(off)):
            # Another epsilon: a rounding goes up in one row and down in another.
            return step.computed
        possible = (np.abs(rounded - variance) <= MOST_ROUNDINGS * unit) & (
            shift <= MOST_ROUNDINGS * unit / np.sqrt(np.square(given).mean(axis=-1, keepdims=True))
        )
        return np.where(possible, (factor * centred + offset) * scale + bias, step.computed)

    return adjust


def _two_terms(first: np.ndarray, second: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of each row that make `a · first + b · second` come nearest to y."""

    def dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return (left * right).sum(axis=-1, keepdims=True)

    determinant = dot(first, first) * dot(second, second) - dot(first, second) ** 2
    determinant = np.where(determinant == 0.0, np.inf, determinant)
    a = (dot(first, y) * dot(second, second) - dot(second, y) * dot(first, second)) / determinant
    b = (dot(second, y) * dot(first, first) - dot(first, y) * dot(first, second)) / determinant
    return a, b


def dropout(hidden_rate: float, attention_rate: float) -> Adjust:
    """Inverted dropout (Srivastava et al. 2014): some numbers are zero, the others divided by the share that is kept.

    At each name dropout is on or off, whichever is nearer to what was recorded. A context whose choices cannot be told is taken
    as it is, but then dropout has to show in what comes behind it: NaN, which explains nothing, if it does not.
    """

    def adjust(step: Step) -> np.ndarray:
        dropped = _dropped(step, hidden_rate, attention_rate)
        nearest = min((step.computed, dropped), key=lambda values: float(np.abs(values - step.recorded).mean()))
        if step.name.endswith(".attention.output") and nearest is step.computed and _is_context_open(step):
            return np.full_like(nearest, np.nan)
        return nearest

    return adjust


def _dropped(step: Step, hidden_rate: float, attention_rate: float) -> np.ndarray:
    name, part = step.name, step.name.rpartition(".")[0]
    if name == "embeddings.output":
        return _dropped_from(step.computed, step.recorded, hidden_rate)
    if name.endswith(".probabilities"):
        return _dropped_from(step.computed, step.recorded, attention_rate)
    if name.endswith(".context"):
        return _context_of_dropped(step, part, attention_rate)
    given = step.seen.get("hidden" if part.endswith(".attention") else f"{part.removesuffix('.feed_forward')}.attention.output")
    if name.endswith((".attention.output", ".feed_forward.output")) and given is not None:
        return _output_of_dropped(step, f"{part}.layer_norm", step.seen[f"{part}.projection"], given, hidden_rate)
    return step.computed


def _given_to(part: str, step: Step) -> np.ndarray | None:
    """What the LayerNorm of a part was given, from what was recorded before it."""
    if part == "embeddings":
        return step.seen.get("embeddings.sum")
    projection = step.seen.get(f"{part}.projection")
    before = step.seen.get("hidden" if part.endswith(".attention") else f"{part.removesuffix('feed_forward')}attention.output")
    return None if projection is None or before is None else step.bert.residual(part, projection, before)


def _dropped_from(clean: np.ndarray, recorded: np.ndarray, rate: float) -> np.ndarray:
    """Each number as it is, zero, or scaled, whichever is nearest to what was recorded; as it is only where none is zero."""
    scaled = clean / (1.0 - rate) if rate < 1.0 else clean
    return np.where(np.abs(recorded) < np.abs(recorded - scaled), 0.0, scaled)


def _context_of_dropped(step: Step, part: str, rate: float) -> np.ndarray:
    """The context by probabilities of which some were dropped; what was recorded where too many tokens hide which."""
    probabilities, value = step.seen.get(f"{part}.probabilities"), step.seen.get(f"{part}.value")
    if probabilities is None or value is None or not 0.0 < rate < 1.0:
        return step.computed
    if _hides_choices(value):
        return step.recorded
    recorded = step.bert.split_heads(step.recorded)  # [batch, heads, tokens, head_dim]
    found = recorded @ np.linalg.pinv(value)  # the probabilities that would give it
    kept = _dropped_from(probabilities, found, rate)
    return step.bert.merge_heads(kept @ value)


def _hides_choices(value: Float[np.ndarray, "batch heads tokens head_dim"]) -> bool:
    """Whether a context has fewer numbers than there are probabilities to choose from."""
    return value.shape[2] > value.shape[3]


def _is_context_open(step: Step) -> bool:
    """Whether the context before an attention's output was taken as recorded, and is not what the probabilities give."""
    part = step.name.rpartition(".")[0]
    probabilities, value, context = (step.seen.get(f"{part}.{name}") for name in ("probabilities", "value", "context"))
    if probabilities is None or value is None or context is None or not _hides_choices(value):
        return False
    clean = step.bert.merge_heads(probabilities @ value)
    return bool(np.abs(context - clean).max() > OPEN * np.abs(clean).max())


def _output_of_dropped(
    step: Step, layer_norm: str, projection: np.ndarray, before: np.ndarray, rate: float
) -> Float[np.ndarray, "..."]:
    """LayerNorm of a residual sum of which some projections were dropped.

    A LayerNorm forgets a row's mean and spread, so these two numbers and the choices are fitted in turn.
    """
    scale, bias = step.bert.parameter(f"{layer_norm}.scale"), step.bert.parameter(f"{layer_norm}.bias")
    if rate >= 1.0:
        return step.computed
    usable = np.abs(scale) > 1e-3 * np.abs(scale).max()
    normalised = ((step.recorded - bias) / np.where(usable, scale, 1.0))[..., usable]
    dropped_sum, kept_sum = before[..., usable], (before + projection / (1.0 - rate))[..., usable]
    slope, offset = _line_through_most(kept_sum, normalised)
    for _ in range(ROUNDS):
        nearer = np.abs(slope * dropped_sum + offset - normalised) < np.abs(slope * kept_sum + offset - normalised)
        chosen = np.where(nearer, dropped_sum, kept_sum)
        centred = chosen - chosen.mean(axis=-1, keepdims=True)
        spread = np.square(centred).sum(axis=-1, keepdims=True)
        slope = (centred * normalised).sum(axis=-1, keepdims=True) / np.where(spread == 0.0, 1.0, spread)
        offset = normalised.mean(axis=-1, keepdims=True) - slope * chosen.mean(axis=-1, keepdims=True)
    predicted = step.recorded.copy()
    predicted[..., usable] = (slope * chosen + offset) * scale[usable] + bias[usable]
    return predicted


def _line_through_most(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset, for each row, of the line that most of its points lie on (Theil 1950, Sen 1968)."""
    shifts = range(1, min(PAIRS, x.shape[-1] - 1) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = [(y - np.roll(y, shift, axis=-1)) / (x - np.roll(x, shift, axis=-1)) for shift in shifts]
    slope = np.nanmedian(np.concatenate(slopes, axis=-1), axis=-1, keepdims=True)
    return slope, np.median(y - slope * x, axis=-1, keepdims=True)
