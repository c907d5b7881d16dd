"""Heads on data: the losses of BERT's tasks and the optimiser."""

from minibert.training.losses import LOSSES, Loss
from minibert.training.optimiser import OptimiserOptions, learning_rate, optimiser

__all__ = ["LOSSES", "Loss", "OptimiserOptions", "learning_rate", "optimiser"]
