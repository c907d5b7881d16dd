"""A trace seen as steps: each region computed from what was recorded before it, by the oracle or by a candidate in its place."""

import copy
from collections.abc import Iterator, Set

import numpy as np

from minibert.numpy_bert import NumpyBert, Tap
from minibert.verification.diagnosis.candidates import Candidate
from minibert.verification.diagnosis.fitting import Adjust, Step
from minibert.verification.measures import error_of_each_text, real_positions, root_mean_square
from minibert.verification.reference import Reference
from minibert.verification.report import BUDGET
from minibert.verification.trace import Trace

SIZE_OF_NOISE = (0.4, 2.5)
"""Between these shares of the simulated error a trace's error has its size."""

MOST_LEFT = 0.5
"""The share of the difference's root mean square that the few numbers that fell to another neighbour may make up."""


class RecordedSteps:
    """A trace with everything that is computed once for all candidates.

    A stretch ends with a region of which something was recorded, and begins behind the one before it. `entering` is what the
    stretch is given, as recorded, and `clean` what the oracle makes of that.
    """

    def __init__(self, trace: Trace, oracle: NumpyBert, reference: Reference):
        self.oracle = oracle
        self.reference = reference
        self.inputs = trace.inputs
        before = _regions_before(oracle.config.num_hidden_layers)
        names = [name for name in trace if name in reference.truth and region_of(name) in before]
        self.recorded = {name: np.asarray(trace[name]).astype(np.float64) for name in names}
        self.floors = {name: self.floor(name) for name in names}
        self.stretches = _stretches(before, {region_of(name) for name in names})
        self.entering: dict[str, np.ndarray] = {}
        self.clean: dict[str, dict[str, np.ndarray]] = {}
        leaving: dict[str | None, np.ndarray] = {None: np.zeros(0)}
        for region, stretch in self.stretches.items():
            self.entering[region] = leaving[before[stretch[0]]]
            self.clean[region], leaving[region] = self.computed(region, oracle, self.entering[region])

    def one_text(self, region: str) -> "RecordedSteps":
        """The text that parts most, by itself: it refuses most candidates, in a fraction of the time."""
        sizes = np.zeros(len(self.inputs["input_ids"]))
        for name in self.names(region):
            clean, recorded = self.clean[region].get(name), self.recorded[name]
            if clean is not None and clean.shape == recorded.shape:
                mask = self.inputs["attention_mask"]
                sizes += np.nan_to_num(error_of_each_text(name, recorded, clean, mask) / self.floors[name])
        text = slice(worst := int(np.argmax(sizes)), worst + 1)
        part = copy.copy(self)
        part.inputs = {name: values[text] for name, values in self.inputs.items()}
        part.recorded = {name: values[text] for name, values in self.recorded.items()}
        part.entering = {name: values[text] for name, values in self.entering.items()}
        part.clean = {name: {inner: values[text] for inner, values in clean.items()} for name, clean in self.clean.items()}
        return part

    def residual(self, region: str, candidate: Candidate, parts: tuple[str, ...]) -> float:
        """What a candidate leaves of the difference, in floors, at the name of the region where that is most."""
        predicted = self.from_recorded(region, candidate.bert, candidate.adjust, parts)
        if candidate.share < 1.0 and not self.is_nearer(region, predicted):
            return np.inf
        return self.difference(region, predicted, candidate.share)

    def is_nearer(self, region: str, predicted: dict[str, np.ndarray]) -> bool:
        """Whether, wherever the trace parts, a candidate leaves less than the share `MOST_LEFT` of the difference's size.

        A few values that are wrong by themselves are no rounding, though all others are as that of a candidate gives them.
        """
        for name in self.names(region):
            real, clean = self.real(name), self.clean[region].get(name)
            if clean is None or name not in predicted or not clean.shape == predicted[name].shape == self.recorded[name].shape:
                return False
            found, left = (np.abs(values - self.recorded[name])[real] for values in (clean, predicted[name]))
            parts = not found.max() <= BUDGET * self.floors[name]  # also where it is NaN
            if parts and not root_mean_square(left) <= MOST_LEFT * root_mean_square(found):
                return False
        return True

    def difference(self, region: str, predicted: dict[str, np.ndarray], share: float = 1.0) -> float:
        """How far the recorded numbers are from predicted ones, in floors, at the name of the region where that is most.

        Only the given share of the numbers, those that are nearest, is looked at.
        """
        worst = 0.0
        for name in self.names(region):
            if name not in predicted or predicted[name].shape != self.recorded[name].shape:
                return np.inf
            floor = self.floors[name]
            errors = np.abs(predicted[name] - self.recorded[name])[self.real(name)]
            error = float(np.quantile(errors, share)) if np.isfinite(errors).all() else np.inf
            worst = max(worst, error / floor if floor else np.inf if error else 0.0)
        return worst

    def correlation(self, region: str, simulated: dict[str, np.ndarray]) -> float:
        """How the errors of the trace go with simulated ones, the median over what parts; 0 where their size is another.

        Not at every name: a fused kernel rounds within attention elsewhere, or not at all.
        """
        correlations = []
        for name in self.names(region):
            real, clean = self.real(name), self.clean[region].get(name)
            if clean is None or name not in simulated or not clean.shape == simulated[name].shape == self.recorded[name].shape:
                return 0.0
            found, expected = ((values[name] - clean)[real] for values in (self.recorded, simulated))
            if np.abs(found).max() <= BUDGET * self.floors[name]:
                continue
            size = root_mean_square(found) / max(root_mean_square(expected), float(np.finfo(float).tiny))
            if not SIZE_OF_NOISE[0] <= size <= SIZE_OF_NOISE[1]:
                return 0.0
            correlations.append(float(np.corrcoef(found, expected)[0, 1]))
        return float(np.median(correlations)) if correlations else 0.0

    def from_recorded(
        self, region: str, bert: NumpyBert, adjust: Adjust | None = None, parts: tuple[str, ...] | None = None
    ) -> dict[str, np.ndarray]:
        """Every intermediate of a stretch from what was recorded before it."""
        return self.computed(region, bert, self.entering[region], adjust, parts)[0]

    def computed(
        self,
        region: str,
        bert: NumpyBert,
        hidden: np.ndarray,
        adjust: Adjust | None = None,
        parts: tuple[str, ...] | None = None,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Every intermediate of a stretch from what was recorded before it, and what the stretch hands on.

        The regions in `parts`, or all, are computed by `bert`, the others by the oracle.
        """
        computed: dict[str, np.ndarray] = {}
        seen: dict[str, np.ndarray] = {}

        def force(name: str, value: np.ndarray) -> np.ndarray:
            recorded = self.recorded.get(name)
            if recorded is not None and recorded.shape == value.shape:
                if adjust is not None:
                    value = adjust(Step(name, value, recorded, seen, self.oracle))
                computed[name] = value
                # Garbage at padded positions must not spread: nothing real may depend on it.
                value = np.where(np.isfinite(recorded), recorded, value)
            computed.setdefault(name, value)
            seen[name] = value
            return value

        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for part in self.stretches[region]:
                seen["hidden"] = hidden
                hidden = self.run(part, bert if parts is None or part in parts else self.oracle, hidden, force)
        return computed, hidden

    def run(self, region: str, bert: NumpyBert, hidden: np.ndarray, tap: Tap) -> np.ndarray:
        """What one region makes of what it is given."""
        if region == "embeddings":
            ids, types, positions = (self.inputs[name] for name in ("input_ids", "token_type_ids", "position_ids"))
            return bert.embeddings(ids, types, positions, tap)
        if region == "pooler":
            return bert.pooler(hidden, tap) if "pooler.dense.kernel" in bert.parameters else hidden
        if region == "heads.masked_lm":
            return bert.masked_lm(hidden, tap)
        if region == "heads.next_sentence":
            return bert.next_sentence(hidden, tap)
        return bert.layer(region, hidden, self.inputs["attention_mask"], tap)

    def names(self, region: str) -> Iterator[str]:
        """The recorded names of a region."""
        return (name for name in self.recorded if region_of(name) == region)

    def floor(self, name: str) -> float:
        """The floor of an intermediate, for numbers of the size that was recorded: a fault may make them larger."""
        real = self.real(name)
        recorded, truth = self.recorded[name], self.reference.truth[name]
        if recorded.shape != truth.shape:
            return float(self.reference.floor[name].max())
        largest, true_largest = (float(np.abs(values[real]).max()) for values in (recorded, truth))
        growth = largest / true_largest if np.isfinite(largest) and true_largest > 0.0 else 1.0
        return float(self.reference.floor[name].max() * max(1.0, growth))

    def real(self, name: str) -> np.ndarray:
        """Which values of an intermediate belong to real tokens."""
        return real_positions(name, self.inputs["attention_mask"], self.recorded[name].shape)


def region_of(name: str) -> str:
    """The part of the model that an intermediate belongs to: "embeddings", "layers.3", "pooler" or "heads.masked_lm"."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ("layers", "heads") else parts[0]


def _regions_before(depth: int) -> dict[str, str | None]:
    """All regions in data-flow order, each with the one whose output it is given."""
    layers = [f"layers.{index}" for index in range(depth)]
    before: dict[str, str | None] = {"embeddings": None}
    for layer, given in zip(layers, ["embeddings", *layers], strict=False):
        before[layer] = given
    return before | {"pooler": layers[-1], "heads.masked_lm": layers[-1], "heads.next_sentence": "pooler"}


def _stretches(before: dict[str, str | None], recorded: Set[str]) -> dict[str, tuple[str, ...]]:
    """Each region with a recorded name, and in front of it those right before it that have none."""
    stretches: dict[str, tuple[str, ...]] = {}
    for region in before:
        if region in recorded:
            stretch = [region]
            given = before[region]
            while given is not None and given not in recorded:
                stretch.insert(0, given)
                given = before[given]
            stretches[region] = tuple(stretch)
    return stretches
