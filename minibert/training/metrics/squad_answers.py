"""SQuAD's measures of answers: exact match and F1 of words, by the rules of its official evaluation scripts.

Rajpurkar et al. 2016, section 6.1, and 2018, section 5. Where the scripts differ, over answers without words, the one of version
2.0 is followed. They print 100 times these shares.
"""

import re
import string
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Judged(NamedTuple):
    """A question with what a model says about it."""

    accepted: Sequence[str]
    """All answers that are right; none for a question that has no answer."""
    answer: str
    """The model's, empty where it gives none."""
    best_answer: str
    """What it would have said if it had to answer."""
    no_answer_score: float
    """How much higher it scores that there is no answer than its best answer."""


def answer_metrics(questions: Sequence[Judged]) -> dict[str, float]:
    """`exact_match` and `f1`, each the mean over all questions of the highest that an accepted answer gives.

    With questions that have no answer among them also the official script's numbers for those that have one (`HasAns_exact`,
    `HasAns_f1`) and those that have none (`NoAns_exact`, `NoAns_f1`, which are equal), and `best_exact`, `best_f1`: what the best
    thresholds for giving no answer, `best_exact_thresh` and `best_f1_thresh`, would make of these questions.
    """
    exact, f1 = (
        np.array([_highest(each, question, question.answer) for question in questions]) for each in (exact_match, word_f1)
    )
    found = {"exact_match": exact.mean(), "f1": f1.mean()}
    has_answer = np.array([len(question.accepted) > 0 for question in questions])
    if has_answer.all():
        return {name: float(value) for name, value in found.items()}
    for name, of_these in (("HasAns", has_answer), ("NoAns", ~has_answer)):
        if of_these.any():
            found |= {f"{name}_exact": exact[of_these].mean(), f"{name}_f1": f1[of_these].mean()}
    odds = np.array([question.no_answer_score for question in questions])
    for name, measure in (("exact", exact_match), ("f1", word_f1)):
        if_answered = np.array([_highest(measure, question, question.best_answer) for question in questions])
        found[f"best_{name}"], found[f"best_{name}_thresh"] = best_threshold(if_answered, (~has_answer).astype(float), odds)
    return {name: float(value) for name, value in found.items()}


def exact_match(answer: str, right: str) -> float:
    """1 where both are the same words in the same order, else 0."""
    return float(words_of(answer) == words_of(right))


def word_f1(answer: str, right: str) -> float:
    """The harmonic mean of how many words of the answer are right, and how many of the right ones are in it."""
    found, expected = words_of(answer), words_of(right)
    if not found or not expected:
        return float(found == expected)
    common = (Counter(found) & Counter(expected)).total()
    # 2 P R / (P + R) with P = common / found, R = common / expected.
    return 2.0 * common / (len(found) + len(expected))


def words_of(answer: str) -> list[str]:
    """The words that are compared: in lower case, without ASCII punctuation and English articles."""
    return _ARTICLES.sub(" ", answer.lower().translate(_WITHOUT_PUNCTUATION)).split()


def best_threshold(
    if_answered: Float64[np.ndarray, " questions"],
    if_not: Float64[np.ndarray, " questions"],
    no_answer_scores: Float64[np.ndarray, " questions"],
) -> tuple[float, float]:
    """The highest mean score that a threshold gives, and the lowest such threshold.

    A question whose `no_answer_scores` is above the threshold is not answered. `if_answered` and `if_not` are each question's
    score, from 0 to 1, for its best answer and for none. The official script does the same, but for ties it takes questions of
    equal odds apart, which no threshold can.
    """
    order = np.argsort(no_answer_scores, kind="stable")
    odds = no_answer_scores[order]
    # With so many of the questions answered, from none to all.
    totals = if_not.sum() + np.concatenate([[0.0], np.cumsum((if_answered - if_not)[order])])
    possible = np.concatenate([[True], np.diff(odds) > 0.0, [True]])
    answered = int(np.flatnonzero(possible)[totals[possible].argmax()])
    threshold = np.nextafter(odds[0], -sys.float_info.max) if answered == 0 else odds[answered - 1]
    return float(totals[answered] / len(odds)), float(threshold)


def _right_answers(question: Judged) -> list[str]:
    """The accepted answers that have words at all; where there are none the right answer is the empty one."""
    return [answer for answer in question.accepted if words_of(answer)] or [""]


def _highest(measure: Callable[[str, str], float], question: Judged, answer: str) -> float:
    return max(measure(answer, right) for right in _right_answers(question))
