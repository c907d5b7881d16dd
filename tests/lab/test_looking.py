"""Where heads look, rollout, the logit lens and CKA, against plain sums in NumPy."""

import numpy as np
import pytest
from flax import nnx
from small_lab import small_batch, small_model

from minibert import BertWithHeads, InputError, lab
from minibert.model.heads import new_head

BATCH = small_batch()


def probabilities(model) -> np.ndarray:
    captured = lab.run(model, BATCH, capture="layers.*.attention.probabilities").captured
    return np.stack([array.values for array in captured.values()]).astype(np.float64)  # [layers, batch, heads, tokens, attended]


def test_rollout_is_the_product_of_half_the_mean_and_half_the_identity():
    model = small_model()
    expected = np.eye(6)
    for layer in probabilities(model):
        expected = (0.5 * layer.mean(axis=1) + 0.5 * np.eye(6)) @ expected
    found = lab.attention_rollout(model, BATCH)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.values.sum(axis=-1), 1.0, atol=1e-6)
    assert np.abs(found.at(batch=0).values[:4, 4:]).max() < 1e-6  # padding is not seen


def test_statistics_are_means_over_real_tokens():
    model = small_model()
    found = lab.head_statistics(model, BATCH)
    sums = {name: np.zeros((3, 4)) for name in found._fields}
    count = 0
    of_layers = probabilities(model)
    for text in range(3):
        length = int(BATCH["attention_mask"][text].sum())
        for token in range(length):
            row = of_layers[:, text, :, token, :length]
            sums["entropy"] += -(row * np.log(row)).sum(axis=-1)
            sums["distance"] += (row * np.abs(np.arange(length) - token)).sum(axis=-1)
            sums["on_itself"] += row[..., token]
            sums["on_previous"] += row[..., token - 1] if token else 0.0
            sums["on_next"] += row[..., token + 1] if token + 1 < length else 0.0
            sums["on_first"] += row[..., 0]
            sums["on_last"] += row[..., length - 1]
            count += 1
    for name, expected in sums.items():
        np.testing.assert_allclose(getattr(found, name), expected / count, atol=1e-5, err_msg=name)


def test_the_lens_at_the_last_layer_is_the_models_own_answer():
    bert = small_model()
    model = BertWithHeads(bert, {"masked_lm": new_head("masked_lm", bert.config, 2, 0.0, rngs=nnx.Rngs(1))})
    found = lab.logit_lens(model, BATCH, best=3)
    logits = np.asarray(model(**BATCH).logits)
    assert found.token_ids.shape == {"layers": 4, "batch": 3, "tokens": 6, "best": 3}
    np.testing.assert_array_equal(found.token_ids.at(layers=3), np.argsort(-logits, axis=-1)[..., :3])
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found.probabilities.at(layers=3), -np.sort(-shares, axis=-1)[..., :3], atol=1e-5)
    with pytest.raises(InputError, match="has no head for masked language modelling"):
        lab.logit_lens(bert, BATCH)
    with pytest.raises(InputError, match="best is 0; expected a whole number from 1 to 30"):
        lab.logit_lens(model, BATCH, best=0)


def test_cka_sees_through_turns_and_factors_and_nothing_else():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 7))
    turn, _ = np.linalg.qr(random.normal(size=(7, 7)))
    assert lab.cka(vectors, 3.0 * vectors @ turn + 5.0) == pytest.approx(1.0)
    assert lab.cka(vectors, random.normal(size=(40, 5))) < 0.5
    # By the definition: the alignment of the centred matrices of inner products.
    other = vectors[:, :3] ** 2
    one, two = ((each - each.mean(axis=0)) @ (each - each.mean(axis=0)).T for each in (vectors, other))
    assert lab.cka(vectors, other) == pytest.approx((one * two).sum() / np.sqrt((one * one).sum() * (two * two).sum()))


def test_cka_of_more_features_than_rows_is_that_of_fewer():
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    other = vectors[:, :2] ** 2
    # Columns of zeros add nothing but memory: as products of features these would take 80 GB.
    wide = np.concatenate([vectors, np.zeros((6, 100_000))], axis=1)
    assert lab.cka(wide, other) == pytest.approx(lab.cka(vectors, other), rel=1e-12)


def test_first_and_last_are_those_of_the_real_tokens():
    batch = small_batch(texts=1, tokens=4)
    batch["attention_mask"][:] = 1
    left = {
        "input_ids": np.pad(batch["input_ids"], ((0, 0), (2, 0))),
        "attention_mask": np.pad(batch["attention_mask"], ((0, 0), (2, 0))),
        "position_ids": np.array([[0, 0, 0, 1, 2, 3]], np.int32),
    }
    model = small_model()
    for one, other in zip(lab.head_statistics(model, batch), lab.head_statistics(model, left), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    batch["attention_mask"][:] = 0
    with pytest.raises(InputError, match="text 0 of the batch is padding only; leave it out"):
        lab.head_statistics(model, batch)
    with pytest.raises(InputError, match="text 0 of the batch is padding only; leave it out"):
        lab.cka_of_layers(model, batch)


def test_cka_takes_what_the_laboratory_gives_and_any_scale(without_shape_checks: None):
    random = np.random.default_rng(0)
    one, other = random.normal(size=(9, 4)), random.normal(size=(9, 5))
    expected = lab.cka(one, other)
    assert lab.cka(lab.NamedArray(one, ("tokens", "hidden")), other) == expected
    assert lab.cka(1e200 * one, 1e-200 * other) == pytest.approx(expected, abs=1e-9)
    assert lab.cka(one + 1e4, other) == pytest.approx(expected, abs=1e-6)
    for wrong, message in (
        (np.full((9, 4), 0.1), "the first vectors are all the same"),
        (np.zeros((9, 4)), "the first vectors are all the same"),
        (np.where(one > 1.0, np.nan, one), "the first vectors hold NaN or infinity"),
        (one[:, None], r"the first vectors have the shape \[9, 1, 4\]; expected \[rows, features\]"),
        (one.astype(complex), "the first vectors are array"),
        (one.astype(str), "the first vectors are array"),
        (None, r"the first vectors have the shape \[\]|the first vectors are None"),
        ("vectors", "the first vectors are 'vectors'; expected an array of numbers"),
    ):
        with pytest.raises(InputError, match=message):
            lab.cka(wrong, other)


def test_layers_are_compared_within_a_model_and_between_two():
    model = small_model()
    within = lab.cka_of_layers(model, BATCH)
    assert within.shape == {"layers": 4, "other_layers": 4}
    np.testing.assert_allclose(np.diag(within.values), 1.0, atol=1e-9)
    np.testing.assert_allclose(within, within.values.T, atol=1e-9)
    np.testing.assert_allclose(lab.cka_of_layers(model, BATCH, small_model()), within, atol=1e-6)
    with pytest.raises(InputError, match="3 and 2 rows"):
        lab.cka(np.ones((3, 2)), np.ones((2, 2)))
    with pytest.raises(InputError, match="the first vectors are all the same"):
        lab.cka(np.ones((3, 2)), np.ones((3, 2)))
