"""The report: nothing where nothing changed, and each of its numbers where something did."""

from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import pytest
from changed_models import local
from flax import nnx
from small_lab import small_batch, small_model

import minibert
from minibert import InputError, lab

BATCH = small_batch(texts=8)


def test_a_model_held_against_itself_did_not_change():
    model = small_model()
    report = lab.before_after(model, model, BATCH, rounds=2)
    np.testing.assert_allclose(report.cosines, 1.0, atol=1e-12)
    assert report.neighbours == 5 and (report.neighbours_kept == 1.0).all()
    assert report.attention_moved is not None and report.attention_moved.max() == 0.0
    assert report.scores is None and len(report.seconds[0]) == 2
    assert "(+0.0%)" in str(report) and "100% of the nearest 5" in str(report)


def test_each_number_is_what_it_says():
    model = small_model()
    changed = local(model)
    report = lab.before_after(model, changed, BATCH, rounds=2, neighbours=2)
    mask = BATCH["attention_mask"][:, :, None]
    vectors = []
    for each in (model, changed):
        hidden = np.asarray(each(**BATCH).last_hidden_state, np.float64)
        mean = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
        vectors.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    np.testing.assert_allclose(report.cosines, (vectors[0] * vectors[1]).sum(axis=1), atol=1e-9)
    similar = [each @ each.T - 10 * np.eye(8) for each in vectors]
    kept = [len(set(np.argsort(-similar[0][t])[:2]) & set(np.argsort(-similar[1][t])[:2])) / 2 for t in range(8)]
    np.testing.assert_array_equal(report.neighbours_kept, kept)
    name = "layers.0.attention.probabilities"
    one, other = (lab.run(each, BATCH, capture=name).captured[name].values for each in (model, changed))
    distance = (0.5 * np.abs(one - other).sum(axis=-1)).mean(axis=1)
    assert report.attention_moved is not None
    assert report.attention_moved[0] == pytest.approx((distance * mask[:, :, 0]).sum() / mask.sum(), rel=1e-5)


def test_a_task_is_scored_with_every_seed():
    model = small_model()
    shorter = lab.with_layers(model, [0, 2])
    report = lab.before_after(
        model, shorter, BATCH, rounds=1, score=lambda m, seed: m.config.num_hidden_layers + seed, seeds=(0, 2)
    )
    assert report.scores is not None and [each.tolist() for each in report.scores] == [[3, 5], [2, 4]]
    assert report.attention_moved is None
    text = str(report)
    assert "not comparable: other layers or heads" in text and "seed by seed -1.0000 ± 0.0000 over 2 seeds" in text
    assert "times the former (one round, which may be chance)" in text


def test_what_cannot_be_reported_is_refused(without_shape_checks: None):
    model = small_model()
    with pytest.raises(InputError, match="the batch has 1 text; expected two at least"):
        lab.before_after(model, model, small_batch(texts=1))
    with pytest.raises(InputError, match="rounds is 0; expected a whole number from 1 up"):
        lab.before_after(model, model, BATCH, rounds=0)
    with pytest.raises(InputError, match=r"seeds is \(\); expected one whole number at least"):
        lab.before_after(model, model, BATCH, score=lambda m, seed: 0.0, seeds=())
    for given, message in (
        ({"seeds": 3}, "seeds is 3; expected one whole number at least, in a list"),
        ({"seeds": [0, "a"]}, "a seed is 'a'; expected a whole number from 0 up"),
        ({"score": 3}, "score is 3; expected a function of a model and a seed"),
        ({"score": lambda m, seed: "good", "rounds": 1}, "score gives 'good' for the seed 0; expected a number"),
        ({"score": lambda m, seed: float("nan"), "rounds": 1}, "score gives nan for the seed 0; expected a number"),
        ({"neighbours": 1.5}, "neighbours is 1.5; expected a whole number from 1 up"),
    ):
        with pytest.raises(InputError, match=message):
            lab.before_after(model, model, BATCH, **cast(Any, given))
    broken = small_model()
    broken.encoder.layers[1].feed_forward.projection.bias[...] = jnp.full(16, jnp.nan)
    with pytest.raises(InputError, match="last hidden states of the second model are not finite for this batch"):
        lab.before_after(model, broken, BATCH)
    with pytest.raises(InputError, match="text 1 of the batch is padding only"):
        lab.before_after(model, model, {**BATCH, "attention_mask": np.array([[1] * 6, [0] * 6, *[[1] * 6] * 6])})


def test_one_seed_is_given_without_a_spread_and_other_widths_are_not_compared(without_shape_checks: None):
    model = small_model()
    report = lab.before_after(model, model, BATCH, score=lambda m, seed: 0.5, seeds=(seed for seed in [4]), rounds=1)
    assert "score       0.5000 before, 0.5000 after" in str(report)
    assert "seed by seed +0.0000 of one seed, which may be chance" in str(report)
    wide = minibert.Bert(model.config.replace(hidden_size=24), rngs=nnx.Rngs(0))
    assert "vectors     of 8 texts: not comparable: other widths" in str(lab.before_after(model, wide, BATCH, rounds=1))
