"""Edits: equal to what is done by hand to the model's own kernels, and refused by name where they fit nothing."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_lab import small_batch, small_model

from minibert import InputError, lab, record
from minibert.lab import running

BATCH = small_batch()


def test_what_is_captured_is_what_a_trace_records_with_names_for_its_axes():
    model = small_model()
    captured = lab.run(model, BATCH, capture=["layers.*.output", "layers.1.attention.*"]).captured
    trace = record(model, BATCH)
    assert list(captured) == [name for name in trace if name in captured]
    assert {"layers.0.output", "layers.2.output", "layers.1.attention.scores"} < set(captured)
    assert "layers.0.attention.output" not in captured
    for name, array in captured.items():
        np.testing.assert_allclose(array.values.reshape(trace[name].shape), trace[name], atol=1e-6, err_msg=name)
    assert captured["layers.1.attention.context"].shape == {"batch": 3, "tokens": 6, "heads": 4, "head_dim": 4}
    assert captured["layers.1.attention.probabilities"].axes == ("batch", "heads", "tokens", "attended")


@pytest.mark.parametrize("head", range(4))
def test_a_head_that_is_ablated_is_one_whose_slice_of_the_output_kernel_is_zero(head: int):
    model, by_hand = small_model(), small_model()
    kernel = by_hand.encoder.layers[1].attention.projection.kernel
    kernel[...] = kernel[...].at[4 * head : 4 * head + 4].set(0.0)
    found = lab.run(model, BATCH, edits=[lab.zero("layers.1.attention.context", heads=head)]).output
    np.testing.assert_allclose(found.last_hidden_state, by_hand(**BATCH).last_hidden_state, atol=1e-6)
    assert np.abs(found.last_hidden_state - model(**BATCH).last_hidden_state).max() > 1e-3


def test_a_neuron_that_is_ablated_is_one_whose_row_of_the_second_kernel_is_zero():
    model, by_hand = small_model(), small_model()
    kernel = by_hand.encoder.layers[2].feed_forward.projection.kernel
    kernel[...] = kernel[...].at[jnp.array([3, 20])].set(0.0)
    found = lab.run(model, BATCH, edits=[lab.zero("layers.2.feed_forward.activation", intermediate=[3, 20])]).output
    np.testing.assert_allclose(found.last_hidden_state, by_hand(**BATCH).last_hidden_state, atol=1e-6)


def test_edits_act_at_their_places_only_and_one_after_the_other():
    model = small_model()
    name = "embeddings.output"
    before = lab.run(model, BATCH, capture=name).captured[name].values
    edits = [
        lab.scale(name, 2.0, tokens=[1, 3]),
        lab.add(name, 1.0, batch=1, hidden=5),
        lab.replace(name, 7.0, tokens=0, hidden=0),
    ]
    after = lab.run(model, BATCH, edits=edits, capture=name).captured[name].values
    expected = before.copy()
    expected[:, [1, 3]] *= 2.0
    expected[1, :, 5] += 1.0
    expected[:, 0, 0] = 7.0
    np.testing.assert_allclose(after, expected, rtol=1e-6)


def test_the_mean_is_over_texts_and_real_tokens():
    model = small_model()
    for name in ("layers.0.attention.context", "layers.0.attention.probabilities", "pooler.output"):
        before, after = (
            lab.run(model, BATCH, edits=edits, capture=name).captured[name].values for edits in ([], [lab.mean_ablate(name)])
        )
        tokens = {"layers.0.attention.context": 1, "layers.0.attention.probabilities": 2}.get(name)
        if tokens is None:
            expected = before.mean(axis=0)
        else:
            by_token = np.moveaxis(before, tokens, 1)
            expected = by_token[BATCH["attention_mask"] > 0].mean(axis=0)
            after = np.moveaxis(after, tokens, 1)
        np.testing.assert_allclose(after, np.broadcast_to(expected, after.shape), atol=1e-6)


def test_another_text_is_patched_in_exactly():
    model, source = small_model(), small_batch(1)
    name = "layers.2.output"
    captured = lab.run(model, source, capture=name)
    found = lab.run(model, BATCH, edits=[lab.replace(name, captured.captured[name])]).output
    np.testing.assert_array_equal(found.last_hidden_state, captured.output.last_hidden_state)
    np.testing.assert_array_equal(found.pooler_output, captured.output.pooler_output)


def test_everything_of_another_run_gives_its_output_exactly():
    model, source = small_model(), small_batch(1)
    whole = lab.run(model, source, capture=["layers.2.*", "layers.2.*.*"])
    edits = [lab.replace(name, array) for name, array in whole.captured.items()]
    found = lab.run(model, BATCH | {"attention_mask": source["attention_mask"]}, edits=edits).output
    np.testing.assert_array_equal(found.last_hidden_state, whole.output.last_hidden_state)


def test_other_places_and_numbers_need_no_other_program():
    model = small_model()
    lab.run(model, BATCH, edits=[lab.scale("layers.1.attention.context", 0.5, heads=0)])
    size = running._compiled._cache_size()
    for head in (1, 2):
        lab.run(model, BATCH, edits=[lab.scale("layers.1.attention.context", 0.1 * head, heads=head)])
    assert running._compiled._cache_size() == size


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda: lab.zero("layers.7.output"),
            "no intermediate 'layers.7.output'; it has embeddings.word, .*layers",
        ),
        (
            lambda: lab.zero("layers.0.output", heads=1),
            "has no axis 'heads'; expected one of batch, tokens, hidden",
        ),
        (
            lambda: lab.zero("layers.0.output", tokens=[0, 6]),
            "tokens of the edit of layers.0.output is .*; .* 0 to 5",
        ),
        (
            lambda: lab.zero("layers.0.output", tokens=[1.5]),
            r"tokens is \[1.5\]; expected a whole number from 0 up, or a list of them",
        ),
        (lambda: lab.zero("layers.0.output", tokens=[]), "tokens is .*; expected a whole number from 0 up, or a list of them"),
        (lambda: lab.replace("pooler.output", np.zeros(5)), r"has shape \[5\]; expected a number or what spreads to \[3, 16\]"),
    ],
)
def test_an_edit_that_fits_nothing_is_refused_by_name(edit, message: str):
    with pytest.raises(InputError, match=message):
        lab.run(small_model(), BATCH, edits=[edit()])


@pytest.mark.usefixtures("without_shape_checks")
def test_named_arrays_are_asked_by_the_names_of_their_axes():
    array = lab.NamedArray(np.arange(24).reshape(2, 3, 4), ("batch", "heads", "tokens"))
    assert array.at(heads=1, tokens=[0, 2]).axes == ("batch", "tokens")
    np.testing.assert_array_equal(array.at(heads=1, tokens=[0, 2]), [[4, 6], [16, 18]])
    np.testing.assert_array_equal(array.mean("heads").values, np.arange(24).reshape(2, 3, 4).mean(axis=1))
    assert array.mean().axes == () and float(array.mean().values) == 11.5
    np.testing.assert_array_equal(array.at(tokens=-1).at(heads=np.int64(2)), [11, 23])
    assert repr(array.at(batch=0, heads=0)) == "[tokens 4] int64\n[0 1 2 3]"
    for wrong, message in (({"layers": 0}, "no axis 'layers'; expected one of batch"), ({"heads": 3}, "heads is 3; .* 0 to 2")):
        with pytest.raises(InputError, match=message):
            array.at(**wrong)
    with pytest.raises(InputError, match="no axis 'layers'"):
        array.mean("layers")
    kinds = "expected a number, a list of them, or a slice"
    for place, message in (
        ([[0, 1], [1, 2]], kinds),
        ([0.5], kinds),
        ([True, False, True], kinds),
        (None, kinds),
        (slice(None, None, 0), "expected places from 0 to 2, or from -1 down to -3"),
    ):
        with pytest.raises(InputError, match=message):
            array.at(heads=place)


def test_a_single_edit_is_taken_as_it_is():
    model = small_model()
    one, other = (
        lab.run(model, BATCH, edits=edits).output for edits in (lab.zero("layers.0.output"), [lab.zero("layers.0.output")])
    )
    np.testing.assert_array_equal(one.last_hidden_state, other.last_hidden_state)


def test_what_is_no_edit_no_batch_and_no_model_is_refused(without_shape_checks: None):
    model = small_model()
    for edit, message in (
        (lambda: lab.replace("layers.0.output", None), "the value of an edit is None"),
        (lambda: lab.replace("layers.0.output", "x"), "the value of an edit is 'x'"),
        (lambda: lab.replace("layers.0.output", 1j), "the value of an edit is 1j"),
        (lambda: lab.replace("layers.0.output", np.asarray(["a"])), "the value of an edit is array"),
        (lambda: lab.zero("layers.0.output", tokens=2**40), "expected a whole number from 0 up"),
        (lambda: lab.replace("layers.0.output", "3"), "the value of an edit is '3'"),
        (lambda: lab.replace("layers.0.output", True), "the value of an edit is True"),
        (lambda: lab.replace("layers.0.output", [[1.0], [1.0, 2.0]]), "the value of an edit is"),
        (lambda: lab.add("layers.0.output", np.float64(1e300)), "which float32 cannot hold"),
        (lambda: lab.scale("layers.0.output", 1e300), r"the value of an edit is 1e\+300, which float32 cannot hold"),
        (lambda: lab.zero("layers.0.output", tokens=-1), "tokens is -1; expected a whole number from 0 up"),
        (lambda: lab.zero("layers.0.output", tokens=[[0], [1, 2]]), "tokens is .*; expected a whole number from 0 up"),
        (lambda: lab.zero(["layers.0.output"]), r"the intermediate to edit is \['layers.0.output'\]; expected a name"),
    ):
        with pytest.raises(InputError, match=message):
            edit()
    for arguments, message in (
        ((model, BATCH, ["layers.0.output"]), "an edit is 'layers.0.output'; expected what lab.replace"),
        ((model, BATCH, None), "edits is None; expected what lab.replace"),
        ((model, BATCH, "layers.0.output"), "edits is 'layers.0.output'; expected what lab.replace"),
        ((model, {**BATCH, "labels": 1}, []), "the batch has the names input_ids, attention_mask, labels"),
        ((model, "hello", []), "the batch has the type str"),
        (("minilm-l6", BATCH, []), "the model is 'minilm-l6'; expected one that minibert.load gave"),
    ):
        with pytest.raises(InputError, match=message):
            lab.run(arguments[0], arguments[1], edits=arguments[2])
    with pytest.raises(InputError, match="a name is 3; expected a text"):
        lab.run(model, BATCH, capture=3)


def test_places_of_an_array_may_be_numbers_of_numpy(without_shape_checks: None):
    array = lab.run(small_model(), BATCH, capture="layers.0.attention.probabilities").captured["layers.0.attention.probabilities"]
    np.testing.assert_array_equal(array.at(heads=np.int64(1)).values, array.at(heads=1).values)
    for place in (1.0, True, "1"):
        with pytest.raises(InputError, match=f"heads is {place!r}; expected a number, a list of them, or a slice"):
            array.at(heads=place)
    np.testing.assert_array_equal(array.mean("batch", "batch").values, array.mean("batch").values)


def test_a_named_array_is_laid_along_the_axes_of_its_names():
    model, name = small_model(), "layers.1.attention.context"
    whole = lab.run(model, BATCH, capture=name).captured[name]
    by_head = lab.NamedArray(np.array([0.0, 1.0, 2.0, 3.0], np.float32), ("heads",))
    scaled = lab.run(model, BATCH, edits=lab.scale(name, by_head), capture=name).captured[name]
    np.testing.assert_allclose(scaled, whole.values * by_head.values[:, None], rtol=1e-6)
    turned = lab.NamedArray(whole.values.transpose(3, 0, 2, 1), ("head_dim", "batch", "heads", "tokens"))
    doubled = lab.run(model, BATCH, edits=lab.add(name, turned), capture=name).captured[name]
    np.testing.assert_allclose(doubled, 2.0 * whole.values, rtol=1e-6)
    with pytest.raises(InputError, match="the value for layers.1.output has the axes heads; expected some of batch"):
        lab.run(model, BATCH, edits=lab.replace("layers.1.output", by_head))
    with pytest.raises(InputError, match=r"the value for layers.1.output has shape \[5\]; expected a number or what spreads"):
        lab.run(model, BATCH, edits=lab.replace("layers.1.output", lab.NamedArray(np.ones(5), ("tokens",))))


def test_axes_without_a_name_of_their_own_are_refused(without_shape_checks: None):
    with pytest.raises(InputError, match="axes are tokens, tokens; expected a name of its own for each"):
        lab.NamedArray(np.ones((6, 6)), ("tokens", "tokens"))
    with pytest.raises(InputError, match="axes are None; expected a tuple of names"):
        lab.NamedArray(np.ones(3), None)
    with pytest.raises(InputError, match="values are of the type list; expected an array of NumPy"):
        lab.NamedArray([1.0, 2.0], ("heads",))
    with pytest.raises(InputError, match="tokens of the edit of layers.0.output is 6; expected places from 0 to 5"):
        lab.run(small_model(), BATCH, edits=lab.zero("layers.0.output", tokens=6))


def test_a_batch_of_padding_has_no_mean():
    batch = {**BATCH, "attention_mask": np.zeros_like(BATCH["attention_mask"])}
    with pytest.raises(InputError, match="the batch is padding only, and there is no mean"):
        lab.run(small_model(), batch, edits=lab.mean_ablate("layers.0.output"))
