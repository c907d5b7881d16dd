"""Traces of a model's intermediates, stored references, and the comparison of the two."""

from minibert.verification.compare import compare
from minibert.verification.diagnosis import Diagnosis, diagnose
from minibert.verification.faults import FAULTS, plant
from minibert.verification.oracle import oracle_of, record_numpy
from minibert.verification.recorders import load_transformers, record_by_mapping, record_transformers
from minibert.verification.reference import Reference, stored_references
from minibert.verification.report import Report, Row
from minibert.verification.trace import Trace, record

__all__ = [
    "FAULTS",
    "Diagnosis",
    "Reference",
    "Report",
    "Row",
    "Trace",
    "compare",
    "diagnose",
    "load_transformers",
    "oracle_of",
    "plant",
    "record",
    "record_by_mapping",
    "record_numpy",
    "record_transformers",
    "stored_references",
]
