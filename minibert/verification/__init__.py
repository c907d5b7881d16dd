"""Traces of a model's intermediates, stored references, and the comparison of the two."""

from minibert.verification.compare import Report, Row, compare
from minibert.verification.reference import Reference, stored_references
from minibert.verification.trace import Trace, record

__all__ = ["Reference", "Report", "Row", "Trace", "compare", "record", "stored_references"]
