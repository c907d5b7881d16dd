"""The LSTM against one written out in NumPy; padding, frozen vectors, dropout, heads; and what it refuses."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import BertConfig, HeadsOutput, InputError
from minibert.checkpoints.blueprint import parameters_of
from minibert.model.heads import HEADS, new_head
from minibert.model.inputs import check_inputs
from minibert.training import LOSSES, OptimiserOptions, optimiser
from minibert.training.baseline import HEADS_OF_LSTM, LstmConfig, LstmEncoder, LstmWithHeads, lstm_with_head

CONFIG = LstmConfig(vocab_size=11, word_width=5, hidden_size=8, num_layers=2, dropout=0.5, num_labels=3)
IDS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
TYPES = np.array([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]], np.int32)
LOGITS = {"sequence_classification": (2, 3), "token_classification": (2, 5, 3), "question_answering": (2, 5, 2)}


def config_of(**changes: Any) -> LstmConfig:
    return LstmConfig.from_json(CONFIG.to_json() | changes)


def lively(model: nnx.Module) -> nnx.Module:
    """The model with every parameter random, the biases too."""
    random = np.random.default_rng(3)
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(0.0, 0.7, leaf.shape), leaf.dtype), model)


def model_of(**changes: Any) -> Any:
    return lively(lstm_with_head(config_of(**changes), rngs=nnx.Rngs(0)))


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-values))


def one_direction(inputs: np.ndarray, values: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    """A text's states [tokens, hidden]: the equations, step by step."""
    kernel, recurrent, bias = (values[f"{prefix}.cell.{name}"] for name in ("dense_i.kernel", "dense_h.kernel", "dense_h.bias"))
    hidden = cell = np.zeros(recurrent.shape[0])
    states = []
    for vector in inputs:
        input_gate, forget_gate, candidate, output_gate = np.split(vector @ kernel + hidden @ recurrent + bias, 4)
        cell = sigmoid(forget_gate) * cell + sigmoid(input_gate) * np.tanh(candidate)
        hidden = sigmoid(output_gate) * np.tanh(cell)
        states.append(hidden)
    return np.stack(states)


