"""The losses against their formulas written out, and where they must not overflow or divide by zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minibert.errors import InputError
from minibert.training.losses import IGNORED, LOSSES, answer_loss, binary_cross_entropy, cross_entropy, mean_of, squared_error

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(5, 3)).astype(np.float32)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))


def test_cross_entropy_is_the_mean_over_the_rows_that_have_a_label():
    labels = np.array([0, IGNORED, 2, 1, IGNORED])
    expected = -np.mean([log_softmax(LOGITS)[row, label] for row, label in ((0, 0), (2, 2), (3, 1))])
    np.testing.assert_allclose(cross_entropy(jnp.asarray(LOGITS), jnp.asarray(labels)), expected, rtol=1e-6)


def test_class_weights_count_each_row_by_its_labels_weight():
    labels, weights = np.array([0, IGNORED, 2, 1, 2]), np.array([1.0, 5.0, 0.5], np.float32)
    of_rows = [(log_softmax(LOGITS)[row, label], weights[label]) for row, label in ((0, 0), (2, 2), (3, 1), (4, 2))]
    expected = -sum(value * weight for value, weight in of_rows) / sum(weight for _, weight in of_rows)
    found = cross_entropy(jnp.asarray(LOGITS), jnp.asarray(labels), jnp.asarray(weights))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_without_any_label_the_loss_and_its_gradient_are_zero():
    nothing = jnp.full(5, IGNORED)
    loss, gradient = jax.value_and_grad(cross_entropy)(jnp.asarray(LOGITS), nothing)
    assert loss == 0.0 and not np.asarray(gradient).any()


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_large_logits_do_not_overflow(size: float):
    logits = jnp.array([[size, -size, 0.0]], jnp.float32)
    assert np.isfinite(cross_entropy(logits, jnp.array([0])))
    assert np.isfinite(jax.grad(binary_cross_entropy)(logits, jnp.array([[1.0, 0.0, 1.0]]))).all()


def test_bfloat16_logits_give_a_float32_loss():
    assert cross_entropy(jnp.asarray(LOGITS, jnp.bfloat16), jnp.zeros(5, jnp.int32)).dtype == jnp.float32


def test_binary_cross_entropy_takes_every_label_by_itself():
    labels = (RANDOM.random((5, 3)) < 0.5).astype(np.float32)
    on = 1.0 / (1.0 + np.exp(-LOGITS.astype(np.float64)))
    expected = -np.mean(labels * np.log(on) + (1.0 - labels) * np.log(1.0 - on))
    np.testing.assert_allclose(binary_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(labels)), expected, rtol=1e-6)


def test_squared_error():
    np.testing.assert_allclose(squared_error(jnp.array([[1.0], [3.0]]), jnp.array([[0.0], [5.0]])), 2.5)


def test_an_answer_outside_the_tokens_counts_for_nothing():
    logits = RANDOM.normal(size=(2, 4, 2)).astype(np.float32)
    starts = -np.mean([log_softmax(logits[0, :, 0])[1], log_softmax(logits[1, :, 0])[3]])
    ends = -log_softmax(logits[0, :, 1])[2]
    found = answer_loss(jnp.asarray(logits), jnp.array([[1, 2], [3, 9]]))
    np.testing.assert_allclose(found, (starts + ends) / 2, rtol=1e-6)


def test_numbers_that_are_not_there_count_for_nothing():
    logits = jnp.array([[1.0, 3.0], [0.5, 0.0]])
    labels = jnp.array([[0.0, jnp.nan], [jnp.nan, 1.0]])
    np.testing.assert_allclose(squared_error(logits, labels), 1.0)
    expected = (np.log1p(np.exp(1.0)) + np.log(2.0)) / 2
    np.testing.assert_allclose(binary_cross_entropy(logits, labels), expected, rtol=1e-6)
    assert np.isfinite(jax.grad(binary_cross_entropy)(logits, labels)).all()


@pytest.mark.parametrize("name", ["token_classification", "multi_label", "regression", "question_answering"])
def test_sums_of_parts_give_the_loss_of_the_whole(name: str):
    """Though the parts hold unequally many labels."""
    logits = jnp.asarray(RANDOM.normal(size=(6, 4, 2)).astype(np.float32))
    labels = np.array(RANDOM.integers(0, 2, (6, 4)), np.int32)
    labels[:3, 1:] = IGNORED
    if name in ("multi_label", "regression"):
        logits, labels = logits[:, :, 0], np.where(labels == IGNORED, np.nan, labels).astype(np.float32)
    elif name == "question_answering":
        labels = np.array([[0, 1], [9, 2], [9, 9], [1, 1], [2, 3], [0, 9]], np.int32)
    loss, weights = LOSSES[name], jnp.array([1.0, 3.0]) if name == "token_classification" else None
    parts = [(logits[:3], jnp.asarray(labels[:3])), (logits[3:], jnp.asarray(labels[3:]))]
    sums = sum(loss.sums(*part, weights) for part in parts)
    total = sum(loss.weights(part, logits.shape[1], weights) for _, part in parts)
    np.testing.assert_allclose(mean_of(sums, total), loss(logits, jnp.asarray(labels), weights), rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 4, 7])
def test_a_label_that_the_logits_do_not_have_is_no_other_one(label: int):
    logits = jnp.zeros((2, 4))
    assert np.isnan(cross_entropy(logits, jnp.array([label, 0])))
    assert np.isfinite(cross_entropy(logits, jnp.array([IGNORED, 3])))


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("name", ["sequence_classification", "multi_label", "regression"])
def test_class_weights_of_another_number_are_refused(name: str):
    labels = jnp.array([3, 0]) if name == "sequence_classification" else jnp.zeros((2, 4))
    with pytest.raises(InputError, match=r"class_weights have the shape \(3,\); expected \(4,\), one for each label"):
        LOSSES[name](jnp.zeros((2, 4)), labels, jnp.ones(3))
