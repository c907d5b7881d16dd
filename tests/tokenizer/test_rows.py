import numpy as np
import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer.rows import SHARED_LENGTHS, SHARED_STARTS, Row, Tokens, common_width, lay_out, lists, padded_arrays

COMMON_KEYS = ("token_type_ids", "attention_mask")
EVERY_KEY = (*COMMON_KEYS, "special_tokens_mask", "offset_mapping", "word_ids")


def tokens(*ids: int, start: int = 0) -> Tokens:
    array = np.array(ids, np.int32)
    places = np.arange(len(ids), dtype=np.int32)
    return Tokens(array, places * 2 + start, places * 2 + start + 1, places)


def columns(*rows: Row, special_ids: tuple[int, int] | None = (1, 2), keys: tuple[str, ...] = COMMON_KEYS) -> dict[str, list]:
    return {name: column.tolist() for name, column in lay_out(rows, special_ids, keys).columns.items()}


def test_a_row_is_classification_text_separator():
    assert columns(Row(Tokens([5, 6]), None)) == {
        "input_ids": [1, 5, 6, 2],
        "token_type_ids": [0, 0, 0, 0],
        "attention_mask": [1, 1, 1, 1],
    }


def test_a_pair_has_token_type_1_from_the_second_text_on():
    found = columns(Row(Tokens([5]), Tokens([6, 7])), Row(Tokens([8]), Tokens([9])))
    assert found["input_ids"] == [1, 5, 2, 6, 7, 2, 1, 8, 2, 9, 2]
    assert found["token_type_ids"] == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]


def test_an_empty_second_text_still_has_its_separator():
    found = columns(Row(Tokens([5]), Tokens([])))
    assert (found["input_ids"], found["token_type_ids"]) == ([1, 5, 2, 2], [0, 0, 0, 1])


def test_without_special_tokens_the_texts_stand_alone():
    found = columns(Row(Tokens([5]), Tokens([6, 7])), Row(Tokens([]), Tokens([])), special_ids=None)
    assert (found["input_ids"], found["token_type_ids"]) == ([5, 6, 7], [0, 1, 1])


def test_special_tokens_have_no_place_and_no_word():
    found = columns(Row(tokens(5, 6, start=3), tokens(7)), keys=EVERY_KEY)
    assert found["special_tokens_mask"] == [1, 0, 0, 1, 0, 1]
    assert found["offset_mapping"] == [[0, 0], [3, 4], [5, 6], [0, 0], [0, 1], [0, 0]]
    assert found["word_ids"] == [-1, 0, 1, -1, 0, -1]


ROWS = (Row(tokens(5, 6), None), Row(tokens(), None))


@pytest.mark.parametrize("side", ["right", "left"])
def test_arrays_are_filled_up_on_either_side(side: str):
    batch = padded_arrays(lay_out(ROWS, (1, 2), EVERY_KEY), 5, side, 9)
    expected = {
        "input_ids": [[1, 5, 6, 2, 9], [1, 2, 9, 9, 9]],
        "token_type_ids": [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]],
        "special_tokens_mask": [[1, 0, 0, 1, 1], [1, 1, 1, 1, 1]],
        "word_ids": [[-1, 0, 1, -1, -1], [-1, -1, -1, -1, -1]],
    }
    if side == "left":
        expected["input_ids"] = [[9, 1, 5, 6, 2], [9, 9, 9, 1, 2]]
        expected["attention_mask"] = [[0, 1, 1, 1, 1], [0, 0, 0, 1, 1]]
        expected["special_tokens_mask"] = [[1, 1, 0, 0, 1], [1, 1, 1, 1, 1]]
        expected["word_ids"] = [[-1, -1, 0, 1, -1], [-1, -1, -1, -1, -1]]
    assert {name: batch[name].tolist() for name in expected} == expected
    assert batch["offset_mapping"].shape == (2, 5, 2)
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}


def test_lists_have_tuples_and_no_word_where_arrays_have_minus_one():
    batch = lists(lay_out(ROWS, (1, 2), EVERY_KEY), None, "right", 9)
    assert batch["input_ids"] == [[1, 5, 6, 2], [1, 2]]
    assert batch["offset_mapping"] == [[(0, 0), (0, 1), (2, 3), (0, 0)], [(0, 0), (0, 0)]]
    assert batch["word_ids"] == [[None, 0, 1, None], [None, None]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_lists_can_be_filled_up_like_arrays(side: str):
    flat = lay_out(ROWS, (1, 2), EVERY_KEY)
    arrays, filled = padded_arrays(flat, 5, side, 9), lists(flat, 5, side, 9)
    for name in ("input_ids", "token_type_ids", "attention_mask", "special_tokens_mask"):
        assert filled[name] == arrays[name].tolist()
    assert filled["offset_mapping"] == [[tuple(pair) for pair in row] for row in arrays["offset_mapping"].tolist()]
    assert filled["word_ids"] == [[None if word == -1 else word for word in row] for row in arrays["word_ids"].tolist()]


def test_offsets_are_right_within_and_beyond_those_that_are_shared():
    starts = np.array([0, SHARED_STARTS - 1, SHARED_STARTS, 0, 3, 10**9], np.int32)
    lengths = np.array([0, SHARED_LENGTHS - 1, 1, SHARED_LENGTHS, 10**9, 1], np.int32)
    row = Row(Tokens(np.zeros(6, np.int32), starts, starts + lengths, np.zeros(6, np.int32)), None)
    found = lists(lay_out([row], None, EVERY_KEY), None, "right", 9)["offset_mapping"][0]
    assert found == list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))


@pytest.mark.parametrize(
    ("max_length", "multiple", "width"),
    [(None, 1, 3), (None, 8, 8), (5, 1, 5), (5, 4, 8)],
)
def test_the_width_is_the_longest_row_or_the_given_length_rounded_up(max_length, multiple, width):
    assert common_width(np.array([3, 1]), [0, 1], max_length, multiple) == width


def test_a_row_over_the_padded_length_is_an_error_that_names_its_text():
    with pytest.raises(TokenizerError, match=r"text\[7\] has 3 tokens, over the 2"):
        common_width(np.array([1, 3]), [6, 7], 2, 1)


def test_ids_may_be_all_that_is_asked_for():
    assert columns(Row(Tokens([5]), None), keys=()) == {"input_ids": [1, 5, 2]}
