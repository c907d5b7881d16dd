"""Probes read what is there, by layer, and nothing that is not."""

import numpy as np
import pytest
from small_lab import small_batch, small_model

from minibert import InputError, lab


def batches() -> list[dict[str, np.ndarray]]:
    return [small_batch(seed, texts=60) for seed in (3, 4)]


def test_what_stands_at_a_token_is_read_off_the_embeddings():
    train, test = batches()
    model = small_model()
    # A direction of the word embeddings, which a linear classifier finds again.
    direction = np.asarray(model.embeddings.word[...])[:, 3]
    labels = [(direction[batch["input_ids"]] > 0.0).astype(np.int32) for batch in (train, test)]
    found = lab.linear_probes(model, train, labels[0], test, labels[1])
    assert found.accuracy.shape == {"layers": 4}
    assert found.accuracy.values[0] > 0.9 > found.most_frequent + 0.2


def test_labels_that_have_nothing_to_do_with_the_texts_are_read_off_no_layer():
    train, test = batches()
    random = np.random.default_rng(0)
    labels = [random.integers(0, 2, 60) for _ in range(2)]
    found = lab.linear_probes(small_model(), train, labels[0], test, labels[1])
    assert np.abs(found.accuracy.values - 0.5).max() < 0.25


def test_padding_and_ignored_labels_count_for_nothing():
    train, test = batches()
    labels = [batch["input_ids"] % 2 for batch in (train, test)]
    expected = lab.linear_probes(small_model(), train, labels[0], test, labels[1])
    labels[0][0, 4:] = 77  # where the first text has padding
    found = lab.linear_probes(small_model(), train, labels[0], test, labels[1])
    np.testing.assert_array_equal(found.accuracy, expected.accuracy)
    labels[1][:, 1:] = -100
    only_first = lab.linear_probes(small_model(), train, labels[0], test, labels[1])
    as_texts = np.unique(np.round(only_first.accuracy.values * 60, 6) % 1)
    assert set(as_texts.tolist()) <= {0.0, 1.0}


def test_a_text_is_read_at_its_first_real_token(without_shape_checks: None):
    model, random = small_model(), np.random.default_rng(3)
    ids = random.integers(1, 30, (40, 4)).astype(np.int32)
    labels = (ids[:, 0] > 15).astype(np.int32)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    left = {name: np.pad(array, ((0, 0), (2, 0))) for name, array in batch.items()}
    left["position_ids"] = np.broadcast_to(np.array([0, 0, 0, 1, 2, 3], np.int32), (40, 6))
    one, other = (lab.linear_probes(model, each, labels, each, labels) for each in (batch, left))
    np.testing.assert_array_equal(one.accuracy, other.accuracy)
    left["attention_mask"] = left["attention_mask"].copy()
    left["attention_mask"][7] = 0
    with pytest.raises(InputError, match="text 7 of the batch is padding only; leave it out"):
        lab.linear_probes(model, left, labels, batch, labels)
    with pytest.raises(InputError, match="strength is 0; expected a finite number above 0"):
        lab.linear_probes(model, batch, labels, batch, labels, strength=0)


def test_labels_of_another_shape_and_of_one_class_are_refused():
    train, test = batches()
    labels = train["input_ids"] % 2
    with pytest.raises(InputError, match=r"labels has shape \[59, 6\] and dtype int32; expected whole numbers, \[60\] for texts"):
        lab.linear_probes(small_model(), train, labels[:59], test, labels)
    with pytest.raises(InputError, match="labels are all 0; expected two classes at least"):
        lab.linear_probes(small_model(), train, labels * 0, test, labels)
    with pytest.raises(InputError, match="evaluation_labels has no label that counts"):
        lab.linear_probes(small_model(), train, labels, test, labels * 0 - 100)
    with pytest.raises(InputError, match=r"evaluation_labels has 5, which labels does not have; expected some of \[0, 1\]"):
        lab.linear_probes(small_model(), train, labels, test, labels * 0 + 5)
    with pytest.raises(InputError, match="labels and evaluation_labels are of texts and of tokens"):
        lab.linear_probes(small_model(), train, labels[:, 0], test, labels)


def test_of_labels_that_are_as_frequent_the_better_guess_counts():
    batch = small_batch(texts=4)
    for evaluation_labels in ([1, 1, 1, 0], [0, 0, 0, 1]):
        assert lab.linear_probes(small_model(), batch, [0, 1, 1, 0], batch, evaluation_labels).most_frequent == 0.75
