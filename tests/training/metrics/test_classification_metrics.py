"""Metrics of classes, labels and numbers against values worked out by hand, and where they are undefined."""

import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.errors import InputError
from minibert.training.metrics.classification import classification_metrics, confusion_matrix, multi_label_metrics
from minibert.training.metrics.regression import regression_metrics

pytest.importorskip("sklearn", reason="needs the extra training")


@pytest.fixture(autouse=True)
def _no_warnings():
    """Undefined measures are ours to handle: nothing of the libraries' warnings reaches the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def of_classes(truth: list[int], second: list[float]) -> dict[str, float]:
    probabilities = np.stack([1.0 - np.array(second), np.array(second)], axis=1)
    return classification_metrics(np.array(truth), probabilities)


def test_two_classes_by_hand():
    # Predicted 0 0 1 1 1 1; right are the first, and of the four ones three: TP 3, FP 1, FN 1, TN 1.
    found = of_classes([0, 1, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.7, 0.8, 0.9])
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert found["macro_f1"] == pytest.approx((0.75 + 0.5) / 2)
    assert found["macro_precision"] == found["macro_recall"] == pytest.approx((0.75 + 0.5) / 2)
    assert found["matthews"] == pytest.approx((3 * 1 - 1 * 1) / np.sqrt(4 * 4 * 2 * 2))
    # Of 4 × 2 pairs of a one and a zero all but (0.2, 0.6) are in order.
    assert found["auc"] == pytest.approx(7 / 8)


def test_three_classes_have_no_measures_of_two():
    found = classification_metrics(np.array([0, 1, 2]), np.eye(3))
    assert found == {"accuracy": 1.0, "macro_precision": 1.0, "macro_recall": 1.0, "macro_f1": 1.0}


def test_a_class_that_nothing_is_or_was_taken_for_counts_for_nothing():
    assert classification_metrics(np.array([0, 2, 2]), np.eye(3)[[0, 2, 0]])["macro_recall"] == pytest.approx((1.0 + 0.5) / 2)


def test_of_one_class_there_is_no_auc():
    found = of_classes([1, 1], [0.9, 0.4])
    assert "auc" not in found
    assert (found["accuracy"], found["matthews"]) == (0.5, 0.0)


def test_confusion_has_the_truth_in_its_rows():
    assert confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_labels_by_hand():
    truth = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]], bool)
    found = multi_label_metrics(truth, np.array([[0.9, 0.6, 0.8], [0.1, 0.2, 0.7], [0.6, 0.4, 0.5]]), 0.5)
    # Given: [1 1 1], [0 0 1], [1 0 0]; five given, five right, four both. By label 1, 0 and 1.
    assert found["micro_f1"] == pytest.approx(2 * 4 / (5 + 5))
    assert found["macro_f1"] == pytest.approx((1.0 + 0.0 + 1.0) / 3)
    assert found["subset_accuracy"] == pytest.approx(1 / 3)
    # The second label's one text has 0.4, above one of the two without it.
    assert found["macro_auc"] == pytest.approx((1.0 + 0.5 + 1.0) / 3)


def test_labels_that_all_texts_or_none_have_are_left_out_of_the_auc():
    truth = np.array([[1, 0, 1], [1, 0, 0]], bool)
    assert multi_label_metrics(truth, np.array([[0.9, 0.1, 0.7], [0.8, 0.3, 0.6]]), 0.5)["macro_auc"] == 1.0
    assert "macro_auc" not in multi_label_metrics(truth[:1], np.full((1, 3), 0.6), 0.5)


@pytest.mark.parametrize(("truth", "f1"), [([True, False, True], 1.0), ([False, False, True], 2 / 3)])
def test_a_single_label(truth: list[bool], f1: float):
    found = multi_label_metrics(np.array(truth)[:, None], np.array([[0.9], [0.1], [0.9]]), 0.5)
    assert found["micro_f1"] == found["macro_f1"] == pytest.approx(f1)
    assert found["subset_accuracy"] == pytest.approx(sum(truth == np.array([True, False, True])) / 3)


@settings(deadline=None)
@given(st.data())
def test_no_labels_or_classes_crash_it_and_shares_are_shares(data: st.DataObject):
    texts, labels = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    # Rounded, so that there are ties and constants.
    probabilities = np.round(random.random((texts, labels)), 1)
    found = multi_label_metrics(random.random((texts, labels)) < data.draw(st.floats(0, 1)), probabilities, 0.5)
    if labels > 1:
        found |= classification_metrics(random.integers(0, labels, texts), probabilities)
    assert all(-1.0 <= value <= 1.0 for value in found.values())


def test_numbers_by_hand():
    found = regression_metrics(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0]))
    assert found["spearman"] == pytest.approx(0.5)
    assert found["pearson"] == pytest.approx(np.corrcoef([1, 2, 4], [1, 3, 2])[0, 1])
    assert found["mean_squared_error"] == pytest.approx((0 + 1 + 4) / 3)


@pytest.mark.parametrize(
    ("truth", "predicted"), [([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 3.0]), ([1e-200, 2e-200], [1.0, 2.0])]
)
def test_a_correlation_that_is_undefined_is_left_out(truth: list[float], predicted: list[float]):
    found = regression_metrics(np.array(truth), np.array(predicted))
    assert "mean_squared_error" in found
    assert all(np.isfinite(value) for value in found.values())
    if np.ptp(truth) < 1e-100 or np.ptp(predicted) == 0.0:
        assert "pearson" not in found or found["pearson"] == pytest.approx(1.0)


def test_without_the_libraries_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(
        InputError, match=r"metrics need sklearn, which is not installed; run: pip install 'minibert\[training\]'"
    ):
        of_classes([0, 1], [0.1, 0.9])
