"""The model as a whole: what it returns, padding, compilation, and changes to it in place."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from minibert import Bert, BertConfig, Tokenizer, load
from minibert.model.encoder import Layer
from minibert.model.inputs import check_inputs

IDS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
# Of four lengths in tokens.
TEXTS = [
    "The bank raised its rates on Friday, and nobody along the river noticed.",
    "mole",
    "",
    "A river bank.",
    "The old mole.",
    "bank",
    "Who said no?",
    "東京は日",
]
CONFIG = BertConfig(
    vocab_size=11,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=17,
    max_position_embeddings=9,
    initializer_range=0.5,
)


def small_model(**overrides: object) -> Bert:
    return Bert(CONFIG.replace(**overrides), rngs=nnx.Rngs(0))


def test_without_flags_only_the_last_hidden_state_and_the_pooled_output_are_there():
    output = small_model()(IDS, MASK)
    assert output.last_hidden_state.shape == (2, 5, 12)
    assert output.pooler_output.shape == (2, 12)
    assert output.hidden_states is None
    assert output.attentions is None


def test_hidden_states_are_the_embeddings_and_then_every_layers_output():
    seen = {}
    output = small_model()(IDS, MASK, output_hidden_states=True, tap=lambda name, value: seen.setdefault(name, value))
    names = ["embeddings.output", "layers.0.output", "layers.1.output"]
    assert len(output.hidden_states) == len(names)
    for name, state in zip(names, output.hidden_states, strict=True):
        np.testing.assert_array_equal(state, seen[name])
    np.testing.assert_array_equal(output.last_hidden_state, output.hidden_states[-1])


def test_attentions_are_every_layers_probabilities():
    output = small_model()(IDS, MASK, output_attentions=True)
    assert [attention.shape for attention in output.attentions] == [(2, 4, 5, 5)] * 2
    for attention in output.attentions:
        np.testing.assert_allclose(attention.sum(axis=-1), 1.0, atol=1e-6)
        assert (np.asarray(attention)[1, :, :, 3:] == 0.0).all()


def test_asking_for_attentions_passes_on_to_the_users_own_tap():
    seen = []
    output = small_model()(
        IDS, output_attentions=True, tap=lambda name, value: value * 0.0 if name.endswith("probabilities") else value
    )
    assert all((np.asarray(attention) == 0.0).all() for attention in output.attentions)
    small_model()(IDS, output_attentions=True, tap=lambda name, value: (seen.append(name), value)[1])
    assert len(seen) == 5 + 2 * 13 + 2


def test_a_model_without_pooler_has_no_pooled_output():
    output = Bert(CONFIG, rngs=nnx.Rngs(0), add_pooling_layer=False)(IDS)
    assert output.pooler_output is None
    assert output.last_hidden_state.shape == (2, 5, 12)


def test_the_pooled_output_comes_from_the_first_token():
    model = small_model()
    output = model(IDS, MASK)
    kernel, bias = (np.asarray(part[...], np.float64) for part in (model.pooler.dense.kernel, model.pooler.dense.bias))
    expected = np.tanh(np.asarray(output.last_hidden_state[:, 0], np.float64) @ kernel + bias)
    np.testing.assert_allclose(output.pooler_output, expected, atol=1e-6)


def test_absent_arguments_mean_all_real_first_text_and_counted_positions():
    model = small_model()
    stated = model(IDS, np.ones_like(IDS), np.zeros_like(IDS), np.tile(np.arange(5), (2, 1)))
    np.testing.assert_array_equal(model(IDS).last_hidden_state, stated.last_hidden_state)


def test_positions_that_are_given_are_used():
    model = small_model()
    shifted = model(IDS, position_ids=np.tile(np.arange(5) + 3, (2, 1)))
    assert not np.allclose(model(IDS).last_hidden_state, shifted.last_hidden_state, atol=1e-2)


def test_padding_does_not_change_real_positions(minilm: Bert, minilm_tokenizer: Tokenizer):
    together = minilm(**minilm_tokenizer(TEXTS))
    # A program for every length takes its time: a long text, an empty one and one in another script.
    for index in (0, 2, 7):
        text = TEXTS[index]
        alone = minilm(**minilm_tokenizer([text]))
        tokens = alone.last_hidden_state.shape[1]
        np.testing.assert_allclose(
            together.last_hidden_state[index, :tokens], alone.last_hidden_state[0], atol=1e-5, err_msg=text
        )
        np.testing.assert_allclose(together.pooler_output[index], alone.pooler_output[0], atol=1e-5, err_msg=text)


def test_what_stands_at_padded_positions_does_not_matter():
    model = small_model()
    garbage = np.where(MASK == 1, IDS, 10)
    clean, dirty = (np.asarray(model(ids, MASK).last_hidden_state) for ids in (IDS, garbage))
    np.testing.assert_array_equal(clean[MASK == 1], dirty[MASK == 1])


def test_a_text_does_not_depend_on_its_neighbours_in_the_batch():
    model = small_model()
    swapped = model(IDS[::-1].copy(), MASK[::-1].copy()).last_hidden_state[::-1]
    np.testing.assert_allclose(swapped, model(IDS, MASK).last_hidden_state, atol=1e-6)


def test_a_text_that_is_all_padding_gives_finite_output():
    output = small_model()(IDS, np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]), output_hidden_states=True)
    assert all(np.isfinite(state).all() for state in output.hidden_states)


def test_the_compiled_call_gives_what_operation_by_operation_gives(minilm: Bert, minilm_tokenizer: Tokenizer):
    batch = minilm_tokenizer(TEXTS)
    compiled = minilm(**batch)
    plain = minilm.forward(*(jnp.asarray(array) for array in check_inputs(minilm.config, **batch)))
    real = batch["attention_mask"] == 1
    both = (np.asarray(output.last_hidden_state)[real] for output in (compiled, plain))
    np.testing.assert_allclose(*both, atol=1e-5, rtol=0)
    np.testing.assert_allclose(compiled.pooler_output, plain.pooler_output, atol=1e-5, rtol=0)


def test_a_parameter_changed_in_place_is_seen_by_the_next_call():
    model = small_model()
    before = model(IDS).last_hidden_state
    bias = model.encoder.layers[0].attention.value.bias
    bias.set_value(bias[...] + 1.0)
    assert not np.allclose(model(IDS).last_hidden_state, before, atol=1e-2)
    bias.set_value(bias[...] - 1.0)
    np.testing.assert_allclose(model(IDS).last_hidden_state, before, atol=1e-5)


def test_a_layer_put_in_anothers_place_is_used():
    model = small_model()
    before = model(IDS, output_hidden_states=True).hidden_states
    model.encoder.layers[1] = Layer(CONFIG, rngs=nnx.Rngs(7))
    after = model(IDS, output_hidden_states=True).hidden_states
    changed = [not np.array_equal(*states) for states in zip(before, after, strict=True)]
    assert changed == [False, False, True]


def test_calling_leaves_every_parameter_as_it_was():
    model = small_model()
    before = [np.array(leaf) for leaf in jax.tree.leaves(model)]
    model(IDS, MASK)
    for left, right in zip(before, jax.tree.leaves(model), strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_compiled_program_carries_the_names_of_the_parts():
    model = small_model()
    compiled = jax.jit(lambda model, ids: model(ids)).lower(model, IDS).compile().as_text()
    attention = [f"attention/{part}" for part in ("query", "key", "value", "scores", "context", "projection", "output")]
    feed_forward = [f"feed_forward/{part}" for part in ("intermediate", "activation", "projection", "output")]
    scopes = [f"layers.{layer}/{part}" for layer in range(2) for part in attention + feed_forward]
    missing = [scope for scope in ["embeddings/word", "embeddings/output", "pooler/dense", *scopes] if scope not in compiled]
    assert missing == []


def test_bfloat16_operands_give_float32_close_to_it(minilm: Bert, minilm_folder: Path, minilm_tokenizer: Tokenizer):
    batch = minilm_tokenizer(TEXTS)
    rough = load(minilm_folder, dtype="bfloat16")(**batch, output_hidden_states=True)
    exact = minilm(**batch, output_hidden_states=True)
    real = batch["attention_mask"] == 1
    for ours, true in zip(rough.hidden_states, exact.hidden_states, strict=True):
        assert ours.dtype == jnp.float32
        ours, true = np.asarray(ours)[real], np.asarray(true)[real]
        assert np.linalg.norm(ours - true) < 5e-2 * np.linalg.norm(true)
    assert not np.array_equal(rough.last_hidden_state, exact.last_hidden_state)


def test_parameters_stored_in_few_bits_still_give_float32():
    model = small_model(param_dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(model)} == {jnp.dtype("bfloat16")}
    output = model(IDS, MASK, tap=lambda name, value: value)
    assert output.last_hidden_state.dtype == output.pooler_output.dtype == jnp.float32
    assert np.isfinite(output.last_hidden_state).all()
