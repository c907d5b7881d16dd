"""BERT's tasks: how examples become rows of ids, and logits become predictions and metrics."""

from minibert.training.tasks.task import Task

__all__ = ["Task"]
