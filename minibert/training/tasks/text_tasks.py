"""The tasks on texts and on pairs of texts: into one of several classes, a number, or any of several labels.

Devlin et al. 2018, section 4.1: the [CLS] token's pooled vector under a dense layer, `sequence_classification`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float64, Int64

from minibert.errors import InputError, TruncationWarning, shown
from minibert.printable import counted
from minibert.tokenizer import Tokenizer
from minibert.training.data.examples import TextExample
from minibert.training.losses import IGNORED
from minibert.training.metrics.classification import classification_metrics, confusion_matrix, multi_label_metrics
from minibert.training.metrics.regression import regression_metrics
from minibert.training.rows import Rows
from minibert.training.tasks.arguments import (
    check_examples,
    check_labels,
    check_max_length,
    check_no_labels,
    check_switch,
    missing_label,
    unknown_label,
)
from minibert.training.tasks.encoding import EncodedTexts, encoded_texts
from minibert.training.tasks.logits import checked_logits, sigmoid, softmax
from minibert.training.tasks.settings import settings_of

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class TextTask:
    """What the tasks on texts have in common.

    Args:
        tokenizer: the model's.
        labels: their names, in the order of the logits.
        max_length: of a row in tokens, [CLS] and [SEP] included. Longer texts are cut, of pairs the longer text first.
        takes_pairs: whether every example has a second text; else none has.

    Raises InputError for labels that are too few, empty or twice the same, and for lengths out of range. So do the methods, for
    examples that are no `TextExample`s, with or without a second text or a label where it should be otherwise, with a label
    that the task does not know, and for logits that are not those of the examples or not finite.
    """

    tokenizer: Tokenizer = field(repr=False)
    labels: tuple[str, ...] = ()
    max_length: int = 128
    takes_pairs: bool = False

    name: ClassVar[str]
    loss: ClassVar[str]
    best_by: ClassVar[str]
    head: ClassVar[str] = "sequence_classification"

    def __post_init__(self) -> None:
        self._check_labels()
        check_switch("takes_pairs", self.takes_pairs)
        # Each text keeps a token besides [CLS] and the [SEP] behind it.
        check_max_length(self.tokenizer, self.max_length, least=5 if self.takes_pairs else 3)

    @property
    def num_labels(self) -> int:
        """How many logits a text has."""
        return len(self.labels)

    def rows(self, examples: Sequence[TextExample]) -> Rows:
        """A row for every example; a TruncationWarning tells how many are cut."""
        encoded = self._encoded(examples)
        if encoded.cut:
            what = "pair" if self.takes_pairs else "text"
            warnings.warn(
                f"{encoded.cut:,} of {counted(len(examples), what)} were cut at max_length={self.max_length} tokens",
                TruncationWarning,
                stacklevel=2,
            )
        return Rows(encoded.input_ids, encoded.token_type_ids, [self._label(example) for example in examples])

    def counts(self, examples: Sequence[TextExample]) -> dict[str, int]:
        """`texts` (or pairs of them), and how many of them were `cut`."""
        return {"texts": len(examples), "cut": self._encoded(examples).cut}

    def details(self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """Nothing more than the metrics."""
        return {}

    def predictions(self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """For each example its `text`, `text_pair` if it has one, and what the model says: at least the `label`."""
        said = self._said(self._stacked(examples, logits))
        return [
            {"text": example.text} | ({} if example.text_pair is None else {"text_pair": example.text_pair}) | of_example
            for example, of_example in zip(examples, said, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        """What `task_from_settings` makes the same task of, in values of JSON."""
        return settings_of(self)

    def _check_labels(self) -> None:
        check_labels(self.labels, 1, self.name)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {label: number for number, label in enumerate(self.labels)}

    def _number(self, example: TextExample, label: object) -> int:
        """The number of a label by its name."""
        if not isinstance(label, str) or label not in self._numbers:
            raise unknown_label(example.place, label, self.labels)
        return self._numbers[label]

    def _label(self, example: TextExample) -> np.ndarray:
        """An example's label as `Rows` have it."""
        raise NotImplementedError

    def _said(self, logits: Float64[np.ndarray, "texts labels"]) -> list[dict[str, Any]]:
        """The part of each prediction that the model makes."""
        raise NotImplementedError

    def _encoded(self, examples: Sequence[TextExample]) -> EncodedTexts:
        check_examples(examples, TextExample)
        for example in examples:
            if (example.text_pair is not None) != self.takes_pairs:
                found, expected = ("no second text", "one") if self.takes_pairs else ("a second text", "none")
                raise InputError(
                    f"{example.place} has {found}; expected {expected} for {self.name}, takes_pairs={self.takes_pairs}"
                )
        seconds = [example.text_pair or "" for example in examples] if self.takes_pairs else None
        return encoded_texts(self.tokenizer, [example.text for example in examples], seconds, self.max_length)

    def _stacked(self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]) -> Float64[np.ndarray, "texts labels"]:
        check_examples(examples, TextExample)
        return np.stack(checked_logits(logits, [(self.num_labels,)] * len(examples)))

    def _truth(self, examples: Sequence[TextExample]) -> np.ndarray:
        """The labels of examples that all have one, [texts] or [texts, labels]."""
        for example in examples:
            if example.label is None:
                raise missing_label(example.place, "label")
        return np.stack([self._label(example) for example in examples])


