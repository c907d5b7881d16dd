"""Answering questions by a piece of a text, as in SQuAD (Devlin et al. 2018, sections 4.2 and 4.3)."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minibert.errors import InputError, TruncationWarning, shown
from minibert.printable import counted
from minibert.tokenizer import Tokenizer
from minibert.training.data.examples import Question
from minibert.training.losses import IGNORED
from minibert.training.metrics.squad_answers import Judged, answer_metrics
from minibert.training.rows import Rows
from minibert.training.tasks.answer_spans import Answers, answers_of
from minibert.training.tasks.arguments import (
    check_examples,
    check_max_length,
    check_no_labels,
    check_whole_number,
    missing_label,
)
from minibert.training.tasks.logits import checked_logits, softmax
from minibert.training.tasks.question_windows import QuestionRow, question_rows
from minibert.training.tasks.settings import settings_of


@dataclass(frozen=True)
class AnswerQuestions:
    """Each question is answered by a piece of its context, or not at all.

    A row is the question and, where the context is longer than there is room, a window of it. Its label is the first and the
    last token of the first accepted answer if these are both in the window; if not, (0, 0), the [CLS] token. That holds for
    questions without an answer, and for windows that the answer is not in, in data without unanswerable questions too, as in
    google-research/bert, run_squad.py.

    Args:
        tokenizer: the model's.
        labels: none; first and last token are all that is told apart.
        max_length: of a row in tokens, [CLS] and both [SEP] included.
        stride: windows over a context share so many tokens, best twice `max_answer_length` or more: an answer counts in the
            window where its first token has most context only. (run_squad.py's `doc_stride` is how far apart they begin.)
        max_question_length: longer questions are cut to so many tokens.
        n_best: so many answers are given, best first.
        max_answer_length: of an answer that is given, in tokens.
        null_threshold: no answer is given where there being none scores higher than the best answer by more than this. None to
            always give one, for models that learned from answerable questions only, such as SQuAD 1.1's.

    Raises InputError for labels, and for numbers out of range. So do the methods, for examples that are no `Question`s, without
    answers where these are needed, with an answer that is not in its context, and for logits that are not those of the examples
    or not finite.
    """

    tokenizer: Tokenizer = field(repr=False)
    labels: tuple[str, ...] = ()
    max_length: int = 384
    stride: int = 128
    max_question_length: int = 64
    n_best: int = 20
    max_answer_length: int = 30
    null_threshold: float | None = 0.0

    name: ClassVar[str] = "qa"
    head: ClassVar[str] = "question_answering"
    loss: ClassVar[str] = "question_answering"
    best_by: ClassVar[str] = "f1"
    num_labels: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        check_no_labels(self.labels, self.name)
        check_max_length(self.tokenizer, self.max_length, least=5)
        check_whole_number("max_question_length", self.max_question_length, 1, self.max_length - 4)
        room = self.max_length - 3 - self.max_question_length
        check_whole_number(
            "stride", self.stride, 0, room - 1, f", since beside the longest question a row has {room} tokens of its context"
        )
        check_whole_number("n_best", self.n_best, 1, 1000)
        check_whole_number("max_answer_length", self.max_answer_length, 1, self.max_length)
        threshold = self.null_threshold
        if threshold is not None and (type(threshold) not in (int, float) or not math.isfinite(threshold)):
            raise InputError(f"null_threshold is {shown(threshold)}; expected a finite number, or None to always give an answer")

    def rows(self, examples: Sequence[Question]) -> Rows:
        """A row for every question, or several; a TruncationWarning tells how many questions are cut."""
        rows = self._question_rows(examples)
        cut = len({row.question for row in rows if row.is_cut})
        if cut:
            warnings.warn(
                f"{cut:,} of {counted(len(examples), 'question')} were cut at "
                f"max_question_length={self.max_question_length} tokens",
                TruncationWarning,
                stacklevel=2,
            )
        labels = [np.array(_label(examples[row.question], row), np.int32) for row in rows]
        return Rows([row.input_ids for row in rows], [row.token_type_ids for row in rows], labels)

    def counts(self, examples: Sequence[Question]) -> dict[str, int]:
        """`questions`, how many were `cut` and `divided` into several rows, and `answers_in_no_row`.

        The last are of questions that have an answer, which is too long for every window or has no token: nothing learns it.
        """
        rows = self._question_rows(examples)
        parts = np.bincount([row.question for row in rows])
        found = {row.question for row in rows if _label(examples[row.question], row) != (0, 0)}
        missed = sum(bool(example.answers) and number not in found for number, example in enumerate(examples))
        cut = len({row.question for row in rows if row.is_cut})
        divided = int(np.count_nonzero(parts > 1))
        return {"questions": len(examples), "cut": cut, "divided": divided, "answers_in_no_row": missed}

    def metrics(self, examples: Sequence[Question], logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Those of `answer_metrics`."""
        judged = []
        for example, answers in zip(examples, self._answers(examples, logits, n_best=1), strict=True):
            if example.answers is None:
                raise missing_label(example.place, "answers")
            best = example.context[answers.spans[0].start : answers.spans[0].end] if answers.spans else ""
            given = "" if self._gives_none(answers) else best
            judged.append(Judged([answer.text for answer in example.answers], given, best, answers.odds))
        return answer_metrics(judged)

    def details(self, examples: Sequence[Question], logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """Nothing more than the metrics."""
        return {}

    def predictions(self, examples: Sequence[Question], logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """For each question its `id`, the `question`, the `answer` that is given, and what was thought of.

        `answer` is a slice of the context, and `start` where it begins; "" and None where none is given. `n_best` has the best
        answers, each with `text`, `start`, `score` (the summed logits) and `probability` (the softmax over the scores in this
        list); where no answer may be given it is one more of them. `no_answer_score` is its score.
        """
        return [
            self._prediction(example, answers)
            for example, answers in zip(examples, self._answers(examples, logits, self.n_best), strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        """What `task_from_settings` makes the same task of, in values of JSON."""
        return settings_of(self)

    def _prediction(self, example: Question, answers: Answers) -> dict[str, Any]:
        n_best: list[dict[str, Any]] = [
            {"text": example.context[start:end], "start": start, "score": score} for start, end, score in answers.spans
        ]
        given = {"text": "", "start": None} if self._gives_none(answers) else n_best[0]
        if self.null_threshold is not None:
            n_best.append({"text": "", "start": None, "score": answers.no_answer})
        if n_best:
            n_best.sort(key=lambda answer: -answer["score"])
            for answer, probability in zip(n_best, softmax(np.array([each["score"] for each in n_best])).tolist(), strict=True):
                answer["probability"] = probability
        return {
            "id": example.id,
            "question": example.question,
            "answer": given["text"],
            "start": given["start"],
            "no_answer_score": answers.no_answer,
            "n_best": n_best,
        }

    def _gives_none(self, answers: Answers) -> bool:
        return not answers.spans or (self.null_threshold is not None and answers.odds > self.null_threshold)

    def _question_rows(self, examples: Sequence[Question]) -> list[QuestionRow]:
        check_examples(examples, Question)
        questions = [example.question for example in examples]
        contexts = [example.context for example in examples]
        lengths = (self.max_length, self.max_question_length, self.stride)
        return list(question_rows(self.tokenizer, questions, contexts, *lengths))

    def _answers(self, examples: Sequence[Question], logits: Sequence[np.ndarray], n_best: int) -> list[Answers]:
        """The best answers of every question."""
        rows = self._question_rows(examples)
        checked = checked_logits(logits, [(len(row.input_ids), 2) for row in rows])
        of_questions: list[list[int]] = [[] for _ in examples]
        for number, row in enumerate(rows):
            of_questions[row.question].append(number)
        return [
            answers_of(
                example.context,
                [rows[number] for number in numbers],
                [checked[number] for number in numbers],
                n_best,
                self.max_answer_length,
            )
            for example, numbers in zip(examples, of_questions, strict=True)
        ]


def _label(example: Question, row: QuestionRow) -> tuple[int, int]:
    """The places of the first answer's first and last token in a row, (0, 0) where it is not in there."""
    if example.answers is None:
        return IGNORED, IGNORED
    if not example.answers:
        return 0, 0
    text, start = example.answers[0]
    if not text or example.context[start : start + len(text)] != text or start < 0:
        raise InputError(f"{example.place} has the answer {shown(text)} at character {start}, where its context has other words")
    tokens = row.context.tokens_of(start, start + len(text))
    window_start, window_end = row.window
    if tokens is None or tokens[0] < window_start or tokens[1] >= window_end:
        return 0, 0
    return tokens[0] - window_start + row.first_place, tokens[1] - window_start + row.first_place
