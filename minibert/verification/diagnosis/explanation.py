"""`diagnose`: where a trace parts from the truth, which known fault explains it, or that none does.

Every step of the NumPy BERT is computed from what the trace recorded before it, so that a step that is right agrees whatever
went wrong earlier. In the region of the first disagreement, the embeddings, one layer or the pooler, this is done once
for each candidate fault. A candidate explains the trace if what remains at every recorded name of the region is within the
budget.

Where nothing was recorded of the regions before, the fault may be in any of them: they are one stretch, and each candidate is
tried in all of it and in each region by itself.
"""

import copy
import dataclasses
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from minibert.errors import TraceError
from minibert.numpy_bert import NumpyBert, Tap
from minibert.verification.compare import compare, reference_for
from minibert.verification.diagnosis.candidates import Candidate, candidates, in_words, with_weights_of
from minibert.verification.diagnosis.fitting import Adjust, Step
from minibert.verification.diagnosis.rounding import ROUNDINGS, RoundedEverywhere, RoundedProducts
from minibert.verification.faults import FAULTS
from minibert.verification.measures import error_of_each_text, real_positions, root_mean_square
from minibert.verification.oracle import Model, oracle_of
from minibert.verification.reference import Reference
from minibert.verification.report import BUDGET
from minibert.verification.trace import Trace

CORRELATION_OF_LUCK = 0.05

SIZE_OF_NOISE = (0.4, 2.5)
"""Between these shares of the simulated error a trace's error has its size."""

LEAST_CORRELATION = 0.25
"""How much the errors of a trace go with those of simulated roundings at least.

The same numbers rounded to the same bits err alike, as far as other roundings before have not moved them: 0.3 to 1 were seen of
arithmetic of few bits of many kinds, and at most 0.18 of other faults whose errors had that size.
"""

MOST_LEFT = 0.5
"""The share of the difference's root mean square that the few numbers that fell to another neighbour may make up."""


ENOUGH_TO_REFUSE = 4.0
"""How many budgets a candidate may leave of one text to be tried with all of them."""

LONGEST_STRETCH = 8
"""Of how many regions in one stretch each is tried by itself: every candidate runs all of them again."""


@dataclass(frozen=True)
class Diagnosis:
    """Where a trace parts first and why; `print(diagnosis)` says it in a sentence or two."""

    first: str
    """The first intermediate, in data-flow order, that leaves the budget."""
    fault: str | None
    """A name in `minibert.verification.faults.FAULTS`, or None where no candidate explains the difference."""
    detail: str
    """What exactly, and where in the region."""
    regions: tuple[str, ...]
    """Where the fault is: "embeddings", "layers.3", "pooler"."""
    residual: float
    """What remains with the fault, of the intermediate where it is most, in floors; without a fault, what is to be explained."""
    exact: bool = True
    """Whether the fault gives the recorded numbers; else only the size of their errors is that of the fault."""

    def __str__(self) -> str:
        if self.fault is None:
            return f"It parts first at {self.first}. {self.detail}"
        where = in_words(self.regions)
        how = (
            f"What remains with that fault is {self.residual:.2g} times the floor."
            if self.exact
            else "The numbers themselves are not reproduced; the errors have the size and the direction that this gives them."
        )
        return (
            f"It parts first at {self.first}. The likely reason: {FAULTS[self.fault].meaning} ({self.detail}), in {where}. {how}"
        )


def diagnose(trace: Trace, model: Model, reference: Reference | None = None) -> Diagnosis | None:
    """Why a trace parts from the truth; None if it does not.

    Args:
        trace: at least the output of each layer; with more names more faults can be told apart.
        model: whose parameters the trace should have been computed with: a name, a folder or a model.
        reference: the truth and the floor for the trace's inputs where they are known already.

    Raises TraceError as `compare` does.
    """
    if not isinstance(trace, Trace):
        raise TraceError(f"diagnose() was given a {type(trace).__name__}; expected a Trace, which says what its inputs were")
    oracle = oracle_of(model)
    if reference is None:
        reference = reference_for(trace, oracle)
    first = compare(trace, reference).first_disagreement
    return None if first is None else _Examination(trace, oracle, reference).diagnosis_of(first.name)


