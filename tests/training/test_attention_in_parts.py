"""Attention laid out for training: the values and gradients of the attention that models are loaded with, whatever the parts."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_training import halving_tap

from minibert import BertConfig
from minibert.model.attention import Attention
from minibert.model.tap import identity
from minibert.training import attention as in_parts
from minibert.training.attention import AttentionInParts
from minibert.training.layout import for_training

BATCH, TOKENS = 4, 6
ALL_AT_ONCE, TWO_TEXTS, ONE_HEAD = 1 << 20, 2 * 4 * TOKENS**2 * 8, TOKENS**2 * 8


def attention_of(**settings: Any) -> Attention:
    config = BertConfig(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=8,
        max_position_embeddings=TOKENS,
        initializer_range=0.5,
        **{"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0} | settings,
    )
    return Attention(config, rngs=nnx.Rngs(0))


def biases(dtype: Any) -> dict[str, np.ndarray]:
    lowest = np.finfo(dtype).min
    some = np.zeros((BATCH, 1, 1, TOKENS), dtype)
    some[1, ..., 3:] = lowest
    some[2] = lowest  # nothing that a token may attend to
    packed = np.full((BATCH, 1, TOKENS, TOKENS), lowest, dtype)
    packed[..., :2, :2] = packed[..., 2:, 2:] = 0.0
    return {"none": np.zeros_like(some), "some": some, "packed": packed}


def value_and_gradients(attention: Attention, bias: np.ndarray, key: Any) -> Any:
    random = np.random.default_rng(3)
    hidden = jnp.asarray(random.normal(size=(BATCH * TOKENS, 16)), attention.config.dtype)
    weights = jnp.asarray(random.normal(size=(BATCH * TOKENS, 16)), attention.config.dtype)

    def total(attention: Attention, hidden: jax.Array) -> jax.Array:
        return (attention(hidden, jnp.asarray(bias), dropout_key=key) * weights).sum()

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(attention, hidden)


CASES = [
    (TWO_TEXTS, 0.3, "packed"),
    (ONE_HEAD, 0.3, "some"),
    *(
        pytest.param(*case, marks=pytest.mark.long)
        for case in [
            *itertools.product([ALL_AT_ONCE, TWO_TEXTS], [0.0, 0.3], ["some"]),
            (ONE_HEAD, 0.0, "some"),
            (TWO_TEXTS, 0.3, "none"),
        ]
    ),
]


@pytest.mark.parametrize(("room", "dropped", "masked"), CASES)
def test_values_and_gradients_are_those_of_the_whole(room: int, dropped: float, masked: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(in_parts, "SCORES_AT_A_TIME", room)
    with jax.enable_x64(True):
        whole = attention_of(dtype="float64", param_dtype="float64", attention_probs_dropout_prob=dropped)
        parts = AttentionInParts(whole)
        expected_sizes = {ALL_AT_ONCE: (4, 4), TWO_TEXTS: (2, 4), ONE_HEAD: (1, 1)}
        assert parts.at_a_time(BATCH, 4, TOKENS) == expected_sizes[room]
        bias, key = biases(np.float64)[masked], jax.random.key(5)
        expected, found = value_and_gradients(whole, bias, key), value_and_gradients(parts, bias, key)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-11)


def test_bfloat16_rounds_no_more_than_in_the_whole():
    exact, whole = attention_of(), attention_of(dtype="bfloat16")
    bias = biases(np.float32)["some"]
    (_, (_, expected)), (_, (_, one)), (_, (_, other)) = (
        value_and_gradients(attention, bias, None) for attention in (exact, whole, AttentionInParts(whole))
    )
    error, allowed = (np.sqrt(np.mean((np.asarray(found, np.float64) - expected) ** 2)) for found in (other, one))
    assert error < 1.2 * allowed


def test_a_tap_sees_and_replaces_what_it_does_in_the_whole():
    whole, bias = attention_of(), jnp.asarray(biases(np.float32)["some"])
    hidden = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH * TOKENS, 16)), jnp.float32)
    for name in ("query", "scores", "probabilities", "context"):
        found = []
        for attention in (whole, AttentionInParts(whole)):
            tap, seen = halving_tap(name)
            found.append((attention(hidden, bias, tap=tap), seen))
        (one, seen_by_one), (other, seen_by_other) = found
        np.testing.assert_allclose(other, one, atol=1e-5)
        assert seen_by_one.keys() == seen_by_other.keys()


def test_only_attention_as_the_project_has_it_is_laid_out_so():
    class Own(Attention):
        pass

    layers = nnx.Dict(plain=attention_of(), own=Own(attention_of().config, rngs=nnx.Rngs(0)), changed=attention_of())
    layers.changed.query = nnx.Linear(16, 16, rngs=nnx.Rngs(0))
    found = for_training(layers)
    assert [type(found[name]) for name in ("plain", "own", "changed")] == [AttentionInParts, Own, Attention]
    assert type(layers.plain) is Attention
    assert type(for_training(layers, devices=2).plain) is Attention
    assert identity("", found.plain.query.kernel[...]) is layers.plain.query.kernel[...]
