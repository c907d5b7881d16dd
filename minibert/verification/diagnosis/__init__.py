"""Why a trace parts: every known fault is looked for where it first leaves the truth, by NumPy code of its own."""

from minibert.verification.diagnosis.explanation import Diagnosis, diagnose
from minibert.verification.diagnosis.recorded_steps import region_of

__all__ = ["Diagnosis", "diagnose", "region_of"]
