"""The outcome of a comparison, in every form that it is shown or kept in."""

from minibert.verification.report.report import BUDGET, Report, Row, place_of, worst_of

__all__ = ["BUDGET", "Report", "Row", "place_of", "worst_of"]
