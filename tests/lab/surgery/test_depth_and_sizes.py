"""Layers left out, repeated and shared; more and fewer words and positions."""

from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import pytest
from changed_models import tokenizer_in, trained, with_head
from flax import nnx
from small_lab import small_batch, small_model

import minibert
from minibert import BertWithHeads, ConfigError, InputError, lab
from minibert.model.encoder import Layer
from minibert.model.heads import new_head

BATCH = small_batch()


def states(model: minibert.Bert) -> list[np.ndarray]:
    return [np.asarray(each) for each in model(**BATCH, output_hidden_states=True).hidden_states]


def test_without_its_last_layers_a_model_gives_what_it_had_there(tmp_path: Path):
    model = small_model()
    shorter = lab.with_layers(model, [0, 1])
    np.testing.assert_array_equal(states(shorter)[-1], states(model)[2])
    minibert.save(shorter, tokenizer_in(tmp_path), tmp_path / "short")
    again = minibert.load(tmp_path / "short")
    assert again.config.num_hidden_layers == 2
    np.testing.assert_array_equal(states(again)[-1], states(model)[2])


@pytest.mark.long
def test_a_repeated_layer_works_twice_and_learns_by_itself():
    model = lab.with_layers(with_head(), [0, 0, 2])
    first, second, _ = model.bert.encoder.layers
    np.testing.assert_array_equal(first.attention.query.kernel[...], second.attention.query.kernel[...])
    learned, _ = trained(model)
    first, second, _ = learned.bert.encoder.layers
    assert np.abs(first.attention.query.kernel[...] - second.attention.query.kernel[...]).max() > 1e-3


def test_a_shared_layer_gives_what_a_repeated_one_gives_and_has_its_parameters_once():
    model = small_model()
    shared, repeated = lab.with_layers(model, [2, 0, 0, 2], shared=True), lab.with_layers(model, [2, 0, 0, 2])
    for one, other in zip(states(shared), states(repeated), strict=True):
        np.testing.assert_array_equal(one, other)
    layer = sum(leaf.size for leaf in jax.tree.leaves(model.encoder.layers[0]))
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(each)) for each in (shared, repeated)]
    assert sizes[1] - sizes[0] == 2 * layer
    assert sum(isinstance(part, Layer) for _, part in nnx.iter_graph(shared)) == 2


@pytest.mark.long
def test_the_gradient_of_a_shared_layer_is_the_sum_over_its_steps():
    model = small_model(dtype="float32")

    def loss(model: minibert.Bert) -> jax.Array:
        return (model(**BATCH).last_hidden_state[:, 0] ** 2).sum()

    shared = jax.grad(loss)(lab.with_layers(model, [1, 1], shared=True)).encoder.layers[0].feed_forward.projection.kernel[...]
    repeated = jax.grad(loss)(lab.with_layers(model, [1, 1])).encoder.layers
    both = sum(np.asarray(layer.feed_forward.projection.kernel[...]) for layer in repeated)
    np.testing.assert_allclose(shared, both, atol=1e-4 * np.abs(both).max())


def test_numbers_of_numpy_will_do(without_shape_checks: None):
    assert lab.with_layers(small_model(), np.asarray([0, 2])).config.num_hidden_layers == 2
    with pytest.raises(InputError, match="layers is 3; expected some of the numbers from 0 to 2"):
        lab.with_layers(small_model(), 3)


@pytest.mark.usefixtures("without_shape_checks")
def test_layers_that_there_are_not_are_refused():
    model = small_model()
    for layers in ([], [3], [-1], [True]):
        with pytest.raises(InputError, match=r"expected some of the numbers from 0 to 2"):
            lab.with_layers(model, layers)
    with pytest.raises(InputError, match="shared is 'False'; expected True or False"):
        lab.with_layers(model, [0, 0], shared=cast(Any, "False"))
    with pytest.raises(InputError, match="the layers of this model are shared already"):
        lab.with_layers(lab.with_layers(model, [0, 0], shared=True), [0])


def test_more_words_leave_the_old_ones_as_they_were(tmp_path: Path):
    bert = small_model()
    model = BertWithHeads(bert, {"masked_lm": new_head("masked_lm", bert.config, 0, 0.0, rngs=nnx.Rngs(1))})
    larger = lab.resized(model, vocab_size=33)
    assert larger.bert.embeddings.word[...].shape == (33, 16) and larger.config.vocab_size == 33
    np.testing.assert_allclose(larger(**BATCH).logits[..., :30], model(**BATCH).logits, atol=1e-5)
    assert larger(input_ids=np.asarray([[32]])).logits.shape == (1, 1, 33)
    smaller = lab.resized(larger, vocab_size=30)
    np.testing.assert_allclose(smaller(**BATCH).logits, model(**BATCH).logits, atol=1e-5)
    minibert.save(smaller, tokenizer_in(tmp_path), tmp_path / "saved")
    assert minibert.load(tmp_path / "saved", head="masked_lm").config.vocab_size == 30


def test_a_new_word_is_as_large_as_the_others():
    larger = lab.resized(small_model(), vocab_size=2030)
    table = np.asarray(larger.embeddings.word[...])
    np.testing.assert_allclose(table[30:].mean(axis=0), table[:30].mean(axis=0), atol=0.05)
    np.testing.assert_allclose(table[30:].std(axis=0), table[:30].std(axis=0), rtol=0.1)


@pytest.mark.parametrize("positions", ["repeated", "interpolated", "random"])
def test_more_positions_take_longer_texts(positions: str):
    model = small_model()
    longer = lab.resized(model, max_position_embeddings=31, positions=positions)
    table, old = (np.asarray(each.embeddings.position[...]) for each in (longer, model))
    assert longer(input_ids=np.ones((1, 31), np.int32)).last_hidden_state.shape == (1, 31, 16)
    if positions == "interpolated":
        np.testing.assert_allclose(table[::2], old, atol=1e-6)
        np.testing.assert_allclose(table[1], (old[0] + old[1]) / 2, atol=1e-6)
    else:
        np.testing.assert_array_equal(table[:16], old)
        assert (positions == "repeated") == np.array_equal(table[16:], old[:15])


def test_fewer_positions_are_the_first_and_a_model_without_a_table_takes_any_number():
    model = small_model()
    np.testing.assert_array_equal(
        lab.resized(model, max_position_embeddings=6).embeddings.position[...], model.embeddings.position[...][:6]
    )
    without = lab.swapped(model, "embeddings", lab.EmbeddingsWithoutPositions)
    assert lab.resized(without, max_position_embeddings=40)(input_ids=np.ones((1, 40), np.int32)).last_hidden_state.shape[1] == 40


def test_sizes_that_make_no_sense_are_refused():
    model = small_model()
    with pytest.raises(InputError, match="no size was given"):
        lab.resized(model)
    with pytest.raises(InputError, match="positions is 'stretched'; expected one of repeated, interpolated, random"):
        lab.resized(model, max_position_embeddings=20, positions="stretched")
    with pytest.raises(InputError, match="vocab_size is 0; expected a whole number from 1 up"):
        lab.resized(model, vocab_size=0)
    with pytest.raises(ConfigError, match="vocab_size is 2147483647"):
        lab.resized(model, vocab_size=2147483647)


@pytest.mark.long
def test_a_changed_model_learns_in_its_new_size():
    _, losses = trained(lab.with_layers(lab.resized(with_head(), vocab_size=64, max_position_embeddings=20), [2, 1]))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