@dataclass(frozen=True)
class ClassifyTexts(TextTask):
    """Each text is of one class; its label is the class's name."""

    name: ClassVar[str] = "classify"
    loss: ClassVar[str] = "sequence_classification"
    best_by: ClassVar[str] = "accuracy"

    def metrics(self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Those of `classification_metrics`."""
        probabilities = softmax(self._stacked(examples, logits))
        return classification_metrics(self._classes(examples), probabilities)

    def confusion_matrix(
        self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]
    ) -> Int64[np.ndarray, "labels labels"]:
        """How many texts of each class (row) were taken for each class (column), in the order of `labels`."""
        predicted = self._stacked(examples, logits).argmax(axis=1)
        return confusion_matrix(self._classes(examples), predicted, self.num_labels)

    def details(self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """The `confusion_matrix`, as lists, and the `labels` of its rows and columns."""
        return {"labels": list(self.labels), "confusion_matrix": self.confusion_matrix(examples, logits).tolist()}

    def _check_labels(self) -> None:
        check_labels(self.labels, 2, self.name)

    def _label(self, example: TextExample) -> np.ndarray:
        if example.label is None:
            return np.array(IGNORED, np.int32)
        return np.array(self._number(example, example.label), np.int32)

    def _said(self, logits: Float64[np.ndarray, "texts labels"]) -> list[dict[str, Any]]:
        return [
            {"label": self.labels[int(of_text.argmax())], "probabilities": dict(zip(self.labels, of_text.tolist(), strict=True))}
            for of_text in softmax(logits)
        ]

    def _classes(self, examples: Sequence[TextExample]) -> Int64[np.ndarray, " texts"]:
        return self._truth(examples).astype(np.int64)


@dataclass(frozen=True)
class ClassifyPairs(ClassifyTexts):
    """Each pair of texts is of one class, such as whether the first one says that the second one is true."""

    takes_pairs: bool = True

    name: ClassVar[str] = "pair"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.takes_pairs:
            raise InputError("takes_pairs is False; expected True for the task pair: the one for single texts is classify")


@dataclass(frozen=True)
class PredictNumbers(TextTask):
    """Each text, or pair of texts, has a number, such as how similar the two are."""

    name: ClassVar[str] = "regress"
    loss: ClassVar[str] = "regression"
    best_by: ClassVar[str] = "pearson"

    @property
    def num_labels(self) -> int:
        """The one number."""
        return 1

    def metrics(self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Those of `regression_metrics`."""
        predicted = self._stacked(examples, logits)[:, 0]
        return regression_metrics(self._truth(examples)[:, 0].astype(np.float64), predicted)

    def _check_labels(self) -> None:
        check_no_labels(self.labels, self.name)

    def _label(self, example: TextExample) -> np.ndarray:
        label = example.label
        if label is None:
            return np.full(1, np.nan, np.float32)
        if not isinstance(label, float | int) or isinstance(label, bool) or not abs(label) <= LARGEST:
            raise InputError(f"{example.place} has the label {shown(label)}; expected a number of at most {LARGEST:g}")
        return np.array([label], np.float32)

    def _said(self, logits: Float64[np.ndarray, "texts labels"]) -> list[dict[str, Any]]:
        return [{"label": number} for number in logits[:, 0].tolist()]


@dataclass(frozen=True)
class GiveLabels(TextTask):
    """Each text has any number of labels, none included; each is decided by itself.

    Args:
        threshold: a label is given where its probability, the sigmoid of its logit, is above this.
    """

    threshold: float = 0.5

    name: ClassVar[str] = "multilabel"
    loss: ClassVar[str] = "multi_label"
    best_by: ClassVar[str] = "micro_f1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.threshold) not in (int, float) or not 0.0 <= self.threshold <= 1.0:
            raise InputError(f"threshold is {shown(self.threshold)}; expected a number from 0 to 1")

    def metrics(self, examples: Sequence[TextExample], logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Those of `multi_label_metrics`."""
        probabilities = sigmoid(self._stacked(examples, logits))
        truth: Bool[np.ndarray, "texts labels"] = self._truth(examples) > 0.5
        return multi_label_metrics(truth, probabilities, self.threshold)

    def _label(self, example: TextExample) -> np.ndarray:
        if example.label is None:
            return np.full(self.num_labels, np.nan, np.float32)
        if not isinstance(example.label, tuple):
            raise InputError(f"{example.place} has the label {shown(example.label)}; expected a tuple of names")
        flags = np.zeros(self.num_labels, np.float32)
        for label in example.label:
            flags[self._number(example, label)] = 1.0
        return flags

    def _said(self, logits: Float64[np.ndarray, "texts labels"]) -> list[dict[str, Any]]:
        said = []
        for of_text in sigmoid(logits).tolist():
            probabilities = dict(zip(self.labels, of_text, strict=True))
            said.append(
                {
                    "label": [label for label in self.labels if probabilities[label] > self.threshold],
                    "probabilities": probabilities,
                }
            )
        return said
