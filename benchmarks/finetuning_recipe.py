"""The one recipe that all sides of `finetuning.py` follow, and what comes of a training."""

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Recipe:
    """AdamW with a linear warm-up and a linear decay to zero; no weight decay of biases and LayerNorms."""

    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warm_up: float = 0.1
    max_gradient_norm: float = 1.0
    epsilon: float = 1e-6
    max_length: int = 64


class Outcome(NamedTuple):
    """What a contender says of the rows to evaluate, and the loss of every step; no loss where nothing was trained by steps."""

    predicted: list[Any]
    losses: list[float]
