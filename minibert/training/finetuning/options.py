"""What is fine-tuned, on what, and how."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minibert.errors import InputError, shown
from minibert.training.data import Columns
from minibert.training.options import TrainingOptions
from minibert.training.tasks import TASKS

BASELINES = ("lstm",)
LSTM_SIZE = 256


@dataclass(frozen=True)
class FinetuneOptions:
    """Everything that decides what comes out, but for the files.

    Args:
        task: one of `TASKS`.
        model: a fetched name or a folder.
        columns: where texts and labels are in a table.
        token_column, tag_column: where they are in lines of words and tags, from 0, or from −1 at the end.
        task_settings: of the task's class: `max_length`, `stride`, `n_best` and so on, where its defaults do not serve.
        balanced: classes count by the inverse of how often they occur.
        replace_head: forget the head that the checkpoint has.
        dropout: of hidden states, attention and head; the checkpoint's own if None.
        dtype: of the operands of products; parameters stay float32.
        baseline: `lstm` for static vectors under an LSTM in place of the encoder.
        vectors: of the baseline: a file of GloVe's form; the input embeddings of `model` if None.
        trains_vectors: whether they learn too.
        lstm_size: its hidden size, both directions together.
        training: how long, in which portions, on which devices.

    Raises InputError for a value out of range and for options that do not go together.
    """

    task: str
    model: str = "minilm-l6"
    columns: Columns = field(default_factory=Columns)
    token_column: int = 0
    tag_column: int = -1
    task_settings: Mapping[str, Any] = field(default_factory=dict)
    balanced: bool = False
    replace_head: bool = False
    dropout: float | None = None
    dtype: str = "float32"
    baseline: str | None = None
    vectors: str | None = None
    trains_vectors: bool = False
    lstm_size: int = LSTM_SIZE
    training: TrainingOptions = field(default_factory=TrainingOptions)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InputError(f"task is {shown(self.task)}; expected one of {', '.join(TASKS)}")
        if self.baseline not in (None, *BASELINES):
            raise InputError(f"baseline is {shown(self.baseline)}; expected {', '.join(BASELINES)}, or None for BERT")
        for name, given in (
            ("vectors", self.vectors is not None),
            ("trains_vectors", self.trains_vectors),
            ("lstm_size", self.lstm_size != LSTM_SIZE),
        ):
            if given and self.baseline is None:
                raise InputError(f"{name} was given without a baseline; give baseline='lstm' besides, or leave it out")
        if self.baseline is not None:
            for name, given in (
                ("freeze_encoder", self.training.optimiser.freeze_encoder),
                ("frozen_layers", self.training.optimiser.frozen_layers > 0),
                ("layer_decay", self.training.optimiser.layer_decay != 1.0),
                ("rematerialise", self.training.rematerialise),
            ):
                if given:
                    raise InputError(f"{name} was given with a baseline, which has no encoder's layers; leave one of them out")
            if type(self.lstm_size) is not int or self.lstm_size < 2 or self.lstm_size % 2:
                raise InputError(f"lstm_size is {shown(self.lstm_size)}; expected an even number, half of it for each direction")
        if self.dropout is not None and not (
            type(self.dropout) in (int, float) and math.isfinite(self.dropout) and 0.0 <= self.dropout < 1.0
        ):
            raise InputError(f"dropout is {shown(self.dropout)}; expected a number from 0 to below 1")
        for name, given in (("token_column", self.token_column != 0), ("tag_column", self.tag_column != -1)):
            if given and self.task != "tag":
                raise InputError(f"{name} was given for the task {self.task}, whose rows have no words and tags; leave it out")
        if self.balanced and self.task not in ("classify", "pair", "tag"):
            raise InputError(f"balanced was given for the task {self.task}, which has no classes; leave it out")
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype is {shown(self.dtype)}; expected float32 or bfloat16")
