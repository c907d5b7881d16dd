"""Sweeps equal to patches made one by one, gradients to finite differences, attributions to what they explain."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_lab import first_value, small_batch, small_model

from minibert import InputError, lab
from minibert.lab import patching

BATCH, SOURCE = small_batch(), small_batch(1)


@pytest.mark.parametrize(
    ("part", "axis", "places", "rows_at_once"),
    [
        ("output", "tokens", 6, 12),
        pytest.param("output", "tokens", 6, 1, marks=pytest.mark.long),
        pytest.param("attention.context", "heads", 4, 64, marks=pytest.mark.long),
    ],
)
def test_a_sweep_is_every_patch_made_by_itself(part: str, axis: str, places: int, rows_at_once: int):
    model = small_model()
    found = lab.patching_sweep(model, BATCH, SOURCE, first_value, part=part, axis=axis, rows_at_once=rows_at_once)
    assert found.shape == {"layers": 3, axis: places, "batch": 3}
    captured = lab.run(model, SOURCE, capture=f"layers.*.{part}").captured
    for layer in range(3):
        name = f"layers.{layer}.{part}"
        for place in range(places):
            patched = lab.run(model, BATCH, edits=[lab.replace(name, captured[name], **{axis: place})]).output
            np.testing.assert_allclose(found.at(layers=layer, **{axis: place}), first_value(patched), atol=1e-5)
    assert np.ptp(found.values, axis=(0, 1)).min() > 1e-2


@pytest.mark.parametrize("rows_at_once", [3, 64])
def test_a_metric_of_a_sweep_may_know_something_of_each_text(rows_at_once: int):
    places = jnp.array([0, 2, 3])

    def at_its_place(output: Any) -> jax.Array:
        value = output.last_hidden_state[jnp.arange(3), places, 0]
        return value - value.mean()

    model = small_model()
    found = lab.patching_sweep(model, BATCH, SOURCE, at_its_place, rows_at_once=rows_at_once)
    source = lab.run(model, SOURCE, capture="layers.1.output").captured["layers.1.output"]
    patched = lab.run(model, BATCH, edits=[lab.replace("layers.1.output", source, tokens=2)]).output
    np.testing.assert_allclose(found.at(layers=1, tokens=2), at_its_place(patched), atol=1e-5)


def test_fused_attention_has_all_but_scores_and_probabilities():
    fused, explicit = small_model(attention_implementation="fused"), small_model()
    name = "layers.1.attention.context"
    found, expected = (lab.run(model, BATCH, capture=name).captured[name] for model in (fused, explicit))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    sweeps = [lab.patching_sweep(model, BATCH, SOURCE, first_value) for model in (fused, explicit)]
    np.testing.assert_allclose(*sweeps, atol=1e-4)
    with pytest.raises(InputError, match=r"no intermediate 'layers.\*.attention.probabilities'"):
        lab.run(fused, BATCH, capture="layers.*.attention.probabilities")


def test_a_sweep_compiles_once_whatever_it_is_about():
    model = small_model()
    lab.patching_sweep(model, BATCH, SOURCE, first_value, rows_at_once=9)
    size = patching._patched._cache_size()
    lab.patching_sweep(model, SOURCE, BATCH, first_value, rows_at_once=9)
    assert patching._patched._cache_size() == size


def test_texts_that_do_not_correspond_and_parts_there_are_not_are_refused():
    model = small_model()
    with pytest.raises(InputError, match=r"source has shape \[3, 5\]; expected that of the batch, \[3, 6\]"):
        lab.patching_sweep(model, BATCH, small_batch(tokens=5), first_value)
    with pytest.raises(InputError, match=r"no intermediate 'layers.\*.outputs'"):
        lab.patching_sweep(model, BATCH, SOURCE, first_value, part="outputs")
    with pytest.raises(InputError, match=r"part is 'attention.\*'; expected one intermediate"):
        lab.patching_sweep(model, BATCH, SOURCE, first_value, part="attention.*")
    with pytest.raises(InputError, match=r"axis is 'heads'; layers.0.output has tokens, hidden"):
        lab.patching_sweep(model, BATCH, SOURCE, first_value, axis="heads")


@pytest.mark.parametrize(
    "name",
    [
        "layers.0.attention.probabilities",
        pytest.param("embeddings.output", marks=pytest.mark.long),
        pytest.param("layers.1.feed_forward.activation", marks=pytest.mark.long),
    ],
)
def test_gradients_are_finite_differences(name: str):
    with jax.enable_x64(True):
        model = small_model(dtype="float64", param_dtype="float64")
        found = lab.gradients(model, BATCH, first_value, name)[name]
        direction = np.random.default_rng(5).normal(size=found.values.shape)
        up, down = (
            np.asarray(first_value(lab.run(model, BATCH, edits=[lab.add(name, step * direction)]).output))
            for step in (1e-5, -1e-5)
        )
    along = (found.values * direction).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(along, (up - down) / 2e-5, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("baseline", [0.0, "another text"])
def test_integrated_gradients_add_up_to_the_difference(baseline: object):
    model, name = small_model(), "embeddings.output"
    value = lab.run(model, SOURCE, capture=name).captured[name] if baseline else 0.0
    found = lab.integrated_gradients(model, BATCH, first_value, name=name, baseline=value)
    np.testing.assert_allclose(found.values.values.sum(axis=(1, 2)), found.difference, atol=1e-3)
    whole = first_value(model(**BATCH)) - first_value(lab.run(model, BATCH, edits=[lab.replace(name, value)]).output)
    np.testing.assert_allclose(found.difference, whole, atol=1e-5)
    assert np.abs(found.difference.values).max() > 0.05


def test_a_line_on_which_few_steps_do_not_do_is_divided_until_they_do_or_it_is_told():
    model = small_model()
    with pytest.warns(
        UserWarning, match="with 2 steps the attributions add up to the difference within .*; give more, most_steps=8"
    ):
        rough = lab.integrated_gradients(model, BATCH, first_value, steps=2, most_steps=2)
    fine = lab.integrated_gradients(model, BATCH, first_value, steps=2, tolerance=1e-4)
    errors = [np.abs(each.values.values.sum(axis=(1, 2)) - each.difference.values).max() for each in (rough, fine)]
    assert errors[1] < 1e-3 < errors[0]


def test_attention_times_its_gradient_is_what_the_head_loses_to_first_order():
    model, name = small_model(), "layers.2.attention.probabilities"
    found = lab.value_times_gradient(model, BATCH, first_value, name)[name]
    factors = (0.999, 1.001)
    down, up = (first_value(lab.run(model, BATCH, edits=[lab.scale(name, factor)]).output) for factor in factors)
    np.testing.assert_allclose(found.values.sum(axis=(1, 2, 3)), (up - down) / 0.002, atol=2e-3)
    assert list(lab.value_times_gradient(model, BATCH, first_value)) == [
        f"layers.{layer}.attention.probabilities" for layer in range(3)
    ]


def numpy_metric(output: Any) -> Any:
    return np.asarray(output.pooler_output)[:, 0]


METRICS = {
    "gives None": (lambda output: None, "the metric gives None; expected an array of JAX"),
    "a pair": (lambda output: (output.pooler_output[:, 0],) * 2, "the metric gives the type tuple; expected an array of JAX"),
    "a number": (lambda output: output.pooler_output.sum(), r"the metric gives \[\] of float32; expected \[batch"),
    "a row a token": (lambda output: output.last_hidden_state[0], r"the metric gives \[6, 16\] of float32; expected \[batch"),
    "NumPy": (numpy_metric, "the metric computes with NumPy, or asks for a value"),
    "float": (lambda output: float(output.pooler_output[0, 0]), "asks for a value by float"),
    "if": (lambda output: output.pooler_output[:, 0] if output.pooler_output[0, 0] > 0 else 0.0, "asks for a value by float"),
    "a mask": (lambda output: output.pooler_output[output.pooler_output > 0], "asks for a value by float"),
    "no function": (3, "the metric is 3; expected a function of the model's output"),
}


@pytest.mark.parametrize("kind", METRICS)
def test_a_metric_that_gives_something_else_is_refused_before_anything_is_computed(kind: str, without_shape_checks: None):
    metric, message = METRICS[kind]
    model, metric = small_model(), cast(Any, metric)
    for compute in (
        lambda: lab.patching_sweep(model, BATCH, SOURCE, metric),
        lambda: lab.gradients(model, BATCH, metric, "layers.0.output"),
        lambda: lab.integrated_gradients(model, BATCH, metric),
    ):
        with pytest.raises(InputError, match=message):
            compute()


def test_only_a_sweep_takes_a_metric_with_several_numbers_a_text():
    model = small_model()
    assert lab.patching_sweep(model, BATCH, SOURCE, pooled).axes == ("layers", "tokens", "batch", "metric_0")
    np.testing.assert_array_equal(
        lab.patching_sweep(model, BATCH, SOURCE, largest), lab.patching_sweep(model, BATCH, SOURCE, pooled).values.argmax(axis=-1)
    )
    with pytest.raises(InputError, match=r"gives \[3\] of int32; expected \[batch\] of floating point, a number a text"):
        lab.gradients(model, BATCH, largest, "layers.0.output")
    with pytest.raises(InputError, match=r"gives \[3, 16\] of float32; expected \[batch\] of floating point, a number a text"):
        lab.gradients(model, BATCH, pooled, "layers.0.output")


def pooled(output: Any) -> Any:
    return output.pooler_output


def largest(output: Any) -> Any:
    return output.pooler_output.argmax(axis=1)


def test_a_metric_that_is_zero_at_both_ends_is_told_of_without_a_share():
    def between(output: Any) -> Any:
        values = output.pooler_output[:, 0]
        return values * (values - jax.lax.stop_gradient(values))

    with pytest.warns(UserWarning, match="within inf of the metric's size"):
        found = lab.integrated_gradients(small_model(), BATCH, between, name="pooler.output", steps=4, most_steps=4)
    np.testing.assert_array_equal(found.difference, 0.0)


def test_attributions_of_what_is_not_finite_are_refused():
    model = small_model()
    with pytest.raises(InputError, match="the metric from the baseline is not finite for text 0; give another baseline"):
        lab.integrated_gradients(model, BATCH, first_value, baseline=np.nan)
    with pytest.raises(InputError, match="a gradient between the baseline and the value is not finite for text 0"):
        lab.integrated_gradients(model, BATCH, root_of_square)


def root_of_square(output: Any) -> Any:
    """|x| as people write it, whose gradient at zero is none."""
    zero = 0.0 * output.pooler_output[:, 0]
    return output.pooler_output[:, 1] + jnp.sqrt(zero * zero)


def test_steps_and_names_there_are_not_are_refused(without_shape_checks: None):
    with pytest.raises(InputError, match="most_steps is 8, fewer than steps, 32; expected as many at least"):
        lab.integrated_gradients(small_model(), BATCH, first_value, most_steps=8)
    with pytest.raises(InputError, match="most_steps is 0; expected a whole number from 1 up"):
        lab.integrated_gradients(small_model(), BATCH, first_value, most_steps=0)
    with pytest.raises(InputError, match="rows_at_once is 'all'; expected a whole number from 1 up"):
        lab.patching_sweep(small_model(), BATCH, SOURCE, first_value, rows_at_once=cast(Any, "all"))
    with pytest.raises(InputError, match="steps is 0; expected a whole number from 1 to 1,000"):
        lab.integrated_gradients(small_model(), BATCH, first_value, steps=0)
    with pytest.raises(InputError, match="tolerance is 0.0; expected a number between 0 and 1"):
        lab.integrated_gradients(small_model(), BATCH, first_value, tolerance=0.0)
    with pytest.raises(InputError, match="no intermediate 'embedding'"):
        lab.integrated_gradients(small_model(), BATCH, first_value, name="embedding")
