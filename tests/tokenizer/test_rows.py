"""Rows of tokens; where the shorter way of `plain_rows` makes them too, both give the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.errors import TokenizerError
from minibert.tokenizer.int32_bytes import int32_bytes, int32_list
from minibert.tokenizer.plain_rows import plain_arrays, plain_lists, plain_rows
from minibert.tokenizer.rows import SHARED_LENGTHS, SHARED_STARTS, Rows, common_width, lay_out, lists
from minibert.tokenizer.token_table import TokenTable, edges_between
from minibert.tokenizer.truncation import RowParts, row_parts

PLAIN_KEYS = ["token_type_ids", "attention_mask"]
EVERY_KEY = [*PLAIN_KEYS, "special_tokens_mask", "offset_mapping", "word_ids"]


def table(*texts: list[int], start: int = 0) -> TokenTable:
    """Tokens of two characters, of which they cover the first; every token is a word."""
    lengths = np.array([len(ids) for ids in texts])
    places = np.concatenate([np.arange(length) for length in lengths])
    columns = {
        "input_ids": np.array([token_id for ids in texts for token_id in ids]),
        "offset_mapping": np.stack([places * 2 + start, places * 2 + start + 1], axis=1),
        "word_ids": places,
    }
    return TokenTable(edges_between(lengths), {key: column.astype(np.int32) for key, column in columns.items()})


def rows(first: TokenTable, second: TokenTable | None = None, special_ids: tuple[int, int] | None = (1, 2)) -> Rows:
    return Rows(row_parts(first.lengths, None if second is None else second.lengths, None), first, second, special_ids)


def columns(given: Rows, keys: list[str] = PLAIN_KEYS) -> dict[str, list]:
    return {name: column.tolist() for name, column in lay_out(given, keys, None, "right", 9).items()}


def test_a_row_is_classification_text_separator():
    assert columns(rows(table([5, 6]))) == {
        "input_ids": [1, 5, 6, 2],
        "token_type_ids": [0, 0, 0, 0],
        "attention_mask": [1, 1, 1, 1],
    }


def test_a_pair_has_token_type_1_from_the_second_text_on():
    found = columns(rows(table([5], [8]), table([6, 7], [9])))
    assert found["input_ids"] == [1, 5, 2, 6, 7, 2, 1, 8, 2, 9, 2]
    assert found["token_type_ids"] == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]


def test_an_empty_second_text_still_has_its_separator():
    found = columns(rows(table([5]), table([])))
    assert (found["input_ids"], found["token_type_ids"]) == ([1, 5, 2, 2], [0, 0, 0, 1])


def test_without_special_tokens_the_texts_stand_alone():
    found = columns(rows(table([5], []), table([6, 7], []), special_ids=None))
    assert (found["input_ids"], found["token_type_ids"]) == ([5, 6, 7], [0, 1, 1])


def test_special_tokens_have_no_place_and_no_word():
    found = columns(rows(table([5, 6], start=3), table([7])), EVERY_KEY)
    assert found["special_tokens_mask"] == [1, 0, 0, 1, 0, 1]
    assert found["offset_mapping"] == [[0, 0], [3, 4], [5, 6], [0, 0], [0, 1], [0, 0]]
    assert found["word_ids"] == [-1, 0, 1, -1, 0, -1]


def test_a_text_may_make_several_rows_of_some_of_its_tokens():
    parts = RowParts(np.array([1, 0, 1]), np.array([[2, 4], [0, 1], [0, 2]]), None)
    found = columns(Rows(parts, table([5], [6, 7, 8, 9]), None, (1, 2)), EVERY_KEY)
    assert found["input_ids"] == [1, 8, 9, 2, 1, 5, 2, 1, 6, 7, 2]
    assert found["word_ids"] == [-1, 2, 3, -1, -1, 0, -1, -1, 0, 1, -1]


TWO_ROWS = rows(table([5, 6], []))


@pytest.mark.parametrize("side", ["right", "left"])
def test_rows_are_filled_up_on_either_side(side: str):
    batch = lay_out(TWO_ROWS, EVERY_KEY, 5, side, 9)
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
    assert {name: batch[name].reshape(2, 5).tolist() for name in expected} == expected
    assert batch["offset_mapping"].shape == (10, 2)
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}


def test_lists_have_tuples_and_no_word_where_arrays_have_minus_one():
    batch = lists(lay_out(TWO_ROWS, EVERY_KEY, None, "right", 9), TWO_ROWS.lengths)
    assert batch["input_ids"] == [[1, 5, 6, 2], [1, 2]]
    assert batch["offset_mapping"] == [[(0, 0), (0, 1), (2, 3), (0, 0)], [(0, 0), (0, 0)]]
    assert batch["word_ids"] == [[None, 0, 1, None], [None, None]]


def test_offsets_are_right_within_and_beyond_those_that_are_shared():
    starts = np.array([0, SHARED_STARTS - 1, SHARED_STARTS, 0, 3, 10**9], np.int32)
    lengths = np.array([0, SHARED_LENGTHS - 1, 1, SHARED_LENGTHS, 10**9, 1], np.int32)
    found = lists({"offset_mapping": np.stack([starts, starts + lengths], axis=1)}, np.array([6]))["offset_mapping"][0]
    assert found == list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))


@given(
    texts=st.lists(st.lists(st.integers(3, 99), max_size=6), min_size=1, max_size=4),
    special_ids=st.none() | st.just((1, 2)),
    length=st.none() | st.integers(0, 7),
    more=st.none() | st.integers(0, 3),
    side=st.sampled_from(["right", "left"]),
    keys=st.sets(st.sampled_from(PLAIN_KEYS)),
)
def test_the_shorter_way_makes_the_same_rows(texts, special_ids, length, more, side, keys):
    cut = [ids[:length] for ids in texts]
    whole = rows(table(*cut), None, special_ids)
    width = None if more is None else int(whole.lengths.max()) + more
    columns = lay_out(whole, [key for key in PLAIN_KEYS if key in keys], width, side, 9)
    row_lengths = whole.lengths if width is None else np.full(len(texts), width)

    found = plain_rows([int32_bytes(ids) for ids in texts], special_ids, length)
    assert plain_lists(found, keys, width, side, 9) == lists(columns, row_lengths)
    if width is not None:
        arrays = plain_arrays(found, whole.lengths, keys, width, side, 9)
        assert list(arrays) == list(columns)
        for key, array in arrays.items():
            assert array.dtype == np.int32
            assert array.flags.writeable
            assert np.array_equal(array, columns[key].reshape(len(texts), width))


@pytest.mark.parametrize(
    ("max_length", "multiple", "width"),
    [(None, 1, 3), (None, 8, 8), (5, 1, 5), (5, 4, 8)],
)
def test_the_width_is_the_longest_row_or_the_given_length_rounded_up(max_length, multiple, width):
    assert common_width(np.array([3, 1]), np.array([0, 1]), max_length, multiple) == width


def test_a_row_over_the_padded_length_is_an_error_that_names_its_text():
    with pytest.raises(TokenizerError, match=r"text\[7\] has 3 tokens, over the 2"):
        common_width(np.array([1, 3]), np.array([6, 7]), 2, 1)


def test_ids_may_be_all_that_is_asked_for():
    assert columns(rows(table([5])), keys=[]) == {"input_ids": [1, 5, 2]}


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=300))
def test_numbers_are_packed_as_int32(numbers: list[int]):
    assert np.frombuffer(int32_bytes(numbers), np.int32).tolist() == int32_list(int32_bytes(numbers)) == numbers
