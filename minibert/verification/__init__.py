"""Traces of a model's intermediates, stored references, and the comparison of the two."""

from minibert.verification.compare import compare
from minibert.verification.oracle import oracle_of, record_numpy
from minibert.verification.reference import Reference, stored_references
from minibert.verification.report import Report, Row
from minibert.verification.trace import Trace, record

__all__ = ["Reference", "Report", "Row", "Trace", "compare", "oracle_of", "record", "record_numpy", "stored_references"]
