"""Heads on data: the losses of BERT's tasks."""

from minibert.training.losses import LOSSES, Loss

__all__ = ["LOSSES", "Loss"]
