"""What a model refuses, and that the message names the argument and the place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from minibert import Bert, BertConfig, InputError
from minibert.model.inputs import check_inputs

pytestmark = pytest.mark.usefixtures("without_shape_checks")

IDS = np.array([[1, 2, 3], [4, 5, 0]])
MASK = np.array([[1, 1, 1], [1, 1, 0]])


@pytest.fixture(scope="module")
def model() -> Bert:
    config = BertConfig(
        vocab_size=11,
        hidden_size=6,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=7,
        max_position_embeddings=5,
    )
    return Bert(config, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"input_ids": [[1, 2, 3], [4, 11, 0]]}, r"input_ids\[1, 1\] is 11; vocab_size = 11"),
        ({"input_ids": [[1, 2, 3], [4, 5, -1]]}, r"input_ids\[1, 2\] is -1; vocab_size = 11"),
        ({"input_ids": np.array([[2**63, 2, 3], [4, 5, 6]], np.uint64)}, r"input_ids\[0, 0\] is 9223372036854775808"),
        ({"input_ids": np.array([[2**32 + 1, 2, 3], [4, 5, 6]])}, r"input_ids\[0, 0\] is 4294967297"),
        ({"input_ids": [[2**70, 2, 3], [4, 5, 6]]}, "input_ids has dtype object"),
        ({"token_type_ids": [[0, 1, 1], [0, 2, 0]]}, r"token_type_ids\[1, 1\] is 2; type_vocab_size = 2"),
        ({"token_type_ids": [[0, 1, 1], [-1, 0, 0]]}, r"token_type_ids\[1, 0\] is -1"),
        ({"position_ids": [[0, 1, 5], [0, 1, 2]]}, r"position_ids\[0, 2\] is 5; max_position_embeddings = 5"),
        ({"position_ids": [[0, 1, 2], [0, 1, -1]]}, r"position_ids\[1, 2\] is -1"),
        ({"attention_mask": [[1, 2, 1], [1, 1, 0]]}, r"attention_mask\[0, 1\] is 2"),
        ({"attention_mask": [[1, 1, 1], [1, 1, -1]]}, r"attention_mask\[1, 2\] is -1"),
    ],
)
def test_a_value_outside_its_table_is_named_with_its_place(model: Bert, wrong: dict, message: str):
    with pytest.raises(InputError, match=message):
        model(**({"input_ids": IDS, "attention_mask": MASK} | wrong))


@pytest.mark.parametrize("name", ["attention_mask", "token_type_ids", "position_ids"])
@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (1, 3), (3,), (2, 3, 1), (2, 1, 1, 3)])
def test_an_array_of_another_shape_than_the_ids_is_named(model: Bert, name: str, shape: tuple[int, ...]):
    with pytest.raises(InputError, match=rf"{name} has shape \[{', '.join(map(str, shape))}\]; expected \[2, 3\]"):
        model(IDS, **{name: np.zeros(shape, np.int32)})


@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids", "position_ids"])
@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((2, 3), complex), np.full((2, 3), "a"), [[None] * 3] * 2])
def test_anything_but_integers_is_named_with_its_dtype(model: Bert, name: str, values: object):
    with pytest.raises(InputError, match=f"{name} has dtype"):
        model(**({"input_ids": IDS} | {name: values}))


@pytest.mark.parametrize("text", ["The bank raised rates.", ["A river bank."]])
def test_text_is_sent_to_a_tokenizer(model: Bert, text: object):
    with pytest.raises(InputError, match="input_ids has dtype <U.*Tokenizer"):
        model(text)


@pytest.mark.parametrize("name", ["input_ids", "attention_mask"])
def test_rows_of_different_lengths_are_sent_to_padding(model: Bert, name: str):
    with pytest.raises(InputError, match=f"{name} has rows of different lengths; pad them"):
        model(**({"input_ids": IDS} | {name: [[1, 1, 1], [1, 1]]}))


@pytest.mark.parametrize("empty", [[], [[]], [[], []], np.zeros((0, 5), np.int32), np.zeros((2, 0), np.int32)])
def test_an_empty_batch_is_refused(model: Bert, empty: object):
    with pytest.raises(InputError, match="input_ids"):
        model(empty)


@pytest.mark.parametrize("ids", [np.array([1, 2, 3]), np.int32(3), np.zeros((1, 2, 3), np.int32)])
def test_ids_need_two_axes(model: Bert, ids: object):
    with pytest.raises(InputError, match=r"input_ids has shape \[.*\]; expected \[batch, tokens\]"):
        model(ids)


def test_more_tokens_than_positions_are_refused():
    check_inputs(BertConfig(), np.ones((1, 512), np.int32))
    with pytest.raises(InputError, match="input_ids has 513 tokens in a row.*512 positions"):
        check_inputs(BertConfig(), np.ones((1, 513), np.int32))


def test_more_tokens_than_positions_are_taken_where_the_positions_are_given(model: Bert):
    assert model(np.ones((1, 8), int), position_ids=[[0, 1, 2, 3] * 2]).last_hidden_state.shape == (1, 8, 6)


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.int64, np.uint64])
@pytest.mark.parametrize("made", [np.array, jnp.asarray, np.ndarray.tolist], ids=["numpy", "jax", "list"])
def test_any_kind_of_integer_array_gives_the_same_result(model: Bert, dtype: type, made):
    ids = IDS if dtype != np.bool_ else np.minimum(IDS, 1)
    output = model(made(ids.astype(dtype)), made(MASK.astype(dtype)))
    np.testing.assert_array_equal(output.last_hidden_state, model(ids, MASK).last_hidden_state)


def test_all_kinds_of_integers_become_int32():
    checked = check_inputs(BertConfig(), IDS.astype(np.int64), MASK.astype(bool), IDS.astype(np.uint8) % 2)
    assert {array.dtype for array in checked} == {np.dtype(np.int32)}


def test_the_arrays_given_are_left_as_they_were(model: Bert):
    ids, mask = IDS.copy(), MASK.copy()
    model(ids, mask)
    np.testing.assert_array_equal(ids, IDS)
    np.testing.assert_array_equal(mask, MASK)


def test_shapes_are_checked_under_a_callers_jit_too(model: Bert):
    with pytest.raises(InputError, match="attention_mask has shape"):
        jax.jit(lambda ids, mask: model(ids, mask))(IDS, MASK[:, :2])
    with pytest.raises(InputError, match="input_ids has shape"):
        jax.jit(lambda ids: model(ids))(IDS[0])
