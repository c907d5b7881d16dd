"""The tap: its names, its shapes, and that looking changes nothing while replacing changes everything after it."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

from minibert import Bert, BertConfig, InputError, load, record
from minibert.model.inputs import check_inputs
from minibert.model.tap import identity, intermediate_names, wants, within
from minibert.verification import Reference, stored_references
from minibert.verification.trace import Recorder

IDS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def small_model(**overrides: object) -> Bert:
    config = BertConfig(
        vocab_size=11,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=17,
        max_position_embeddings=9,
        initializer_range=0.5,
    )
    return Bert(config.replace(**overrides), rngs=nnx.Rngs(0))


def documented_shape(name: str, config: BertConfig, batch: int, tokens: int) -> tuple[int, ...]:
    part = name.rsplit(".", 1)[-1]
    if name.startswith("pooler."):
        return batch, config.hidden_size
    if part in ("query", "key", "value"):
        return batch, config.num_attention_heads, tokens, config.head_dim
    if part in ("scores", "probabilities"):
        return batch, config.num_attention_heads, tokens, tokens
    if part in ("intermediate", "activation"):
        return batch, tokens, config.intermediate_size
    return batch, tokens, config.hidden_size


@settings(max_examples=10, deadline=None)
@given(data=st.data(), pooler=st.booleans())
def test_every_name_comes_once_in_data_flow_order_with_its_shape(data: st.DataObject, pooler: bool):
    size = st.integers(1, 5)
    heads = data.draw(size, "heads")
    config = BertConfig(
        vocab_size=11,
        hidden_size=heads * data.draw(size, "head_dim"),
        num_hidden_layers=data.draw(st.integers(1, 3), "layers"),
        num_attention_heads=heads,
        intermediate_size=data.draw(size, "intermediate"),
        max_position_embeddings=6,
    )
    batch, tokens = data.draw(size, "batch"), data.draw(size, "tokens")
    seen: list[tuple[str, tuple[int, ...]]] = []

    def tap(name: str, value: Array) -> Array:
        seen.append((name, value.shape))
        return value

    model = Bert(config, rngs=None, add_pooling_layer=pooler)
    ids = jax.ShapeDtypeStruct((batch, tokens), jnp.int32)
    jax.eval_shape(lambda model, ids: model.forward(ids, ids, ids, ids, tap=tap), model, ids)
    names = intermediate_names(config.num_hidden_layers, pooler=pooler)
    assert seen == [(name, documented_shape(name, config, batch, tokens)) for name in names]


def test_a_trace_holds_every_name_in_order():
    trace = record(small_model(), {"input_ids": IDS, "attention_mask": MASK})
    assert list(trace) == intermediate_names(2)


def test_a_trace_of_a_model_without_pooler_has_no_pooler_names():
    model = Bert(small_model().config, rngs=nnx.Rngs(0), add_pooling_layer=False)
    assert list(record(model, {"input_ids": IDS})) == intermediate_names(2, pooler=False)


@pytest.mark.parametrize("name", ["gelu", "relu"])
def test_recording_a_golden_model_changes_no_bit(name: str):
    folder = Path(__file__).parent.parent / "goldens" / "tiny" / name
    model = load(folder)
    batch = Reference.read(folder / "reference.safetensors").inputs
    output = model(**batch, output_hidden_states=True)
    trace = record(model, batch)
    for name, state in zip(output_names(model), output.hidden_states, strict=True):
        np.testing.assert_array_equal(trace[name], state)
    np.testing.assert_array_equal(trace["pooler.output"], output.pooler_output)


@pytest.mark.parametrize("name", ["single", pytest.param("full_512", marks=pytest.mark.long)])
def test_recording_minilm_changes_no_bit(minilm: Bert, name: str):
    batch = next(reference.inputs for reference in stored_references("minilm-l6") if reference.path.stem == name)
    trace = record(minilm, batch)
    output = minilm(**batch)
    np.testing.assert_array_equal(trace["layers.5.output"], output.last_hidden_state)
    np.testing.assert_array_equal(trace["pooler.output"], output.pooler_output)


def test_recording_operation_by_operation_changes_no_bit():
    model = small_model()
    inputs = [jnp.asarray(array) for array in check_inputs(model.config, IDS, MASK)]
    recorder = Recorder()
    tapped = model.forward(*inputs, tap=recorder)
    np.testing.assert_array_equal(tapped.last_hidden_state, model.forward(*inputs).last_hidden_state)
    np.testing.assert_array_equal(tapped.last_hidden_state, recorder.recorded["layers.1.output"])


def output_names(model: Bert) -> list[str]:
    return ["embeddings.output", *(f"layers.{index}.output" for index in range(model.config.num_hidden_layers))]


def replacing(replaced_name: str):
    return lambda name, value: value + 1.0 if name == replaced_name else value


@pytest.mark.parametrize("place", range(3))
def test_replacing_an_output_changes_it_and_everything_after_and_nothing_before(place: int):
    model = small_model()
    # Exactly what was put there, for the outputs are the hidden states.
    noise = np.random.default_rng(0).normal(size=(2, 5, 12)).astype(np.float32)
    name = output_names(model)[place]
    untouched = model(IDS, MASK, output_hidden_states=True, tap=lambda name, value: value).hidden_states
    changed = model(
        IDS, MASK, output_hidden_states=True, tap=lambda at, value: jnp.asarray(noise) if at == name else value
    ).hidden_states
    for index, (before, after) in enumerate(zip(untouched, changed, strict=True)):
        assert np.array_equal(before, after) == (index < place)
    np.testing.assert_array_equal(changed[place], noise)


@pytest.mark.parametrize("name", intermediate_names(1))
def test_whatever_is_replaced_the_pooled_output_changes(name: str):
    model = small_model(num_hidden_layers=1)
    # Not shifted as a whole: the softmax and LayerNorm would undo that.
    shift = np.random.default_rng(0)

    def tap(at: str, value: Array) -> Array:
        return value + jnp.asarray(shift.uniform(size=value.shape), jnp.float32) if at == name else value

    assert not np.allclose(model(IDS, MASK, tap=tap).pooler_output, model(IDS, MASK).pooler_output, atol=1e-4)


def test_a_tap_takes_numpy_arrays_and_lists_as_the_plain_call_does():
    model = small_model()
    seen = Recorder(frozenset({"layers.1.output"}))
    model(IDS.tolist(), MASK, tap=seen)
    np.testing.assert_allclose(seen.recorded["layers.1.output"], model(IDS, MASK).last_hidden_state, atol=1e-6)


def test_a_tap_can_be_compiled_by_the_caller():
    model = small_model()
    tap = replacing("layers.0.attention.context")
    compiled = jax.jit(lambda model, ids: model(ids, tap=tap).last_hidden_state)(model, IDS)
    np.testing.assert_allclose(compiled, model(IDS, tap=tap).last_hidden_state, atol=1e-5)


def test_a_tap_gives_the_gradient_with_respect_to_an_intermediate():
    model = small_model()

    def first_value(added: Array) -> Array:
        tap = lambda name, value: value + added if name == "layers.1.output" else value  # noqa: E731
        return model(IDS, tap=tap).last_hidden_state[1, 2, 3]

    gradient = np.asarray(jax.grad(first_value)(jnp.zeros((2, 5, 12))))
    expected = np.zeros((2, 5, 12))
    expected[1, 2, 3] = 1.0
    np.testing.assert_array_equal(gradient, expected)


def test_the_identity_tap_wants_nothing_and_a_plain_function_everything():
    assert not wants(identity, "layers.0.output")
    assert wants(lambda name, value: value, "layers.0.output")


def test_a_tap_with_wants_is_asked_by_the_full_name():
    recorder = Recorder(frozenset({"layers.1.attention.scores"}))
    inside = within(within(recorder, "layers.1"), "attention")
    assert wants(inside, "scores")
    assert not wants(inside, "probabilities")
    assert not wants(within(recorder, "layers.0"), "attention.scores")


def test_within_the_identity_is_the_identity():
    assert within(identity, "layers.0") is identity


@pytest.mark.parametrize(
    ("handed_back", "named"),
    [(lambda value: None, "NoneType"), (lambda value: value[:1], r"an array of shape \[1, 5, 12\]")],
    ids=["nothing", "another shape"],
)
def test_a_tap_that_hands_back_something_else_is_told_where(handed_back: Callable[[Array], object], named: str):
    def tap(name: str, value: Array) -> object:
        return handed_back(value) if name == "layers.1.output" else value

    with pytest.raises(InputError, match=rf"{named} for 'layers\.1\.output'; expected an array of shape \[2, 5, 12\]"):
        small_model()(IDS, MASK, tap=tap)
