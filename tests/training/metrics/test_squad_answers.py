"""SQuAD's measures: what counts as the same answer, and the best threshold for giving none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.training.metrics.squad_answers import Judged, answer_metrics, best_threshold, exact_match, word_f1, words_of

RECORDED = json.loads(Path(__file__).with_name("squad_answers.json").read_text())
"""By record_squad_answers.py."""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("The Denver Broncos!", ["denver", "broncos"]),
        ("an  A\tthe", []),
        ("", []),
        ("U.S.A.", ["usa"]),
        ("theatre a-b", ["theatre", "ab"]),
        ("“the” 24–10", ["“", "”", "24–10"]),
        ("l'an 2000", ["lan", "2000"]),
        ("İ", ["i̇"]),
    ],
)
def test_words(answer: str, words: list[str]):
    assert words_of(answer) == words


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("the cat", "Cat.", 1.0, 1.0),
        ("black cat", "cat", 0.0, 2 / 3),
        ("cat cat", "cat dog cat fish", 0.0, 2 / 3),
        ("", "", 1.0, 1.0),
        ("the", "", 1.0, 1.0),
        ("", "cat", 0.0, 0.0),
        ("dog", "cat", 0.0, 0.0),
    ],
)
def test_measures_by_hand(answer: str, right: str, exact: float, f1: float):
    assert (exact_match(answer, right), word_f1(answer, right)) == (exact, pytest.approx(f1))


def test_the_best_of_the_accepted_answers_counts():
    assert answer_metrics([Judged(["a red fox", "fox"], "the fox", "the fox", 0.0)]) == {"exact_match": 1.0, "f1": 1.0}


def test_questions_without_an_answer():
    found = answer_metrics(
        [
            Judged(["red fox"], "fox", "fox", -2.0),
            Judged([], "", "fox", 1.0),
            Judged([], "dog", "dog", -1.0),
            Judged(["owl"], "", "owl", 0.5),
        ]
    )
    assert (found["exact_match"], found["f1"]) == (0.25, pytest.approx((2 / 3 + 1) / 4))
    assert (found["HasAns_exact"], found["HasAns_f1"]) == (0.0, pytest.approx(1 / 3))
    assert (found["NoAns_exact"], found["NoAns_f1"]) == (0.5, 0.5)
    # The first alone is answered: 2/3 and two right refusals. To answer the fourth too would take an answer to the third.
    assert found["best_f1"] == pytest.approx((2 / 3 + 2) / 4)
    assert found["best_f1_thresh"] == -2.0
    assert found["best_exact"] == 0.5
    assert found["best_exact_thresh"] < -2.0


@pytest.mark.parametrize(("accepted", "right"), [(["the"], 1.0), (["the", "fox"], 0.0)])
def test_an_accepted_answer_without_words_is_none_where_there_are_others(accepted: list[str], right: float):
    assert answer_metrics([Judged(accepted, "", "", 0.0)]) == {"exact_match": right, "f1": right}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0]), st.integers(-2, 2)), min_size=1, max_size=8)
)
def test_the_best_threshold_gives_what_it_promises_and_no_other_gives_more(questions: list[tuple[float, float, int]]):
    if_answered, if_not, odds = (np.array(column, float) for column in zip(*questions, strict=True))

    def mean(threshold: float) -> float:
        return float(np.where(odds > threshold, if_not, if_answered).mean())

    best, threshold = best_threshold(if_answered, if_not, odds)
    assert mean(threshold) == pytest.approx(best)
    assert max(mean(each) for each in (-9.0, *odds)) == pytest.approx(best)


@pytest.mark.parametrize(("answer", "right", "normalised", "exact", "f1"), RECORDED["pairs"])
def test_two_answers_are_compared_as_the_official_script_does(answer: str, right: str, normalised: str, exact: int, f1: float):
    assert " ".join(words_of(answer)) == normalised
    assert exact_match(answer, right) == exact
    assert word_f1(answer, right) == pytest.approx(f1)


@pytest.mark.parametrize("evaluation", RECORDED["evaluations"])
def test_all_numbers_are_the_official_scripts(evaluation: dict[str, Any]):
    """But for the threshold of refusing every answer, which is below all odds here and 0 there."""
    ours = answer_metrics([Judged(accepted, answer, answer, odds) for accepted, answer, odds in evaluation["questions"]])
    theirs = evaluation["numbers"]
    lowest = min(odds for _, _, odds in evaluation["questions"])
    for name, value in ours.items():
        if not name.endswith("_thresh"):
            assert 100.0 * value == pytest.approx(theirs["exact" if name == "exact_match" else name]), name
        elif value >= lowest:
            assert value == theirs[name], name
        else:
            assert theirs[name] == 0.0, name