@dataclass(frozen=True)
class _Explanation:
    """A candidate, the regions that it was tried in, and what it leaves of the difference, in floors."""

    candidate: Candidate
    regions: tuple[str, ...]
    residual: float

    @property
    def acting(self) -> tuple[str, ...]:
        """The regions in which the fault does anything."""
        return tuple(region for region in self.regions if region in self.candidate.regions)

    @property
    def is_exact(self) -> bool:
        """Whether nothing was fitted, and no value left out."""
        return self.candidate.adjust is None and self.candidate.share == 1.0


class _Examination:
    """A trace with everything that is computed once for all candidates."""

    def __init__(self, trace: Trace, oracle: NumpyBert, reference: Reference):
        self.oracle = oracle
        self.reference = reference
        self.inputs = trace.inputs
        self.dtype = trace.metadata.get("dtype")
        names = [name for name in trace if name in reference.truth and region_of(name) != "heads"]
        self.recorded = {name: np.asarray(trace[name]).astype(np.float64) for name in names}
        self.floors = {name: self.floor(name) for name in names}
        layers = [f"layers.{index}" for index in range(oracle.config.num_hidden_layers)]
        self.stretches = _stretches(("embeddings", *layers, "pooler"), {region_of(name) for name in names})
        self.entering: dict[str, np.ndarray] = {}
        self.clean: dict[str, dict[str, np.ndarray]] = {}
        hidden = np.zeros(0)
        for region in self.stretches:
            self.entering[region] = hidden
            self.clean[region], hidden = self.computed(region, oracle, hidden)

    def diagnosis_of(self, first: str) -> Diagnosis:
        """The diagnosis for the first intermediate that parts."""
        region = region_of(first)
        if region == "heads":
            return Diagnosis(first, None, "No fault of a head is known here; everything before it agrees.", (), np.inf)
        unexplained = self.difference(region, self.clean[region])
        if unexplained <= BUDGET:
            detail = (
                "Every step follows from what was recorded before it within the rounding of float32: small differences have "
                "added up, or a fault is too small to be told from rounding in any one step."
            )
            return Diagnosis(first, None, detail, (), unexplained)
        found = self.explanation(region)
        if found is not None:
            fault = self.named(found.candidate.fault)
            return Diagnosis(first, fault, found.candidate.detail, self.spread(found, region), found.residual)
        weights = self.wrong_weights(first, region)
        if weights is not None:
            return weights
        noise = self.noise(region)
        if noise is not None:
            return Diagnosis(first, self.named(noise), "by the errors", self.parting(region), unexplained, exact=False)
        detail = (
            "None of the known faults explains it: with each of them at least one recorded intermediate stays outside the budget."
        )
        unseen = self.stretches[region][:-1]
        if unseen:
            where = in_words(unseen) if len(unseen) < 3 else f"{unseen[0]} to {unseen[-1]}"
            detail += f" Nothing of {where} was recorded, where the fault may be as well: record the output of every layer."
        return Diagnosis(first, None, detail, (), unexplained)

    def explanation(self, region: str, fault: str | None = None) -> _Explanation | None:
        """The candidate that leaves least, of those with nothing to be fitted or rounded; else the first of the others.

        Of one fault only, if that is given. None if no candidate explains the region.
        """
        best: _Explanation | None = None
        # What is the same in one region and in all of them, as a fault of the embeddings is, is said of the one.
        places = dict.fromkeys([*((part,) for part in self.alone(region)), self.stretches[region]])
        tried = [_Explanation(candidate, parts, np.inf) for parts in places for candidate in candidates(self.oracle, parts)]
        one_text = self.one_text(region)
        for each in sorted(tried, key=lambda each: not each.is_exact):
            if fault is not None and each.candidate.fault != fault:
                continue
            if not each.is_exact and (best is not None or each.regions != self.stretches[region]):
                continue
            if each.candidate.share == 1.0 and one_text.residual(region, each) > ENOUGH_TO_REFUSE * BUDGET:
                continue
            residual = self.residual(region, each)
            if residual <= BUDGET and (best is None or residual < best.residual):
                best = dataclasses.replace(each, residual=residual)
        return best

    def one_text(self, region: str) -> "_Examination":
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

    def named(self, fault: str) -> str:
        """Of TF32 and float16, whose products round alike, the one that the trace itself names."""
        return "float16" if fault == "tf32" and self.dtype == "float16" else fault

    def alone(self, region: str) -> tuple[str, ...]:
        """The regions of a stretch in each of which a fault is looked for by itself."""
        stretch = self.stretches[region]
        return stretch if len(stretch) <= LONGEST_STRETCH else ()

    def parting(self, region: str) -> tuple[str, ...]:
        """The regions of this stretch, and those of all that part from what was recorded before them."""
        ends = [end for end in self.stretches if end == region or self.difference(end, self.clean[end]) > BUDGET]
        return tuple(part for end in ends for part in self.stretches[end])

    def spread(self, found: _Explanation, region: str) -> tuple[str, ...]:
        """All regions that part from what was recorded before them and that the fault explains."""
        fault = found.candidate.fault
        if FAULTS[fault].everywhere:
            return self.parting(region)
        spread: list[str] = []
        for end in self.stretches:
            if end == region:
                spread.extend(found.acting)
            elif self.difference(end, self.clean[end]) > BUDGET:
                other = self.explanation(end, fault)
                spread.extend(other.acting if other is not None else ())
        return tuple(spread)

    def wrong_weights(self, first: str, region: str) -> Diagnosis | None:
        """Other layers' weights: layers in each other's places, or one of them twice."""
        others: dict[str, str] = {}
        worst = 0.0
        for end in self.stretches:
            if end == region or (others and self.difference(end, self.clean[end]) > BUDGET):
                found = self.other_weights(end)
                if found is None and end == region:
                    return None
                if found is not None:
                    others |= found[0]
                    worst = max(worst, found[1])
        if not others:
            return None
        detail = ", ".join(f"{layer} computes with the weights of {other}" for layer, other in others.items())
        fault = "layers_swapped" if set(others) == set(others.values()) else "layer_duplicated"
        return Diagnosis(first, fault, detail, tuple(others), worst)

    def other_weights(self, region: str) -> tuple[dict[str, str], float] | None:
        """Which layers of a stretch compute with the weights of which others, and what that leaves; None if none explain it."""
        layers = [f"layers.{index}" for index in range(self.oracle.config.num_hidden_layers)]
        stretch = self.stretches[region]
        for layer in self.alone(region):
            for other in layers if layer in layers else []:
                choices = [{layer: other}, {layer: other, other: layer}] if other in stretch else [{layer: other}]
                for others in choices if other != layer else []:
                    left = self.left_by_weights(region, others)
                    if left <= BUDGET:
                        return others, left
        return None

    def left_by_weights(self, region: str, others: dict[str, str]) -> float:
        """What is left of a difference, in floors, where some layers compute with the weights of others."""
        return self.difference(region, self.from_recorded(region, with_weights_of(self.oracle, others)))

    def noise(self, region: str) -> str | None:
        """The format of fewer bits whose errors those of the trace are like, in size and in direction, wherever it parts."""
        best: tuple[float, str] | None = None
        for rounding in ROUNDINGS:
            forms: list[NumpyBert] = [RoundedProducts(self.oracle, rounding.round, divide_first=True)]
            if rounding.stores:
                forms.append(RoundedEverywhere(self.oracle, rounding.round))
            for form in forms:
                correlation = self.correlation(region, self.from_recorded(region, form))
                # TF32 and float16 round operands alike: a little more says nothing.
                if correlation >= LEAST_CORRELATION and (best is None or correlation > best[0] + CORRELATION_OF_LUCK):
                    best = correlation, rounding.fault
        return None if best is None else best[1]

    def correlation(self, region: str, simulated: dict[str, np.ndarray]) -> float:
        """How the errors of the trace go with simulated ones, where that is least; 0 where their size is another."""
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
        return min(correlations, default=0.0)

    def residual(self, region: str, explanation: _Explanation) -> float:
        """What a candidate leaves of the difference, in floors, at the name of the region where that is most."""
        candidate = explanation.candidate
        predicted = self.from_recorded(region, candidate.bert, candidate.adjust, explanation.regions)
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
            if not found.max() <= BUDGET * self.floors[name] and not root_mean_square(left) <= MOST_LEFT * root_mean_square(
                found
            ):
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
    """The part of the model that an intermediate belongs to: "embeddings", "layers.3", "pooler" or "heads"."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "layers" else parts[0]


def _stretches(regions: Sequence[str], recorded: Set[str]) -> dict[str, tuple[str, ...]]:
    """Each region with a recorded name, and before it those right before it that have none."""
    stretches: dict[str, tuple[str, ...]] = {}
    unseen: list[str] = []
    for region in regions:
        unseen.append(region)
        if region in recorded:
            stretches[region] = tuple(unseen)
            unseen = []
    return stretches
