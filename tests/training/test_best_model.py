"""Which model a training returns: the best by its evaluations, before and after a resume, and when it stops early."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import OBJECTIVE, BagOfWords, leaves_of, small_options, small_rows

from minibert.training.loop import Trained, fit

pytestmark = pytest.mark.long


class StopError(Exception):
    """What ends a training in these tests where it is."""


class Scores:
    """Evaluations whose outcome is known before, and the parameters that each has seen."""

    def __init__(self, *scores: float):
        self.scores: Iterator[float] = iter(scores)
        self.seen: list[dict[str, np.ndarray]] = []

    def __call__(self, model: Any, placement: Any) -> dict[str, float]:
        self.seen.append({path: leaf.copy() for path, leaf in leaves_of(model).items()})
        return {"score": next(self.scores)}


def train(scores: Scores, folder: Path | None, **arguments: Any) -> Trained:
    """Twelve steps at most, of which each second is followed by an evaluation."""
    options = small_options(
        batch_size=4, epochs=3, evaluate_every=2, learning_rate=0.05, patience=arguments.pop("patience", None)
    )
    return fit(BagOfWords(), small_rows(16), OBJECTIVE, options, evaluate=scores, best_by="score", folder=folder, **arguments)


def assert_is(trained: Trained, seen: dict[str, np.ndarray]) -> None:
    found = leaves_of(trained.model)
    assert {path for path in found if found[path].tobytes() != seen[path].tobytes()} == set()


@pytest.mark.parametrize("keeps", [False, True], ids=["in memory", "in a folder"])
def test_the_best_model_is_returned_to_the_bit_and_ties_go_to_the_first(keeps: bool, tmp_path: Path):
    scores = Scores(0.1, 0.7, 0.4, 0.7, 0.2, 0.3)
    trained = train(scores, tmp_path if keeps else None)
    assert (trained.best_step, trained.steps) == (4, 12)
    assert_is(trained, scores.seen[1])


@pytest.mark.parametrize("keeps", [False, True], ids=["in memory", "in a folder"])
def test_patience_counts_evaluations_since_the_best(keeps: bool, tmp_path: Path):
    scores = Scores(0.5, 0.4, 0.6, 0.5, 0.6)
    trained = train(scores, tmp_path if keeps else None, patience=2)
    assert (trained.best_step, trained.steps, trained.total_steps) == (6, 10, 12)
    assert_is(trained, scores.seen[2])


def test_patience_and_the_best_go_on_after_a_resume(tmp_path: Path):
    def stop(record: dict[str, Any]) -> None:
        if record["step"] == 8 and "loss" in record:
            raise StopError

    scores = Scores(0.5, 0.8, 0.6, 0.7, 0.9)
    with pytest.raises(StopError):
        train(scores, tmp_path, patience=2, report=stop)
    trained = train(scores, tmp_path, patience=2)
    assert (trained.best_step, trained.steps) == (4, 8)
    assert_is(trained, scores.seen[1])
    # It had ended: another call makes no step.
    again = train(Scores(), tmp_path, patience=2)
    assert (again.best_step, again.steps, again.records) == (4, 8, trained.records)
    assert_is(again, scores.seen[1])


def test_a_score_that_is_no_number_is_told_and_never_the_best_if_there_is_another(tmp_path: Path):
    scores = Scores(float("nan"), 0.1, float("inf"), float("nan"), 0.05, -1.0)
    with pytest.warns(UserWarning, match="the evaluation after step 2 has no score, by which the best is chosen"):
        trained = train(scores, tmp_path)
    assert trained.best_step == 4
    assert_is(trained, scores.seen[1])
    found = [record["evaluation"]["score"] for record in trained.records if "evaluation" in record]
    assert found == [None, 0.1, None, None, 0.05, -1.0]
    # What is kept is JSON, which has no such numbers.
    assert train(Scores(), tmp_path).records == trained.records


def test_where_no_score_is_a_number_the_first_model_is_returned(tmp_path: Path):
    scores = Scores(*[float("nan")] * 6)
    with pytest.warns(UserWarning, match="by which the best is chosen"):
        trained = train(scores, tmp_path, patience=3)
    assert (trained.best_step, trained.steps) == (2, 8)
    assert_is(trained, scores.seen[0])


def test_without_evaluations_the_last_parameters_are_returned():
    rows = small_rows(16)
    seen: list[dict[str, np.ndarray]] = []
    trained = fit(BagOfWords(), rows, OBJECTIVE, small_options(batch_size=4))
    assert (trained.best_step, trained.steps) == (8, 8)
    fit(
        BagOfWords(),
        rows,
        OBJECTIVE,
        small_options(batch_size=4),
        evaluate=lambda model, _: seen.append(leaves_of(model)) or {"s": len(seen)},
        best_by="s",
    )
    assert_is(trained, seen[-1])
