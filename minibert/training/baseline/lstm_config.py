"""`LstmConfig`: the sizes of the baseline, as its file has them, and what the heads, which are BERT's, are told of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from minibert.config import LARGEST, BertConfig
from minibert.errors import InputError, shown

HEADS_OF_LSTM = ("sequence_classification", "token_classification", "question_answering")
"""Of `minibert.model.heads.HEADS`: the tasks. What pre-trains a BERT has no use for vectors that are trained already."""
MOST_LABELS = 1_000_000


@dataclasses.dataclass(frozen=True)
class LstmConfig:
    """The sizes of a bidirectional LSTM over static vectors, with one head.

    Args:
        vocab_size: how many tokens the tokenizer has.
        word_width: of their vectors.
        hidden_size: of what the LSTM gives for a token, both directions together: an even number.
        num_layers: of LSTMs, one above the other.
        dropout: the share of the inputs of every layer and of the head that training zeroes.
        trains_vectors: whether the vectors learn with the rest.
        head: one of HEADS_OF_LSTM.
        num_labels: of the head; 2 for `question_answering`, whose two scores are those of an answer's ends.

    Raises InputError for a value out of range.
    """

    vocab_size: int
    word_width: int
    hidden_size: int = 256
    num_layers: int = 1
    dropout: float = 0.3
    trains_vectors: bool = False
    head: str = "sequence_classification"
    num_labels: int = 2

    def __post_init__(self) -> None:
        for name, most in (
            ("vocab_size", LARGEST["vocab_size"]),
            ("word_width", LARGEST["hidden_size"]),
            ("hidden_size", LARGEST["hidden_size"]),
            ("num_layers", 64),
            ("num_labels", MOST_LABELS),
        ):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise InputError(f"{name} is {shown(value)}; expected a whole number from 1 to {most:,}")
        if self.hidden_size % 2:
            raise InputError(f"hidden_size is {self.hidden_size}; expected an even number, half of it for each direction")
        if type(self.dropout) not in (int, float) or not 0.0 <= self.dropout <= 1.0:
            raise InputError(f"dropout is {shown(self.dropout)}; expected a number from 0 to 1")
        if type(self.trains_vectors) is not bool:
            raise InputError(f"trains_vectors is {shown(self.trains_vectors)}; expected true or false")
        if self.head not in HEADS_OF_LSTM:
            raise InputError(f"head is {shown(self.head)}; expected one of {', '.join(HEADS_OF_LSTM)}")
        if self.head == "question_answering" and self.num_labels != 2:
            raise InputError(f"num_labels is {self.num_labels}; expected 2, for the first and the last token of an answer")

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, which `from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "LstmConfig":
        """The configuration that a file states: all fields and no other; InputError else, and for a value out of range."""
        names = {field.name for field in dataclasses.fields(cls)}
        wrong = sorted(names ^ set(values))
        if wrong:
            raise InputError(f"the configuration lacks, or has besides, {shown(wrong)}; expected {', '.join(sorted(names))}")
        return cls(**values)

    def of_heads(self) -> BertConfig:
        """What heads, inputs and optimiser ask of a BERT's configuration: the widths and the depth, one attention head.

        An LSTM takes texts of any length. Its dense layers begin larger than BERT's, as is usual where none were trained before.
        """
        return BertConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=1,
            intermediate_size=self.hidden_size,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=LARGEST["max_position_embeddings"],
            initializer_range=self.hidden_size**-0.5,
        )
