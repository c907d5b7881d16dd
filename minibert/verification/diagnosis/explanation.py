"""`diagnose`: where a trace parts from the truth, which known fault explains it, or that none does.

Every step of the NumPy BERT is computed from what the trace recorded before it, so that a step that is right agrees whatever
went wrong earlier. In the region of the first disagreement, the embeddings, one layer, the pooler or a head, this is done once
for each candidate fault. A candidate explains the trace if what remains at every recorded name of the region is within the
budget.

Where nothing was recorded of the regions before, the fault may be in any of them: they are one stretch, and each candidate is
tried in all of it and in each region by itself.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from minibert.errors import TraceError
from minibert.numpy_bert import NumpyBert
from minibert.verification.compare import compare, reference_for
from minibert.verification.diagnosis.candidates import Candidate, candidates, in_words, with_weights_of
from minibert.verification.diagnosis.recorded_steps import RecordedSteps, region_of
from minibert.verification.diagnosis.rounding import ROUNDINGS, RoundedEverywhere, RoundedProducts, RoundedResults
from minibert.verification.faults import FAULTS
from minibert.verification.oracle import Model, oracle_of
from minibert.verification.reference import Reference
from minibert.verification.report import BUDGET
from minibert.verification.trace import Trace

LEAST_CORRELATION = 0.25
"""How much the errors of a trace go with those of simulated roundings at least.

The same numbers rounded to the same bits err alike, as far as other roundings before have not moved them: 0.3 to 1 were seen of
arithmetic of few bits of many kinds, and at most 0.18 of other faults whose errors had that size.
"""
CORRELATION_OF_LUCK = 0.05
"""How much more says nothing: TF32 and float16 round operands alike."""

ENOUGH_TO_REFUSE = 4.0
"""How many budgets a candidate may leave of one text to be tried with all of them."""

LONGEST_STRETCH = 8
"""Of how many regions in one stretch each is tried by itself: every candidate runs all of them again."""

LEFT_BY_OTHER_WEIGHTS = 1e-5
"""What share of a layer's difference the right ones of other layers' weights leave at most; wrong ones leave about all of it.

Layers that come after a first wrong one compute with numbers of another size than those that the floors were measured at: of a
trained model with two layers exchanged 2.0 floors were left of 1.4 million.
"""


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
    if first is None:
        return None
    steps = RecordedSteps(trace, oracle, reference)
    return _Examination(steps, trace.metadata.get("dtype")).diagnosis_of(first.name)


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
    """The search for what explains a trace; `dtype` is what the trace itself says that it was computed in."""

    def __init__(self, steps: RecordedSteps, dtype: str | None):
        self.steps = steps
        self.oracle = steps.oracle
        self.stretches = steps.stretches
        self.dtype = dtype

    def diagnosis_of(self, first: str) -> Diagnosis:
        """The diagnosis for the first intermediate that parts."""
        region = region_of(first)
        if region not in self.stretches:
            return Diagnosis(first, None, "No fault of this head is known here.", (), np.inf)
        unexplained = self.steps.difference(region, self.steps.clean[region])
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
        stretch = self.stretches[region]
        layers = tuple(part for part in stretch if part.startswith("layers."))
        places = dict.fromkeys([*((part,) for part in self.alone(region)), layers or stretch, stretch])
        tried = [_Explanation(candidate, parts, np.inf) for parts in places for candidate in candidates(self.oracle, parts)]
        one_text = self.steps.one_text(region)
        for each in sorted(tried, key=lambda each: not each.is_exact):
            if fault is not None and each.candidate.fault != fault:
                continue
            is_rounding = FAULTS[each.candidate.fault].everywhere and each.candidate.share < 1.0
            if not each.is_exact and (best is not None or (is_rounding and each.regions != stretch)):
                continue
            if not is_rounding and one_text.residual(region, each.candidate, each.regions) > ENOUGH_TO_REFUSE * BUDGET:
                continue
            residual = self.steps.residual(region, each.candidate, each.regions)
            if residual <= BUDGET and (best is None or residual < best.residual):
                best = dataclasses.replace(each, residual=residual)
        return best

    def named(self, fault: str) -> str:
        """Of TF32 and float16, whose products round alike, the one that the trace itself names."""
        return "float16" if fault == "tf32" and self.dtype == "float16" else fault

    def alone(self, region: str) -> tuple[str, ...]:
        """The regions of a stretch in each of which a fault is looked for by itself."""
        stretch = self.stretches[region]
        return stretch if len(stretch) <= LONGEST_STRETCH else ()

    def parting(self, region: str) -> tuple[str, ...]:
        """The regions of this stretch, and those of all that part from what was recorded before them."""
        ends = [end for end in self.stretches if end == region or self.steps.difference(end, self.steps.clean[end]) > BUDGET]
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
            elif self.steps.difference(end, self.steps.clean[end]) > BUDGET:
                other = self.explanation(end, fault)
                spread.extend(other.acting if other is not None else ())
        return tuple(spread)

    def wrong_weights(self, first: str, region: str) -> Diagnosis | None:
        """Other layers' weights: layers in each other's places, or one of them twice."""
        others: dict[str, str] = {}
        worst = 0.0
        for end in self.stretches:
            parts = self.steps.difference(end, self.steps.clean[end]) if others and end != region else 0.0
            if end == region or parts > BUDGET:
                # Further layers compute with what other weights made, whose rounding may be larger than the floor.
                found = self.other_weights(end, max(BUDGET, LEFT_BY_OTHER_WEIGHTS * parts))
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

    def other_weights(self, region: str, most: float) -> tuple[dict[str, str], float] | None:
        """Which layers of a stretch compute with the weights of which others, and what that leaves; None if all leave more."""
        layers = [f"layers.{index}" for index in range(self.oracle.config.num_hidden_layers)]
        stretch = self.stretches[region]
        for layer in self.alone(region):
            for other in layers if layer in layers else []:
                choices = [{layer: other}, {layer: other, other: layer}] if other in stretch else [{layer: other}]
                for others in choices if other != layer else []:
                    left = self.left_by_weights(region, others)
                    if left <= most:
                        return others, left
        return None

    def left_by_weights(self, region: str, others: dict[str, str]) -> float:
        """What is left of a difference, in floors, where some layers compute with the weights of others."""
        return self.steps.difference(region, self.steps.from_recorded(region, with_weights_of(self.oracle, others)))

    def noise(self, region: str) -> str | None:
        """The format of fewer bits whose errors those of the trace are like, in size and in direction, wherever it parts."""
        best: tuple[float, str] | None = None
        for rounding in ROUNDINGS:
            kinds = (RoundedProducts, RoundedResults) if rounding.stores else (RoundedProducts,)
            forms: list[NumpyBert] = [
                kind(self.oracle, rounding.round, divide_first=first) for kind in kinds for first in (True, False)
            ]
            if rounding.stores:
                forms.append(RoundedEverywhere(self.oracle, rounding.round))
            for form in forms:
                correlation = self.steps.correlation(region, self.steps.from_recorded(region, form))
                if correlation >= LEAST_CORRELATION and (best is None or correlation > best[0] + CORRELATION_OF_LUCK):
                    best = correlation, rounding.fault
        return None if best is None else best[1]
