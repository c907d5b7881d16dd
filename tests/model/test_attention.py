"""Attention against softmax attention written out in float64 NumPy; every axis has a size of its own."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

from minibert import Bert, BertConfig, InputError, record
from minibert.model.attention import Attention
from minibert.model.tap import identity

BATCH, TOKENS, HEADS, HEAD_DIM = 2, 5, 6, 4
HIDDEN = HEADS * HEAD_DIM
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def attention_of(implementation: str = "explicit") -> Attention:
    config = BertConfig(
        hidden_size=HIDDEN, num_attention_heads=HEADS, initializer_range=0.5, attention_implementation=implementation
    )
    return Attention(config, rngs=nnx.Rngs(0))


def query_key_value() -> tuple[Array, Array, Array]:
    random = np.random.default_rng(0)
    return tuple(jnp.asarray(random.normal(size=(BATCH, HEADS, TOKENS, HEAD_DIM)) * 2.0, jnp.float32) for _ in range(3))


def bias_of(mask: np.ndarray) -> Array:
    return jnp.where(jnp.asarray(mask)[:, None, None, :] > 0, 0.0, jnp.finfo(jnp.float32).min).astype(jnp.float32)


def softmax_attention(query, key, value, mask) -> tuple[np.ndarray, np.ndarray]:
    """Context and probabilities in float64."""
    query, key, value = (np.asarray(part, np.float64) for part in (query, key, value))
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    scores = np.where(mask[:, None, None, :] > 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities @ value, probabilities


class Replace:
    """A tap that looks at one name only, and puts `replacement(value)` in its place."""

    def __init__(self, name: str, replacement=lambda value: value):
        self.name = name
        self.replacement = replacement

    def __call__(self, name: str, value: Array) -> Array:
        return self.replacement(value) if name == self.name else value

    def wants(self, name: str) -> bool:
        return name == self.name


@pytest.mark.parametrize("implementation", ["explicit", "fused"])
def test_the_context_is_the_mixture_of_the_values(implementation: str):
    parts = query_key_value()
    context = attention_of(implementation).attend(*parts, bias_of(MASK), identity, None)
    np.testing.assert_allclose(context, softmax_attention(*parts, MASK)[0], atol=1e-5)


def test_probabilities_are_the_softmax_of_scores_before_the_mask():
    parts = query_key_value()
    seen = {}
    attention_of().attend(*parts, bias_of(MASK), lambda name, value: seen.setdefault(name, value), None)
    unmasked = np.asarray(parts[0], np.float64) @ np.asarray(parts[1], np.float64).swapaxes(-1, -2) / np.sqrt(HEAD_DIM)
    np.testing.assert_allclose(seen["scores"], unmasked, atol=1e-5)
    np.testing.assert_allclose(seen["probabilities"], softmax_attention(*parts, MASK)[1], atol=1e-6)


def test_the_whole_module_projects_splits_attends_merges_and_normalises():
    attention = attention_of()
    hidden = np.random.default_rng(1).normal(size=(BATCH * TOKENS, HIDDEN)).astype(np.float32)

    def dense(part, rows):
        return rows @ np.asarray(part.kernel[...], np.float64) + np.asarray(part.bias[...], np.float64)

    def heads(rows):
        return rows.reshape(BATCH, TOKENS, HEADS, HEAD_DIM).transpose(0, 2, 1, 3)

    parts = [heads(dense(part, hidden)) for part in (attention.query, attention.key, attention.value)]
    context = softmax_attention(*parts, MASK)[0].transpose(0, 2, 1, 3).reshape(BATCH * TOKENS, HIDDEN)
    total = dense(attention.projection, context) + hidden
    centred = total - total.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
    np.testing.assert_allclose(attention(jnp.asarray(hidden), bias_of(MASK)), expected, atol=1e-5)


def test_splitting_into_heads_and_merging_are_inverse():
    rows = jnp.arange(BATCH * TOKENS * HIDDEN, dtype=jnp.float32).reshape(BATCH * TOKENS, HIDDEN)
    attention = attention_of()
    heads = attention.split_heads(rows, BATCH)
    assert heads.shape == (BATCH, HEADS, TOKENS, HEAD_DIM)
    assert heads[1, 2, 3, 1] == rows[1 * TOKENS + 3, 2 * HEAD_DIM + 1]
    np.testing.assert_array_equal(attention.merge_heads(heads), rows)


@pytest.mark.parametrize(("texts", "heads"), [(1, 1), (1, 2), (1, 3), (1, HEADS), (2, HEADS)])
def test_a_few_texts_or_heads_at_a_time_give_what_all_at_once_give(texts: int, heads: int):
    parts = [jnp.concatenate([part, 2 * part]) for part in query_key_value()]
    bias = bias_of(np.concatenate([MASK, MASK[::-1]]))
    attention = attention_of()

    def attend(*parts: Array) -> Array:
        return attention.attend(*parts, bias, identity, None)

    at_once = attend(*parts)
    assert "scan" not in str(jax.make_jaxpr(attend)(*parts))
    attention.scores_in_cache = texts * heads * TOKENS * TOKENS * 4
    # One loop over texts, in it one over heads.
    lengths = re.findall(r"length=(\d+)", str(jax.make_jaxpr(lambda *parts: attend(*parts))(*parts)))
    assert sorted(map(int, lengths)) == sorted([2 * BATCH // texts, HEADS // heads])
    np.testing.assert_allclose(attend(*parts), at_once, atol=1e-6)


def test_looking_at_probabilities_forms_them_for_all_heads_at_once():
    parts = query_key_value()
    attention = attention_of()
    attention.scores_in_cache = 1
    seen = {}
    context = attention.attend(*parts, bias_of(MASK), lambda name, value: seen.setdefault(name, value), None)
    assert seen["probabilities"].shape == (BATCH, HEADS, TOKENS, TOKENS)
    np.testing.assert_allclose(context, attention_of().attend(*parts, bias_of(MASK), identity, None), atol=1e-6)


@pytest.mark.parametrize("implementation", ["explicit", "fused"])
def test_a_text_with_every_key_masked_attends_uniformly(implementation: str):
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    parts = query_key_value()
    context = attention_of(implementation).attend(*parts, bias_of(mask), identity, None)
    mean = np.asarray(parts[2])[1].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(context[1], np.broadcast_to(mean, context[1].shape), atol=1e-6)


def test_masked_keys_get_no_probability_at_all():
    seen = {}
    attention_of().attend(*query_key_value(), bias_of(MASK), lambda name, value: seen.setdefault(name, value), None)
    assert (np.asarray(seen["probabilities"])[1, :, :, 3:] == 0.0).all()


def test_scores_too_large_for_exp_stay_finite():
    query, key, value = query_key_value()
    context = attention_of().attend(query * 1e4, key * 1e4, value, bias_of(MASK), identity, None)
    assert np.isfinite(context).all()


def test_replaced_probabilities_are_obeyed():
    query, key, value = query_key_value()
    each_its_own = Replace("probabilities", lambda probabilities: jnp.broadcast_to(jnp.eye(TOKENS), probabilities.shape))
    context = attention_of().attend(query, key, value, bias_of(MASK), each_its_own, None)
    np.testing.assert_array_equal(context, value)


def test_replaced_scores_are_obeyed():
    parts = query_key_value()
    context = attention_of().attend(*parts, bias_of(MASK), Replace("scores", jnp.zeros_like), None)
    weights = MASK / MASK.sum(axis=1, keepdims=True)
    expected = np.einsum("bk,bhkd->bhd", weights, np.asarray(parts[2], np.float64))[:, :, None]
    np.testing.assert_allclose(context, np.broadcast_to(expected, context.shape), atol=1e-6)


@pytest.mark.parametrize("transform", [lambda function: function, jax.jit], ids=["plain", "jit"])
def test_probabilities_handed_back_unchanged_change_no_bit(transform):
    parts = query_key_value()
    attention = attention_of()
    plain = transform(lambda *parts: attention.attend(*parts, bias_of(MASK), identity, None))(*parts)
    tapped = transform(lambda *parts: attention.attend(*parts, bias_of(MASK), Replace("probabilities"), None))(*parts)
    np.testing.assert_array_equal(plain, tapped)


def model_of(implementation: str) -> Bert:
    config = BertConfig(
        vocab_size=11,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=17,
        max_position_embeddings=9,
        initializer_range=0.5,
        attention_implementation=implementation,
    )
    return Bert(config, rngs=nnx.Rngs(0))


BATCH_OF_IDS = {"input_ids": np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]]), "attention_mask": MASK}


def test_a_fused_model_gives_what_the_explicit_one_gives():
    fused, explicit = (
        np.asarray(model_of(implementation)(**BATCH_OF_IDS).last_hidden_state) for implementation in ("fused", "explicit")
    )
    np.testing.assert_allclose(fused[MASK == 1], explicit[MASK == 1], atol=1e-5)


@pytest.mark.parametrize("name", ["layers.0.attention.scores", "layers.1.attention.probabilities"])
def test_a_fused_model_refuses_a_tap_that_asks_for_what_it_never_forms(name: str):
    with pytest.raises(InputError, match="attention_implementation='explicit'"):
        model_of("fused")(**BATCH_OF_IDS, tap=Replace(name))


def test_a_fused_model_refuses_a_tap_that_does_not_say_what_it_wants():
    with pytest.raises(InputError, match="attention_implementation='explicit'"):
        model_of("fused")(**BATCH_OF_IDS, tap=lambda name, value: value)


def test_a_fused_model_refuses_to_return_attentions():
    with pytest.raises(InputError, match="attention_implementation='explicit'"):
        model_of("fused")(**BATCH_OF_IDS, output_attentions=True)


def test_a_fused_model_refuses_dropout_of_its_probabilities():
    with pytest.raises(InputError, match="attention_probs_dropout_prob"):
        model_of("fused")(**BATCH_OF_IDS, dropout_key=jax.random.key(0))


def test_a_fused_model_takes_a_tap_that_wants_outputs_only():
    model = model_of("fused")
    trace = record(model, BATCH_OF_IDS, ["layers.0.output", "layers.1.attention.context"])
    assert list(trace) == ["layers.0.output", "layers.1.attention.context"]
    tapped = model(**BATCH_OF_IDS, tap=Replace("layers.0.output", jnp.zeros_like))
    assert not np.array_equal(tapped.last_hidden_state, model(**BATCH_OF_IDS).last_hidden_state)
