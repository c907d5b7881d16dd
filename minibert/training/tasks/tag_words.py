"""Tagging words: named entities, parts of speech. A dense layer on every token (Devlin et al. 2018, section 5.3)."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from minibert.errors import InputError
from minibert.printable import counted
from minibert.tokenizer import Tokenizer
from minibert.training.data.examples import TaggedSentence
from minibert.training.losses import IGNORED
from minibert.training.metrics.tagging import (
    OUTSIDE,
    entities_of,
    entity_metrics,
    entity_metrics_by_type,
    marks_entities,
    tag_accuracy,
)
from minibert.training.rows import Rows
from minibert.training.tasks.arguments import (
    check_examples,
    check_labels,
    check_max_length,
    check_whole_number,
    missing_label,
    unknown_label,
)
from minibert.training.tasks.logits import checked_logits
from minibert.training.tasks.settings import settings_of
from minibert.training.tasks.word_windows import WordRow, word_rows


@dataclass(frozen=True)
class TagWords:
    """Each word of a sentence has a tag, which its first piece carries; later pieces, [CLS] and [SEP] are IGNORED.

    Sentences longer than a row are divided into windows of whole words, so that every word is tagged, in training too: once, in
    the window where it has most context. A word that becomes no token at all, of control characters only, is tagged `O`.

    Args:
        tokenizer: the model's.
        labels: the tags, in the order of the logits; in the scheme IOB2 if they mark entities.
        max_length: of a row in tokens, [CLS] and [SEP] included.
        stride: windows share words of up to so many tokens.

    Raises InputError for labels that are empty or twice the same, and for lengths out of range. So do the methods, for examples
    that are no `TaggedSentence`s, without tags where these are needed, with as many tags as they do not have words, with tags
    that the task does not know, and for logits that are not those of the examples or not finite.
    """

    tokenizer: Tokenizer = field(repr=False)
    labels: tuple[str, ...]
    max_length: int = 128
    stride: int = 32

    name: ClassVar[str] = "tag"
    head: ClassVar[str] = "token_classification"
    loss: ClassVar[str] = "token_classification"

    def __post_init__(self) -> None:
        check_labels(self.labels, 1, self.name)
        check_max_length(self.tokenizer, self.max_length, least=3)
        check_whole_number("stride", self.stride, 0, self.max_length - 3, ", for windows of max_length tokens to go on")

    @property
    def num_labels(self) -> int:
        """How many logits a token has."""
        return len(self.labels)

    @property
    def best_by(self) -> str:
        """`f1` of entities; `accuracy` where tags mark none, as those of parts of speech."""
        return "f1" if self._marks_entities else "accuracy"

    def rows(self, examples: Sequence[TaggedSentence]) -> Rows:
        """A row for every sentence, or several; a UserWarning tells of words that become no token."""
        rows = self._word_rows(examples)
        missing = _without_token(examples, rows)
        if missing:
            warnings.warn(
                f"{counted(missing, 'word')} of {counted(len(examples), 'sentence')} become no token, as words of control "
                f"characters only do; they are tagged {OUTSIDE}",
                UserWarning,
                stacklevel=2,
            )
        of_sentences = [self._tag_numbers(example) for example in examples]
        labels = []
        for row in rows:
            of_row = np.full(len(row.input_ids), IGNORED, np.int32)
            of_row[row.places] = of_sentences[row.sentence][row.words]
            labels.append(of_row)
        ids = [row.input_ids for row in rows]
        return Rows(ids, [np.zeros(len(row), np.int32) for row in ids], labels, per_token=True)

    def counts(self, examples: Sequence[TaggedSentence]) -> dict[str, int]:
        """`sentences`, how many were `divided`, and `words_without_token`."""
        rows = self._word_rows(examples)
        parts = np.bincount([row.sentence for row in rows])
        divided = int(np.count_nonzero(parts > 1))
        return {"sentences": len(examples), "divided": divided, "words_without_token": _without_token(examples, rows)}

    def metrics(self, examples: Sequence[TaggedSentence], logits: Sequence[np.ndarray]) -> dict[str, float]:
        """`accuracy` of words, and those of `entity_metrics` if tags mark entities."""
        truth, predicted = self._truth(examples), self._predicted(examples, logits)
        of_entities = entity_metrics(truth, predicted) if self._marks_entities else {}
        return of_entities | {"accuracy": tag_accuracy(truth, predicted)}

    def details(self, examples: Sequence[TaggedSentence], logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """`by_type`: the metrics of every type of entity, if tags mark entities."""
        return {"by_type": self.metrics_by_type(examples, logits)} if self._marks_entities else {}

    def metrics_by_type(self, examples: Sequence[TaggedSentence], logits: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
        """`entity_metrics_by_type`."""
        return entity_metrics_by_type(self._truth(examples), self._predicted(examples, logits))

    def predictions(self, examples: Sequence[TaggedSentence], logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """For each sentence its `words` and their `tags`; if these mark entities also `entities`, each [start, end, type, text].

        Start is the number of its first word, end that of the word behind it, text its words with spaces between.
        """
        predictions: list[dict[str, Any]] = []
        for example, tags in zip(examples, self._predicted(examples, logits), strict=True):
            of_sentence: dict[str, Any] = {"words": list(example.words), "tags": tags}
            if self._marks_entities:
                of_sentence["entities"] = [
                    [start, end, kind, " ".join(example.words[start:end])] for start, end, kind in entities_of(tags)
                ]
            predictions.append(of_sentence)
        return predictions

    def settings(self) -> dict[str, Any]:
        """What `task_from_settings` makes the same task of, in values of JSON."""
        return settings_of(self)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {label: number for number, label in enumerate(self.labels)}

    @cached_property
    def _marks_entities(self) -> bool:
        return marks_entities(self.labels)

    def _word_rows(self, examples: Sequence[TaggedSentence]) -> list[WordRow]:
        check_examples(examples, TaggedSentence)
        return list(word_rows(self.tokenizer, [example.words for example in examples], self.max_length, self.stride))

    def _tag_numbers(self, example: TaggedSentence) -> np.ndarray:
        """The number of every word's tag, IGNORED where the sentence has none."""
        if example.tags is None:
            return np.full(len(example.words), IGNORED)
        _check_tags(example)
        for tag in example.tags:
            if tag not in self._numbers:
                raise unknown_label(f"the sentence of {example.place}", tag, self.labels)
        return np.array([self._numbers[tag] for tag in example.tags], np.int64)

    def _truth(self, examples: Sequence[TaggedSentence]) -> list[list[str]]:
        check_examples(examples, TaggedSentence)
        for example in examples:
            _check_tags(example)
        return [list(example.tags or ()) for example in examples]

    def _predicted(self, examples: Sequence[TaggedSentence], logits: Sequence[np.ndarray]) -> list[list[str]]:
        """The tags of every sentence's words."""
        rows = self._word_rows(examples)
        checked = checked_logits(logits, [(len(row.input_ids), self.num_labels) for row in rows])
        tags = [[OUTSIDE] * len(example.words) for example in examples]
        for row, of_row in zip(rows, checked, strict=True):
            for word, number in zip(row.words.tolist(), of_row[row.places].argmax(axis=1).tolist(), strict=True):
                tags[row.sentence][word] = self.labels[number]
        return tags


def _check_tags(example: TaggedSentence) -> None:
    if example.tags is None:
        raise missing_label(example.place, "tags")
    if len(example.tags) != len(example.words):
        raise InputError(
            f"the sentence of {example.place} has {counted(len(example.words), 'word')} and {counted(len(example.tags), 'tag')}; "
            "expected a tag for every word"
        )


def _without_token(examples: Sequence[TaggedSentence], rows: Sequence[WordRow]) -> int:
    return sum(len(example.words) for example in examples) - sum(len(row.words) for row in rows)
