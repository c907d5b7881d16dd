"""What is pre-trained, on what examples, and how."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from minibert.errors import InputError, shown
from minibert.training.optimiser import OptimiserOptions
from minibert.training.options import TrainingOptions
from minibert.training.pretraining.vocabulary import LEAST, MOST
from minibert.training.tasks.arguments import check_switch, check_whole_number

SIZES = ("hidden_size", "layers", "heads", "intermediate_size", "positions")
"""Options of a new model."""
VOCABULARY_SIZE, HIDDEN_SIZE, LAYERS, HEAD_DIM = 8192, 128, 2, 64
"""Of a new model, where nothing else is asked for."""
RATE_OF_NEW_MODEL = 1e-3


def default_training() -> TrainingOptions:
    """How a small new model learns."""
    return TrainingOptions(optimiser=OptimiserOptions(learning_rate=RATE_OF_NEW_MODEL))


@dataclass(frozen=True)
class PretrainOptions:
    """Everything that decides what comes out, but for the files.

    Args:
        model: a fetched name or a folder to go on from; None for a new model.
        tokenizer: of a new model: a fetched name or a folder; None to learn a vocabulary from the files.
        vocabulary_size: of the vocabulary that is learned; 8,192 if None.
        cased: of that vocabulary: upper and lower case, and letters with and without accents, are different.
        hidden_size, layers, heads, intermediate_size, positions: of a new model; 128, 2, a head for each 64, four times as wide,
            and max_length if None.
        max_length: of a row in tokens.
        masked_share: of the tokens of a row that are to be predicted.
        max_predictions: so many of a row at most; as many as the longest row has by its share if None.
        whole_word: whether pieces of a word are masked together.
        next_sentence: whether rows have two segments, of which the second may be another document's.
        short_share: of the documents that give shorter rows.
        passes: so often examples are made of the whole text, with other masks and pairs each time.
        held_out: the share of the documents that are kept to evaluate with; 0 for none.
        steps: so many are made instead of the epochs of `training`.
        dropout: of hidden states and attention; 0.1, or the checkpoint's own, if None.
        dtype: of the operands of products; parameters stay float32.
        training: how long, in which portions, on which devices; its seed is also that of the examples.

    Raises InputError for a value out of range and for options that do not go together.
    """

    model: str | Path | None = None
    tokenizer: str | Path | None = None
    vocabulary_size: int | None = None
    cased: bool = False
    hidden_size: int | None = None
    layers: int | None = None
    heads: int | None = None
    intermediate_size: int | None = None
    positions: int | None = None
    max_length: int = 128
    masked_share: float = 0.15
    max_predictions: int | None = None
    whole_word: bool = False
    next_sentence: bool = True
    short_share: float = 0.1
    passes: int = 5
    held_out: float = 0.05
    steps: int | None = None
    dropout: float | None = None
    dtype: str = "float32"
    training: TrainingOptions = field(default_factory=default_training)

    def __post_init__(self) -> None:
        for name in ("model", "tokenizer"):
            value = getattr(self, name)
            if not isinstance(value, str | Path | None):
                raise InputError(f"{name} is {shown(value)}; expected a fetched name or a folder")
            # As text, which is what a card tells and a plan keeps.
            object.__setattr__(self, name, None if value is None else str(value))
        for name in ("cased", "whole_word", "next_sentence"):
            check_switch(name, getattr(self, name))
        if not isinstance(self.training, TrainingOptions):
            raise InputError(f"training is {shown(self.training)}; expected TrainingOptions(…)")
        for name, least, most in (
            ("vocabulary_size", LEAST, MOST),
            ("hidden_size", 1, 1 << 16),
            ("layers", 1, 1000),
            ("heads", 1, 1 << 12),
            ("intermediate_size", 1, 1 << 20),
            ("positions", 1, 1 << 20),
            ("max_length", 5, 1 << 20),
            ("max_predictions", 1, 1 << 20),
            ("passes", 1, 1 << 20),
            ("steps", 1, 1 << 31),
        ):
            value = getattr(self, name)
            if value is not None or name in ("max_length", "passes"):
                check_whole_number(name, value, least, most)
        for name, below in (("masked_share", 1.0), ("short_share", None), ("held_out", 1.0), ("dropout", 1.0)):
            value = getattr(self, name)
            if value is None and name == "dropout":
                continue
            if name == "masked_share" and value == 0:
                raise InputError("masked_share is 0, and nothing would be learned; expected a number above 0 and below 1")
            if not (type(value) in (int, float) and math.isfinite(value) and 0.0 <= value <= 1.0 and value != below):
                start = "above" if name == "masked_share" else "from"
                raise InputError(f"{name} is {shown(value)}; expected a number {start} 0 {'and below' if below else 'to'} 1")
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype is {shown(self.dtype)}; expected float32 or bfloat16")
        self._check_together()

    def _check_together(self) -> None:
        of_vocabulary = [name for name in ("vocabulary_size", "cased") if getattr(self, name)]
        sizes = [name for name in SIZES if getattr(self, name) is not None]
        for given, others, why in (
            (self.model, ["tokenizer"] if self.tokenizer is not None else [], "has a tokenizer of its own"),
            (self.model, of_vocabulary, "has a vocabulary of its own"),
            (self.model, sizes, "has sizes of its own"),
            (self.tokenizer, of_vocabulary, "has a vocabulary of its own"),
        ):
            if given is not None and others:
                raise InputError(f"{', '.join(others)} was given with {shown(given)}, which {why}; leave it out")
        if self.positions is not None and self.positions < self.max_length:
            raise InputError(
                f"positions is {self.positions:,} and max_length {self.max_length:,}; expected one for every token of a row"
            )
        for name in ("patience", "evaluate_every"):
            if getattr(self.training, name) is not None and not self.held_out:
                raise InputError(f"{name} was given, and nothing is held out to evaluate with; leave out one of the two")

    @property
    def new_positions(self) -> int:
        """How many positions a new model has."""
        return self.max_length if self.positions is None else self.positions

    @property
    def most_masked(self) -> int:
        """How many tokens of a row are predicted at most."""
        of_longest = max(1, round(self.max_length * self.masked_share))
        return of_longest if self.max_predictions is None else self.max_predictions
