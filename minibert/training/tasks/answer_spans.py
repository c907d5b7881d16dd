"""From the logits of a question's rows to its best answers (Devlin et al. 2018, section 4.2 and 4.3)."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from minibert.training.tasks.question_windows import QuestionRow


class Span(NamedTuple):
    """A possible answer: a slice of the context, and the sum of the logits of its first and its last token."""

    start: int
    """Its first character."""
    end: int
    """The character behind its last."""
    score: float


class Answers(NamedTuple):
    """What the logits say of a question."""

    spans: list[Span]
    """The best ones, best first, with different texts. None at all where the context has no token."""
    no_answer: float
    """The score of there being none: the logits of [CLS], summed, in the row where that is lowest."""

    @property
    def odds(self) -> float:
        """How much higher no answer scores than the best one."""
        return self.no_answer - self.spans[0].score if self.spans else float(np.finfo(np.float64).max)


def answers_of(
    context: str,
    rows: Sequence[QuestionRow],
    logits: Sequence[Float64[np.ndarray, "_ 2"]],
    n_best: int,
    max_answer_length: int,
) -> Answers:
    """The up to `n_best` answers with the highest scores, of at most `max_answer_length` tokens each.

    Every possible pair of first and last token is looked at, where run_squad.py takes the 20 best of each. As there, an answer
    whose first token is in several windows counts in the one where that token has most context, and of answers with the same
    text the best one is kept.
    """
    of_rows = [_scores(row, of_row, max_answer_length) for row, of_row in zip(rows, logits, strict=True)]
    edges = np.cumsum([0, *(scores.size for scores in of_rows)])
    scores = np.concatenate([scores.ravel() for scores in of_rows])
    looked_at = n_best
    while True:
        different: dict[str, Span] = {}
        for place in _highest(scores, looked_at):
            number = int(np.searchsorted(edges, place, side="right")) - 1
            first, more = divmod(place - int(edges[number]), of_rows[number].shape[1])
            span = _span(context, rows[number], first, first + more, float(scores[place]))
            different.setdefault(context[span.start : span.end], span)
        if len(different) >= n_best or looked_at >= len(scores):
            return Answers(list(different.values())[:n_best], min(float(of_row[0].sum()) for of_row in logits))
        looked_at *= 4


def _scores(
    row: QuestionRow, logits: Float64[np.ndarray, "tokens 2"], max_answer_length: int
) -> Float64[np.ndarray, "window lengths"]:
    """The score of the answer that begins in each token of the window, and goes on for so many more; −∞ where there is none."""
    tokens = len(row.owns)
    of_window = logits[row.first_place : row.first_place + tokens]
    lengths = max(1, min(tokens, max_answer_length))
    ends = np.concatenate([of_window[:, 1], np.full(lengths - 1, -np.inf)])
    if not tokens:
        return np.zeros((0, lengths))
    scores = of_window[:, 0, None] + np.lib.stride_tricks.sliding_window_view(ends, lengths)
    scores[~row.owns] = -np.inf
    return scores


def _highest(scores: Float64[np.ndarray, " spans"], most: int) -> list[int]:
    """The places of the highest scores, highest first; of equal ones in their order, of those at the end any. None of −∞."""
    places = np.arange(len(scores)) if most >= len(scores) else np.argpartition(-scores, most)[:most]
    places = places[np.isfinite(scores[places])]
    return places[np.lexsort((places, -scores[places]))].tolist()


def _span(context: str, row: QuestionRow, first: int, last: int, score: float) -> Span:
    """The answer from one token of a window to another."""
    offsets = row.context.offsets[row.window[0] : row.window[1]]
    end = int(offsets[last, 1])
    # Accents on its last character that the tokenizer leaves out are no token's.
    while end < len(context) and unicodedata.category(context[end]) == "Mn":
        end += 1
    return Span(int(offsets[first, 0]), end, score)
