"""What a training leaves for its user to read: a file of metrics, events for TensorBoard, a card of the model."""

from minibert.training.reports.metrics_file import MetricsFile, read_metrics
from minibert.training.reports.model_card import CardFacts, ConfusionMatrix, DataFile, model_card
from minibert.training.reports.tensorboard import TensorBoardEvents

__all__ = [
    "CardFacts",
    "ConfusionMatrix",
    "DataFile",
    "MetricsFile",
    "TensorBoardEvents",
    "model_card",
    "read_metrics",
]
