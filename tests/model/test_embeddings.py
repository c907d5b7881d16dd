"""The sum of word, token type and position, and what becomes of an index outside its table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from minibert import Bert, BertConfig, BertOutput
from minibert.model.embeddings import Embeddings

CONFIG = BertConfig(
    vocab_size=11,
    hidden_size=6,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=7,
    max_position_embeddings=5,
    type_vocab_size=3,
    initializer_range=0.5,
)
IDS = np.array([[1, 2, 3], [10, 0, 4]], np.int32)
TYPES = np.array([[0, 1, 2], [2, 2, 0]], np.int32)
POSITIONS = np.array([[4, 0, 1], [0, 1, 2]], np.int32)


def seen_by_the_tap(embeddings: Embeddings) -> dict[str, np.ndarray]:
    seen = {}
    embeddings(
        *(jnp.asarray(part) for part in (IDS, TYPES, POSITIONS)),
        tap=lambda name, value: seen.setdefault(name, value),
    )
    return {name: np.asarray(value) for name, value in seen.items()}


def test_every_index_takes_its_row_of_its_table():
    embeddings = Embeddings(CONFIG, rngs=nnx.Rngs(0))
    seen = seen_by_the_tap(embeddings)
    np.testing.assert_array_equal(seen["word"], np.asarray(embeddings.word[...])[IDS])
    np.testing.assert_array_equal(seen["token_type"], np.asarray(embeddings.token_type[...])[TYPES])
    np.testing.assert_array_equal(seen["position"], np.asarray(embeddings.position[...])[POSITIONS])


def test_the_token_type_is_added_before_the_position():
    embeddings = Embeddings(CONFIG, rngs=nnx.Rngs(0))
    # In float32 1e8 − 1e8 + 1 is 1, while 1e8 + 1 − 1e8 is 0.
    for table, value in ((embeddings.word, 1e8), (embeddings.token_type, -1e8), (embeddings.position, 1.0)):
        table.set_value(jnp.full_like(table[...], value))
    np.testing.assert_array_equal(seen_by_the_tap(embeddings)["sum"], np.ones((2, 3, 6), np.float32))


def test_the_rows_are_batch_major():
    embeddings = Embeddings(CONFIG, rngs=nnx.Rngs(0))
    rows = embeddings(*(jnp.asarray(part) for part in (IDS, TYPES, POSITIONS)))
    np.testing.assert_array_equal(rows, seen_by_the_tap(embeddings)["output"].reshape(6, 6))


@jax.jit
def compiled_by_the_caller(model: Bert, batch: dict[str, np.ndarray]) -> BertOutput:
    return model(**batch, output_hidden_states=True)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("input_ids", 11),
        ("input_ids", 2**31 - 1),
        ("input_ids", -1),
        ("input_ids", -11),
        ("token_type_ids", 3),
        ("token_type_ids", -1),
        ("position_ids", 5),
        ("position_ids", -2),
    ],
)
def test_under_a_callers_jit_an_index_outside_its_table_becomes_nan(name: str, index: int):
    model = Bert(CONFIG, rngs=nnx.Rngs(0))
    batch = {"input_ids": IDS, "token_type_ids": TYPES, "position_ids": POSITIONS}
    wrong = batch[name].copy()
    wrong[1, 2] = index
    embedded = compiled_by_the_caller(model, batch | {name: wrong}).hidden_states[0]
    is_nan = np.isnan(embedded).all(axis=-1)
    np.testing.assert_array_equal(is_nan, [[False] * 3, [False, False, True]])
    assert np.isnan(embedded).sum() == CONFIG.hidden_size


def test_under_a_callers_jit_a_wrong_id_leaves_the_other_texts_alone():
    model = Bert(CONFIG, rngs=nnx.Rngs(0))
    wrong = IDS.copy()
    wrong[1, 2] = 11
    batch = {"input_ids": IDS, "token_type_ids": TYPES, "position_ids": POSITIONS}
    output = compiled_by_the_caller(model, batch | {"input_ids": wrong}).last_hidden_state
    np.testing.assert_array_equal(output[0], compiled_by_the_caller(model, batch).last_hidden_state[0])
    assert np.isnan(output[1]).all()
