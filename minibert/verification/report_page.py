"""A report as one HTML page that needs nothing else."""

from minibert.verification.report import Report


def page(report: Report) -> str:
    """The page."""
    return str(report)
