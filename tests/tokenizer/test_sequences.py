import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.errors import TokenizerError
from minibert.tokenizer.sequences import Row, common_width, pad, plain_row, row, truncate, truncated_lengths


@pytest.mark.parametrize(
    ("first", "second", "budget", "kept"),
    [
        (3, 3, 6, (3, 3)),
        (2, 9, 7, (2, 5)),
        (9, 2, 7, (5, 2)),
        (9, 9, 8, (4, 4)),
        (8, 9, 7, (3, 4)),
        (9, 9, 7, (3, 4)),
        (9, 8, 7, (4, 3)),
        (1, 6, 1, (0, 1)),
        (6, 1, 1, (1, 0)),
        (5, 6, 0, (0, 0)),
        (9, None, 4, (4, 0)),
    ],
)
def test_longest_first_keeps(first: int, second: int | None, budget: int, kept: tuple[int, int]):
    assert truncated_lengths(first, second, budget, "longest_first") == kept


@given(st.integers(0, 50), st.none() | st.integers(0, 50), st.integers(0, 100))
def test_longest_first_never_wastes_a_token_and_never_cuts_the_shorter_text_alone(first, second, budget):
    kept = truncated_lengths(first, second, budget, "longest_first")
    assert sum(kept) == min(budget, first + (second or 0))
    assert kept[0] <= first
    assert kept[1] <= (second or 0)


def test_only_first_cuts_the_first_text():
    assert truncated_lengths(9, 4, 8, "only_first") == (4, 4)


def test_only_second_cuts_the_second_text():
    assert truncated_lengths(4, 9, 8, "only_second") == (4, 4)


@pytest.mark.parametrize(("first", "second", "strategy"), [(3, 9, "only_first"), (9, 3, "only_second")])
def test_a_text_that_would_be_cut_away_is_an_error(first: int, second: int, strategy: str):
    with pytest.raises(TokenizerError, match=r"4 tokens have to go.*may cut only a text of 3"):
        truncated_lengths(first, second, 8, strategy)


def test_only_second_without_a_second_text_is_an_error():
    with pytest.raises(TokenizerError, match="no second text"):
        truncated_lengths(9, None, 8, "only_second")


def test_a_length_below_the_special_tokens_is_an_error_that_names_the_row():
    with pytest.raises(TokenizerError, match=r"texts\[4\]: max_length=2 does not hold the 3 special tokens"):
        truncate([1], [2], 2, 3, "longest_first", where="texts[4]")


def test_a_row_is_classification_text_separator():
    assert row([5, 6], None, classification_id=1, separator_id=2) == Row([1, 5, 6, 2], [0, 0, 0, 0])


def test_a_pair_has_token_type_1_from_the_second_text_on():
    assert row([5], [6, 7], classification_id=1, separator_id=2) == Row([1, 5, 2, 6, 7, 2], [0, 0, 0, 1, 1, 1])


def test_an_empty_second_text_still_has_its_separator():
    assert row([5], [], classification_id=1, separator_id=2) == Row([1, 5, 2, 2], [0, 0, 0, 1])


def test_a_plain_row_has_the_texts_alone():
    assert plain_row([5], [6, 7]) == Row([5, 6, 7], [0, 1, 1])


def test_padding_fills_ids_and_leaves_mask_and_token_types_zero():
    batch = pad([Row([1, 2, 3], [0, 1, 1]), Row([1], [0])], width=4, padding_id=9)
    assert {name: array.tolist() for name, array in batch.items()} == {
        "input_ids": [[1, 2, 3, 9], [1, 9, 9, 9]],
        "token_type_ids": [[0, 1, 1, 0], [0, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 0], [1, 0, 0, 0]],
    }
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}


ROWS = [Row([1, 2, 3], [0, 0, 0]), Row([1], [0])]


@pytest.mark.parametrize(
    ("padding", "max_length", "multiple", "width"),
    [("longest", None, 1, 3), ("longest", None, 8, 8), ("max_length", 5, 1, 5), ("max_length", 5, 4, 8)],
)
def test_the_width_is_the_longest_row_or_the_given_length_rounded_up(padding, max_length, multiple, width):
    assert common_width(ROWS, padding, max_length, multiple) == width


def test_unequal_rows_without_padding_are_an_error():
    with pytest.raises(TokenizerError, match="from 1 to 3 tokens, and padding=False"):
        common_width(ROWS, None, None, 1)


def test_a_row_over_the_padded_length_is_an_error_that_names_it():
    with pytest.raises(TokenizerError, match=r"texts\[0\] has 3 tokens, over the 2"):
        common_width(ROWS, "max_length", 2, 1)
