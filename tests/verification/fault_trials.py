"""Faults planted in a model, one after the other, and what the diagnosis calls them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from minibert import Bert, InputError, Trace
from minibert.verification import FAULTS, Reference, diagnose, plant


@dataclass
class Trials:
    """What was planted and what it was called, over all runs; printed as a table."""

    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    misses: list[tuple[str, str]] = field(default_factory=list)

    @property
    def planted(self) -> set[str]:
        return {fault for fault, _ in self.confusion}

    @property
    def total(self) -> int:
        return self.confusion.total()

    def run(self, model: Bert, reference: Reference, recorded: Callable[[Bert], Trace], faults: Sequence[str], seed: int) -> None:
        """Plants each fault that the model can have at a random layer, and holds its trace against the truth of the model."""
        depth = model.config.num_hidden_layers
        for fault, layer in zip(faults, np.random.default_rng(seed).integers(0, depth, len(faults)).tolist(), strict=True):
            try:
                faulty = plant(model, fault, layer=layer)
            except InputError:
                continue
            diagnosis = diagnose(recorded(faulty), model, reference)
            named = "nothing parts" if diagnosis is None else diagnosis.fault or "unexplained"
            self.confusion[fault, named] += 1
            first_layer = min(layer, (layer + 1) % depth) if fault == "layers_swapped" else layer
            expected = FAULTS[fault].first.format(i=first_layer)
            if diagnosis is None or (diagnosis.fault, diagnosis.first) != (fault, expected):
                found = "nothing" if diagnosis is None else f"{named}, first at {diagnosis.first}"
                self.misses.append((fault, f"planted in layer {layer} (seed {seed}), found: {found}"))

    def __str__(self) -> str:
        lines = ["", f"{'planted':24} {'called':24} times"]
        lines += [f"{fault:24} {named:24} {times}" for (fault, named), times in sorted(self.confusion.items())]
        return "\n".join([*lines, "misses:", *(f"{fault} {what}" for fault, what in self.misses)])