def written_out(model: Any, ids: np.ndarray, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The states and the pooled vector of one text without padding, in float64."""
    values = {path: np.asarray(variable.get_value(), np.float64) for path, variable in parameters_of(model).items()}
    hidden = values["encoder.embeddings.word"][ids] + values["encoder.embeddings.token_type"][types]
    for layer in range(model.config.num_hidden_layers):
        forward = one_direction(hidden, values, f"encoder.layers.{layer}.forward_rnn")
        backward = one_direction(hidden[::-1], values, f"encoder.layers.{layer}.backward_rnn")[::-1]
        hidden = np.concatenate([forward, backward], axis=-1)
    both = np.concatenate([hidden.mean(axis=0), hidden.max(axis=0)])
    return hidden, np.tanh(both @ values["encoder.pooler.dense.kernel"] + values["encoder.pooler.dense.bias"])


@pytest.mark.parametrize("num_layers", [1, 3])
def test_states_and_pooled_vectors_are_those_of_the_equations(num_layers: int):
    model = model_of(num_layers=num_layers)
    output = model(IDS, MASK, TYPES)
    for row, length in enumerate(MASK.sum(axis=1)):
        hidden, pooled = written_out(model, IDS[row, :length], TYPES[row, :length])
        np.testing.assert_allclose(output.last_hidden_state[row, :length], hidden, atol=1e-5)
        np.testing.assert_allclose(output.pooler_output[row], pooled, atol=1e-5)
        head = model.heads["sequence_classification"].dense
        expected = pooled @ np.asarray(head.kernel[...]) + np.asarray(head.bias[...])
        np.testing.assert_allclose(output.logits[row], expected, atol=1e-5)


@pytest.mark.parametrize("head", HEADS_OF_LSTM)
def test_every_head_has_its_logits(head: str):
    output = model_of(head=head, num_labels=LOGITS[head][-1])(IDS, MASK, TYPES)
    assert isinstance(output, HeadsOutput)
    assert output.logits.shape == LOGITS[head] and output.logits.dtype == jnp.float32
    assert output.last_hidden_state.shape == (2, 5, 8) and output.pooler_output.shape == (2, 8)
    assert output.hidden_states is None and output.attentions is None


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 5), width=st.integers(5, 9), junk=st.integers(0, 10), seed=st.integers(0, 99))
def test_a_text_is_the_same_alone_and_padded_in_a_batch(length: int, width: int, junk: int, seed: int):
    model = model_of(head="token_classification")
    text = np.random.default_rng(seed).integers(0, 11, length).astype(np.int32)
    ids = np.full((3, width), junk, np.int32)
    mask = np.zeros_like(ids)
    ids[1, :length], mask[:, 0], mask[1, :length] = text, 1, 1
    alone, batched = model(text[None]), model(ids, mask)
    np.testing.assert_allclose(batched.logits[1, :length], alone.logits[0], atol=1e-5)
    np.testing.assert_allclose(batched.pooler_output[1], alone.pooler_output[0], atol=1e-5)
    assert not np.asarray(batched.last_hidden_state[1, length:]).any()


def test_a_row_of_padding_alone_is_finite():
    output = model_of()(IDS, np.zeros_like(MASK))
    assert np.isfinite(output.logits).all()


@pytest.mark.long
def test_every_token_sees_both_sides():
    model = model_of(num_layers=1)
    before = np.asarray(model(IDS).last_hidden_state[0])
    changed = IDS.copy()
    changed[0, 2] = 9
    moved = np.abs(np.asarray(model(changed).last_hidden_state[0]) - before).max(axis=-1) > 1e-6
    assert moved.all()


def test_the_second_text_is_told_from_the_first():
    model = model_of()
    assert np.abs(np.asarray(model(IDS, MASK, TYPES).logits - model(IDS, MASK).logits)).max() > 1e-3


def test_there_is_no_state_but_parameters_and_two_models_are_alike():
    model = lstm_with_head(CONFIG, rngs=nnx.Rngs(0))
    leaves = jax.tree.leaves(model)
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)} and len(leaves) == len(parameters_of(model))
    # Or each would be compiled anew, and no optimiser would take them for the same.
    assert jax.tree.structure(model) == jax.tree.structure(lstm_with_head(CONFIG, rngs=nnx.Rngs(1)))


def test_the_forget_gates_begin_open_and_all_other_biases_at_zero():
    biases = {path: variable.get_value() for path, variable in parameters_of(lstm_with_head(CONFIG, rngs=nnx.Rngs(0))).items()}
    for path, bias in biases.items():
        if path.endswith("dense_h.bias"):
            np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], 4))
        elif path.endswith("bias"):
            assert not np.asarray(bias).any()


def test_the_table_is_where_the_vectors_are():
    table = np.random.default_rng(0).normal(size=(11, 5)).astype(np.float32)
    model = lstm_with_head(CONFIG, table, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(model.encoder.embeddings.word[...], table)
    with pytest.raises(
        InputError, match=r"the table of word vectors is \[11, 5\]; expected \[vocab_size, word_width\] = \[12, 5\]"
    ):
        LstmEncoder(config_of(vocab_size=12), table, rngs=nnx.Rngs(0))


def gradient_of(model: Any, **options: Any) -> dict[str, np.ndarray]:
    def loss_of(model: Any) -> Any:
        return LOSSES["sequence_classification"](model(IDS, MASK, TYPES, **options).logits, jnp.array([0, 2]))

    gradient = jax.jit(jax.grad(loss_of))(model)
    return {path: np.asarray(variable.get_value()) for path, variable in parameters_of(gradient).items()}


@pytest.mark.long
def test_gradients_reach_all_but_frozen_vectors():
    of_frozen, of_trained = gradient_of(model_of()), gradient_of(model_of(trains_vectors=True))
    assert {path for path, gradient in of_frozen.items() if not gradient.any()} == {"encoder.embeddings.word"}
    assert all(gradient.any() for gradient in of_trained.values())
    # Of the rows of padding and of words that are not there none.
    assert np.flatnonzero(of_trained["encoder.embeddings.word"].any(axis=1)).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.long
def test_the_gradient_is_the_slope_of_the_loss():
    model = model_of(trains_vectors=True)
    gradient = gradient_of(model)
    name, step = "encoder.layers.0.backward_rnn.cell.dense_h.kernel", 1e-2

    def loss_at(shift: float) -> float:
        moved = lively(model)
        variable = parameters_of(moved)[name]
        variable.set_value(variable.get_value().at[1, 2].add(shift))
        return float(LOSSES["sequence_classification"](moved(IDS, MASK, TYPES).logits, jnp.array([0, 2])))

    assert gradient[name][1, 2] == pytest.approx((loss_at(step) - loss_at(-step)) / (2 * step), rel=2e-2, abs=1e-5)


def test_frozen_paths_name_what_an_optimiser_leaves_alone():
    assert model_of(trains_vectors=True).frozen == ()
    model = model_of()
    assert set(model.frozen) < set(parameters_of(model))
    still = jax.tree_util.tree_map_with_path(
        lambda keys, _: jax.tree_util.keystr(keys, simple=True, separator=".").removesuffix(".value") in model.frozen, model
    )
    decaying = optax.chain(optax.adamw(0.1, weight_decay=0.5), optax.masked(optax.set_to_zero(), still))
    updates, _ = decaying.update(jax.tree.map(jnp.ones_like, model), decaying.init(model), model)
    moved = parameters_of(optax.apply_updates(model, updates))
    unmoved = {path for path, before in parameters_of(model).items() if (before.get_value() == moved[path].get_value()).all()}
    assert unmoved == set(model.frozen)


def test_dropout_is_on_with_a_key_and_off_without():
    model = model_of()
    first, again, other = (model(IDS, MASK, dropout_key=jax.random.key(seed)).logits for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.asarray(first - other)).max() > 1e-3
    np.testing.assert_array_equal(model(IDS, MASK).logits, model(IDS, MASK).logits)
    np.testing.assert_allclose(
        model_of(dropout=0.0)(IDS, MASK, dropout_key=jax.random.key(0)).logits, model_of(dropout=0.0)(IDS, MASK).logits, atol=1e-6
    )


def test_forward_is_the_same_without_checks():
    model = model_of()
    inputs = check_inputs(model.config, IDS, MASK, TYPES)
    np.testing.assert_allclose(model.forward(inputs).logits, model(IDS, MASK, TYPES).logits, atol=1e-6)
    under_jit = jax.jit(lambda model, ids, mask: model(ids, mask).logits)(model, IDS, MASK)
    np.testing.assert_allclose(under_jit, model(IDS, MASK).logits, atol=1e-6)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"input_ids": [[1, 11]]}, r"input_ids\[0, 1\] is 11; vocab_size = 11 allows 0 to 10"),
        ({"input_ids": [1, 2]}, r"input_ids has shape \[2\]"),
        ({"input_ids": [[1, 2]], "token_type_ids": [[0, 2]]}, r"token_type_ids\[0, 1\] is 2"),
        ({"input_ids": [[1, 2]], "attention_mask": [[0, 1]]}, r"attention_mask\[0\] has padding \(0\) before a token \(1\)"),
        ({"input_ids": [[1, 2, 3]] * 2, "attention_mask": [[1, 1, 0], [1, 0, 1]]}, r"attention_mask\[1\] has padding"),
    ],
)
def test_what_it_cannot_take_is_refused(batch: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        model_of()(**batch)


def test_an_id_outside_the_table_is_nan_under_a_callers_own_jit():
    logits = jax.jit(lambda model, ids: model(ids).logits)(model_of(), jnp.array([[1, 11], [1, -1], [1, 2]]))
    assert np.isnan(logits).all(axis=1).tolist() == [True, True, False]


def test_texts_may_be_longer_than_any_berts():
    assert model_of(num_layers=1)(np.ones((1, 600), np.int32)).last_hidden_state.shape == (1, 600, 8)


def test_pretraining_and_multiple_choice_do_not_go_with_an_lstm():
    encoder = LstmEncoder(CONFIG, rngs=nnx.Rngs(0))
    for name in set(itertools.chain(*HEADS.values())):
        head = new_head(name, encoder.config, 3, 0.0, rngs=nnx.Rngs(0))
        if name in ("masked_lm", "multiple_choice"):
            with pytest.raises(InputError, match=f"the head '{name}' does not go with an LSTM"):
                LstmWithHeads(encoder, {name: head})
        else:
            assert LstmWithHeads(encoder, {name: head})(IDS).logits is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, "vocab_size is 0; expected a whole number from 1 to 10,000,000"),
        ({"hidden_size": 7}, "hidden_size is 7; expected an even number"),
        ({"num_layers": 65}, "num_layers is 65"),
        ({"word_width": True}, "word_width is True"),
        ({"dropout": 1.5}, "dropout is 1.5; expected a number from 0 to 1"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"trains_vectors": 1}, "trains_vectors is 1; expected true or false"),
        ({"head": "masked_lm"}, "head is 'masked_lm'; expected one of sequence_classification, token_class"),
        ({"head": ["x"]}, r"head is \['x'\]"),
        ({"head": "question_answering"}, "num_labels is 3; expected 2"),
        ({"depth": 3}, r"lacks, or has besides, \['depth'\]"),
    ],
)
def test_a_configuration_out_of_range_is_refused(changes: dict[str, Any], message: str, without_shape_checks: None):
    with pytest.raises(InputError, match=message):
        config_of(**changes)


def test_a_configuration_is_the_same_after_json():
    assert LstmConfig.from_json(CONFIG.to_json()) == CONFIG
    heads = CONFIG.of_heads()
    assert isinstance(heads, BertConfig) and (heads.hidden_size, heads.num_hidden_layers, heads.vocab_size) == (8, 2, 11)


# The words of a pair, in every order: which of two stands first is the label.
PAIRS = np.array(list(itertools.permutations(range(2, 11), 2)), np.int32)
FIRST_IS_LESS = (PAIRS[:, 0] < PAIRS[:, 1]).astype(np.int32)


@pytest.mark.long
def test_it_learns_an_order_of_words_that_no_bag_of_words_has():
    bags = [tuple(sorted(pair)) for pair in PAIRS.tolist()]
    labels_of_bag = {bag: {int(label) for other, label in zip(bags, FIRST_IS_LESS, strict=True) if other == bag} for bag in bags}
    assert set(map(frozenset, labels_of_bag.values())) == {frozenset({0, 1})}

    table = np.random.default_rng(0).normal(size=(11, 5)).astype(np.float32)
    model = lstm_with_head(config_of(num_layers=1, hidden_size=16, dropout=0.0, num_labels=2), table, rngs=nnx.Rngs(0))
    steps = 150
    transform = optimiser(model, steps, OptimiserOptions(learning_rate=2e-2, weight_decay=0.0))

    @jax.jit
    def step(model: Any, state: Any) -> Any:
        def loss_of(model: Any) -> Any:
            return LOSSES["sequence_classification"](model(PAIRS).logits, jnp.asarray(FIRST_IS_LESS))

        loss, gradient = jax.value_and_grad(loss_of)(model)
        updates, state = transform.update(gradient, state, model)
        return optax.apply_updates(model, updates), state, loss

    state = transform.init(model)
    losses = []
    for _ in range(steps):
        model, state, loss = step(model, state)
        losses.append(float(loss))
    assert losses[0] > 0.5 and losses[-1] < 0.05
    assert (np.asarray(model(PAIRS).logits).argmax(axis=-1) == FIRST_IS_LESS).all()
    np.testing.assert_array_equal(model.encoder.embeddings.word[...], table)
