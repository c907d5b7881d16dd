"""What others published as the outputs of official checkpoints, and the check of a checkpoint against it."""

from minibert.verification.published.checking import check_published
from minibert.verification.published.records import PublishedValue, published_values, read_published
from minibert.verification.published.report import PublishedReport, PublishedResult

__all__ = ["PublishedReport", "PublishedResult", "PublishedValue", "check_published", "published_values", "read_published"]
