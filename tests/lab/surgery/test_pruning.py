"""Pruned heads: the kernels are smaller, and the result is that of masked heads."""

from pathlib import Path

import numpy as np
import pytest
from changed_models import tokenizer_in, trained, with_head
from small_lab import first_value, small_batch, small_model

import minibert
from minibert import InputError, lab

BATCH = small_batch()
HEADS = {0: [1, 3], 2: [0]}


def test_pruning_is_masking_with_smaller_kernels():
    model = small_model()
    without = lab.pruned(model, HEADS)
    report = lab.pruning_report(model, without, HEADS, BATCH)
    assert report.difference_to_masking < 1e-5
    # Of a head: 3 kernels of 16 x 4 with biases of 4, and 4 x 16 of the projection.
    assert report.parameters_before - report.parameters_after == 3 * (3 * (16 * 4 + 4) + 4 * 16)
    assert without.encoder.layers[0].attention.query.kernel[...].shape == (16, 8)
    assert without.encoder.layers[0].attention.projection.kernel[...].shape == (8, 16)
    assert without.encoder.layers[1].attention.query.kernel[...].shape == (16, 16)
    assert np.abs(np.asarray(without(**BATCH).last_hidden_state) - np.asarray(model(**BATCH).last_hidden_state)).max() > 1e-2
    assert "6,952 parameters before, 6,148 after (11.6% fewer)" in str(report)


def test_the_kept_heads_look_where_they_looked():
    model, name = small_model(), "layers.0.attention.probabilities"
    whole = lab.run(model, BATCH, capture=name).captured[name]
    kept = lab.run(lab.pruned(model, HEADS), BATCH, capture=name).captured[name]
    np.testing.assert_allclose(kept, whole.at(heads=[0, 2]), atol=1e-6)


def test_a_pruned_model_is_verified_against_its_twin():
    model = lab.pruned(small_model(), HEADS)
    report = minibert.compare(minibert.record(model, BATCH), lab.numpy_twin(model))
    assert report.first_disagreement is None, str(report)
    other = lab.pruned(small_model(), {layer: [0] for layer in HEADS})
    with pytest.raises(minibert.TraceError, match=r"attention.query has shape \[3, 3, 6, 4\] in the trace and \[3, 2, 6, 4\]"):
        minibert.compare(minibert.record(other, BATCH), lab.numpy_twin(model))


@pytest.mark.long
def test_a_pruned_model_learns_and_is_saved(tmp_path: Path):
    learned, losses = trained(lab.pruned(with_head(), HEADS))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    lab.save(learned, tokenizer_in(tmp_path), tmp_path / "saved")
    again = lab.load(tmp_path / "saved")
    np.testing.assert_array_equal(again(**BATCH).logits, learned(**BATCH).logits)


def test_a_pruned_model_is_saved_and_loaded(tmp_path: Path):
    without = lab.pruned(small_model(), HEADS)
    lab.save(without, tokenizer_in(tmp_path), tmp_path / "saved")
    np.testing.assert_array_equal(lab.load(tmp_path / "saved")(**BATCH).last_hidden_state, without(**BATCH).last_hidden_state)


def test_a_shared_layer_is_masked_at_each_of_its_steps(without_shape_checks: None):
    model = lab.with_layers(small_model(), [0, 1, 1, 0], shared=True)
    heads = {np.int64(0): np.asarray([1])}
    assert lab.pruning_report(model, lab.pruned(model, heads), heads, BATCH).difference_to_masking < 1e-5
    with pytest.raises(InputError, match="heads names the layer 2; expected numbers from 0 to 1"):
        lab.pruned(model, {2: [0]})


def test_the_laboratory_works_on_what_is_left():
    without = lab.pruned(small_model(), HEADS)
    context = lab.run(
        without, BATCH, edits=[lab.zero("layers.0.attention.context", heads=1)], capture="layers.0.attention.context"
    )
    assert context.captured["layers.0.attention.context"].shape["heads"] == 2
    with pytest.raises(InputError, match=r"different numbers of heads \(2 to 4\)"):
        lab.head_statistics(without, BATCH)
    with pytest.raises(InputError, match=r"different numbers of heads \(2 to 4\)"):
        lab.patching_sweep(without, BATCH, small_batch(1), first_value, part="attention.context", axis="heads")
    assert lab.attention_rollout(without, BATCH).shape == {"batch": 3, "tokens": 6, "attended": 6}


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "expected a mapping from layers to lists of heads"),
        ({3: [0]}, "heads names the layer 3; expected numbers from 0 to 2"),
        ({0: [4]}, r"heads\[0\] is \[4\]; expected a list of numbers from 0 to 3"),
        ({0: []}, r"heads\[0\] is \[\]; expected a list"),
        ({0: [0, 1, 2, 3]}, r"heads\[0\] are all that the layer has; leave one at least"),
    ],
)
def test_heads_that_there_are_not_are_refused(heads: dict, message: str):
    with pytest.raises(InputError, match=message):
        lab.pruned(small_model(), heads)


@pytest.mark.parametrize("heads", [{}, {9: [0]}, {0: [2]}, {0: [1], 1: [0]}])
def test_a_report_of_other_heads_than_were_pruned_is_refused(heads: dict[int, list[int]]):
    model = small_model()
    lacking = r"the heads that the second model lacks are \{0: \[1\]\}"
    with pytest.raises(
        InputError, match=rf"{lacking}|expected a mapping from layers|names the layer 9; expected numbers from 0 to 2"
    ):
        lab.pruning_report(model, lab.pruned(model, {0: [1]}), heads, small_batch())


def test_a_report_of_models_exchanged_or_not_finite_is_refused(without_shape_checks: None):
    model = small_model()
    without = lab.pruned(model, {0: [1]})
    for first, second, heads in ((without, model, {0: [1]}), (without, lab.pruned(without, {1: [0]}), {0: [1]})):
        with pytest.raises(InputError, match="the heads that the second model lacks are"):
            lab.pruning_report(first, second, heads, BATCH)
    for heads, message in (
        ([1], "heads is .*; expected a mapping"),
        ({0: 1}, "expected a list"),
        ({0: [[1]]}, "expected a list"),
    ):
        with pytest.raises(InputError, match=message):
            lab.pruning_report(model, without, heads, BATCH)
    broken = small_model()
    broken.encoder.layers[1].feed_forward.projection.bias[...] = np.full(16, np.nan, np.float32)
    with pytest.raises(InputError, match="the last hidden states are not finite"):
        lab.pruning_report(broken, lab.pruned(broken, {0: [1]}), {0: [1]}, BATCH)


def test_what_is_no_model_is_refused_by_every_function(without_shape_checks: None):
    for change in (
        lambda: lab.pruned("x", {0: [1]}),
        lambda: lab.with_layers("x", [0]),
        lambda: lab.resized("x", vocab_size=9),
        lambda: lab.numpy_twin("x"),
        lambda: lab.adapted("x"),
        lambda: lab.merged("x"),
    ):
        with pytest.raises(InputError, match="the model is 'x'; expected one that minibert.load gave"):
            change()
