"""The faults that real ports of BERT have had, each of which can be planted in a copy of a model."""

from minibert.verification.faults.catalogue import FAULTS, Fault, plant

__all__ = ["FAULTS", "Fault", "plant"]
