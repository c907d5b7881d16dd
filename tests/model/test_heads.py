"""The heads by themselves: shapes, taps, dropout, a head of one's own; and what of them is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

from minibert import Bert, BertConfig, BertWithHeads, InputError
from minibert.model.dropout import dropout, split_key
from minibert.model.heads import HEADS, Encoded, new_head
from minibert.model.numerics import Dense
from minibert.model.tap import Tap, identity

CONFIG = BertConfig(
    vocab_size=29,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=17,
    max_position_embeddings=9,
    initializer_range=0.5,
)
IDS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
LOGITS = {
    "masked_lm": (2, 5, 29),
    "next_sentence": (2, 2),
    "sequence_classification": (2, 3),
    "multiple_choice": (1, 2),
    "token_classification": (2, 5, 3),
    "question_answering": (2, 5, 2),
}


def model_with(*names: str, dropout_prob: float = 0.5) -> BertWithHeads:
    bert = Bert(CONFIG, rngs=nnx.Rngs(0))
    return BertWithHeads(bert, {name: new_head(name, CONFIG, 3, dropout_prob, rngs=nnx.Rngs(1)) for name in names})


def given(name: str) -> tuple[np.ndarray, np.ndarray]:
    return (IDS[None], MASK[None]) if name == "multiple_choice" else (IDS, MASK)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_has_its_logits_and_its_tap(head: str):
    names = HEADS[head]
    model = model_with(*names)
    output = model(*given(head), output_hidden_states=True)
    assert {name: logits.shape for name, logits in output.logits_by_head.items()} == {name: LOGITS[name] for name in names}
    assert len(output.hidden_states) == 3
    seen: dict[str, tuple[int, ...]] = {}
    tapped = model(*given(head), tap=lambda name, value: seen.update({name: value.shape}) or value)
    for name in names:
        assert f"heads.{name}.logits" in seen
        np.testing.assert_allclose(tapped.logits_by_head[name], output.logits_by_head[name], atol=1e-5)


def test_the_encoder_beneath_is_the_encoder_by_itself():
    model = model_with("token_classification")
    np.testing.assert_array_equal(model(IDS, MASK).last_hidden_state, model.bert(IDS, MASK).last_hidden_state)


def test_a_head_says_what_it_computes():
    model = model_with("token_classification", "sequence_classification")
    output = model(IDS, MASK)
    for name, states in (("token_classification", output.last_hidden_state), ("sequence_classification", output.pooler_output)):
        dense = model.heads[name].dense
        expected = np.asarray(states, np.float64) @ np.asarray(dense.kernel[...], np.float64) + np.asarray(dense.bias[...])
        np.testing.assert_allclose(output.logits_by_head[name], expected, atol=1e-5)


def test_a_tap_replaces_logits_and_what_the_masked_language_model_computes():
    model = model_with("masked_lm")
    zero = model(IDS, MASK, tap=lambda name, value: value * 0 if name == "heads.masked_lm.output" else value)
    np.testing.assert_allclose(zero.logits, np.broadcast_to(model.heads["masked_lm"].bias[...], (2, 5, 29)))


def test_dropout_of_a_head_follows_its_key_and_is_off_without():
    model = model_with("sequence_classification")
    quiet = model(IDS, MASK).logits
    np.testing.assert_array_equal(quiet, model(IDS, MASK).logits)
    first, again, second = (model(IDS, MASK, dropout_key=jax.random.key(seed)).logits for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, second) and not np.allclose(first, quiet)


def test_of_several_heads_the_logits_are_asked_for_by_name():
    output = model_with(*HEADS["pretraining"])(IDS, MASK)
    with pytest.raises(InputError, match="several heads, masked_lm, next_sentence; take logits_by_head"):
        _ = output.logits


def test_a_head_that_needs_a_pooler_is_refused_without():
    bert = Bert(CONFIG, rngs=None, add_pooling_layer=False)
    with pytest.raises(InputError, match="'next_sentence' needs a pooler"):
        BertWithHeads(bert, {"next_sentence": new_head("next_sentence", CONFIG, 2, 0.1, rngs=None)})


def test_multiple_choice_wants_choices():
    with pytest.raises(InputError, match=r"input_ids has shape \[2, 5\]; expected \[batch, choices, tokens\]"):
        model_with("multiple_choice")(IDS, MASK)


def test_choices_are_scored_each_by_itself():
    ids = np.stack([IDS, IDS[::-1]])
    model = model_with("multiple_choice")
    logits = model(ids).logits
    assert logits.shape == (2, 2)
    np.testing.assert_allclose(logits[0], logits[1, ::-1], atol=1e-5)


class TwoLayers(nnx.Module):
    """A head of one's own, as the docstring of `minibert.model.heads` shows it."""

    def __init__(self, config: BertConfig, num_labels: int, rngs: nnx.Rngs):
        self.inner = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs)
        self.outer = Dense(config.hidden_size, num_labels, config, rngs=rngs)

    def __call__(self, encoded: Encoded, *, tap: Tap = identity, dropout_key: Array | None = None) -> Any:
        first, second = split_key(dropout_key, 2)
        inner = jnp.tanh(self.inner(dropout(encoded.last_hidden_state[:, 0], 0.1, first)))
        return tap("logits", self.outer(dropout(inner, 0.1, second)))


def test_a_head_of_ones_own_is_called_tapped_and_differentiated():
    model = BertWithHeads(Bert(CONFIG, rngs=nnx.Rngs(0)), {"mine": TwoLayers(CONFIG, 4, nnx.Rngs(2))})
    assert model(IDS, MASK).logits.shape == (2, 4)
    names: list[str] = []
    model(IDS, MASK, tap=lambda name, value: names.append(name) or value)
    assert names[-1] == "heads.mine.logits"
    gradients = jax.grad(lambda model: model(IDS, MASK, dropout_key=jax.random.key(0)).logits.sum())(model)
    assert all(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradients.heads))


def test_a_new_heads_values_spread_as_those_of_transformers():
    config = BertConfig(vocab_size=50, hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=128)
    for name in ("token_classification", "sequence_classification", "masked_lm"):
        kernel = np.asarray(new_head(name, config, 64, 0.0, rngs=nnx.Rngs(0)).dense.kernel[...])
        # Of 8,192 values: the standard error is 0.8 %, where cutting at two deviations would take 12 % off.
        assert kernel.std() == pytest.approx(0.02, rel=0.03) and np.abs(kernel).max() > 0.06
    assert np.abs(np.asarray(Bert(config, rngs=nnx.Rngs(0)).embeddings.word[...])).max() <= 0.04
