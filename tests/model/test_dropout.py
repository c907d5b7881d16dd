"""Dropout: off unless a key is given, at the configured rates, with a mask of its own in every place."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

from minibert import Bert, BertConfig
from minibert.model import attention, embeddings, feed_forward
from minibert.model.dropout import dropout, kept, key_of_part, split_key, threefry

IDS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]])


def small_model(*, hidden: float = 0.3, probabilities: float = 0.3) -> Bert:
    config = BertConfig(
        vocab_size=11,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=17,
        max_position_embeddings=9,
        initializer_range=0.5,
        hidden_dropout_prob=hidden,
        attention_probs_dropout_prob=probabilities,
    )
    return Bert(config, rngs=nnx.Rngs(0))


def hidden_states(model: Bert, key: Array | None = None) -> tuple[Array, ...]:
    """Operation by operation, which spares these tests a compilation each."""
    return model.forward(*[jnp.asarray(IDS % 2)] * 4, dropout_key=key, output_hidden_states=True).hidden_states


def test_without_a_key_nothing_is_dropped():
    with_rates, without = small_model(), small_model(hidden=0.0, probabilities=0.0)
    np.testing.assert_array_equal(hidden_states(with_rates)[-1], hidden_states(without)[-1])


def test_the_same_key_gives_the_same_result_and_another_key_another():
    model = small_model()
    first, again, other = (model(IDS, dropout_key=jax.random.key(seed)).last_hidden_state for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-2)
    assert not np.allclose(first, model(IDS).last_hidden_state, atol=1e-2)


@pytest.mark.parametrize(("hidden", "probabilities"), [(0.3, 0.0), (0.0, 0.3)])
def test_each_of_the_two_rates_works_alone(hidden: float, probabilities: float):
    model = small_model(hidden=hidden, probabilities=probabilities)
    dropped, kept = hidden_states(model, jax.random.key(0)), hidden_states(model)
    changed = [not np.allclose(*states, atol=1e-3) for states in zip(dropped, kept, strict=True)]
    assert changed == [hidden > 0.0, True, True]


def test_rates_of_zero_drop_nothing_even_with_a_key():
    model = small_model(hidden=0.0, probabilities=0.0)
    np.testing.assert_array_equal(hidden_states(model, jax.random.key(0))[-1], hidden_states(model)[-1])


def test_every_place_and_every_layer_draws_with_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch):
    drawn: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def watched(values: Array, rate: float, key: Array | None) -> Array:
        drawn.append((values.shape, tuple(jax.random.key_data(key).tolist())))
        return dropout(values, rate, key)

    for module in (attention, embeddings, feed_forward):
        monkeypatch.setattr(module, "dropout", watched)
    hidden_states(small_model(), jax.random.key(0))
    assert [shape for shape, _ in drawn] == [(10, 12)] + [(2, 4, 5, 5), (10, 12), (10, 12)] * 2
    assert len({key for _, key in drawn}) == len(drawn)


def test_the_kept_values_keep_the_mean():
    values = jnp.asarray(np.random.default_rng(0).normal(3.0, 1.0, 200_000), jnp.float32)
    dropped = np.asarray(dropout(values, 0.3, jax.random.key(0)))
    assert (dropped == 0.0).mean() == pytest.approx(0.3, abs=5e-3)
    assert dropped.mean() == pytest.approx(float(values.mean()), rel=1e-2)
    kept = dropped != 0.0
    np.testing.assert_allclose(dropped[kept], np.asarray(values)[kept] / 0.7, rtol=1e-6)


def test_a_rate_of_one_drops_everything():
    np.testing.assert_array_equal(dropout(jnp.ones(50), 1.0, jax.random.key(0)), np.zeros(50))


def test_the_probabilities_a_tap_sees_are_those_before_dropout():
    seen = {}
    small_model(hidden=0.0)(IDS, dropout_key=jax.random.key(0), tap=lambda name, value: seen.setdefault(name, value))
    np.testing.assert_allclose(seen["layers.0.attention.probabilities"].sum(axis=-1), 1.0, atol=1e-6)


def test_a_key_is_split_into_keys_that_differ_and_no_key_into_none():
    assert split_key(None, 3) == [None, None, None]
    assert len({tuple(jax.random.key_data(key).tolist()) for key in split_key(jax.random.key(0), 3)}) == 3


def test_the_numbers_are_those_of_jaxs_own_generator():
    key = jnp.array([3, 0xFFFFFFFE], jnp.uint32)
    counts = jnp.arange(7, 1007, dtype=jnp.uint32)
    # JAX numbers a block by two words, one from each half of the array; ours leaves the second at zero.
    expected = jax.extend.random.threefry_2x32(key, jnp.concatenate([counts, jnp.zeros_like(counts)]))
    np.testing.assert_array_equal(jnp.concatenate(threefry(key, counts)), expected)


@pytest.mark.parametrize("shape", [(5,), (3, 1), (2, 3, 7), (4, 8)])
def test_a_mask_has_the_shape_that_is_asked_for_and_its_rows_do_not_depend_on_how_many_there_are(shape: tuple[int, ...]):
    mask = kept(jax.random.key(1), 0.5, shape)
    assert mask.shape == shape
    longer = kept(jax.random.key(1), 0.5, (shape[0] + 2, *shape[1:]))
    assert len(shape) == 1 or np.array_equal(longer[: shape[0]], mask)


@pytest.mark.parametrize("key", [jax.random.PRNGKey(3), jax.random.key(3, impl="rbg")], ids=["old style", "rbg"])
def test_keys_of_other_kinds_serve_too(key: Array):
    assert abs(float(kept(key, 0.25, (200, 100)).mean()) - 0.75) < 0.02


def test_old_style_keys_draw_what_new_ones_do():
    np.testing.assert_array_equal(kept(jax.random.PRNGKey(3), 0.25, (9, 9)), kept(jax.random.key(3), 0.25, (9, 9)))


@pytest.mark.parametrize("shape", [(8, 3, 5), (8, 7), (4, 2, 6, 6)])
def test_parts_of_an_array_keep_what_the_whole_does(shape: tuple[int, ...]):
    key, parts = jax.random.key(3), 4
    of_parts = [key_of_part(key, jnp.int32(part)) for part in range(parts)]
    part_shape = (shape[0] // parts, *shape[1:])
    for one, others in [
        (key, of_parts),
        (split_key(key, 3)[1], [split_key(of_part, 3)[1] for of_part in of_parts]),
        (jax.random.fold_in(key, 9), [jax.random.fold_in(of_part, 9) for of_part in of_parts]),
    ]:
        whole = kept(one, 0.3, shape)
        np.testing.assert_array_equal(np.concatenate([kept(other, 0.3, part_shape) for other in others]), whole)
        assert 0 < whole.sum() < whole.size


def test_what_jax_draws_from_the_keys_of_two_parts_is_independent():
    first, second = (key_of_part(jax.random.key(0), jnp.int32(part)) for part in range(2))
    one, other = (np.asarray(jax.random.normal(key, (4000,))) for key in (first, second))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.06
    assert abs(one.mean()) < 0.06 and abs(one.std() - 1.0) < 0.05


def test_parts_draw_from_another_generator_too():
    keys = [key_of_part(jax.random.key(0, impl="rbg"), jnp.int32(part)) for part in range(2)]
    first, second = (np.asarray(kept(key, 0.5, (64,))) for key in keys)
    assert not np.array_equal(first, second)
