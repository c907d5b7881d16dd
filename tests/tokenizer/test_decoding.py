import numpy as np
import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer.decoding import covered_text, joined_tokens


@pytest.mark.parametrize(
    ("tokens", "as_it_is", "by_token", "cleaned_up"),
    [
        ("", "", "", ""),
        ("the cat ##s", "the cats", "the cats", "the cats"),
        ("##s cat", "##s cat", "##s cat", "##s cat"),
        ("hello , world !", "hello , world !", "hello, world!", "hello, world!"),
        ("isn ' t it ?", "isn ' t it ?", "isn ' t it?", "isn't it?"),
        ("we 've do not", "we 've do not", "we've do not", "we've do not"),
        ("3 . 5 %", "3 . 5 %", "3. 5 %", "3. 5 %"),
    ],
)
def test_tokens_are_joined_with_as_much_cleaning_up_as_asked_for(tokens: str, as_it_is: str, by_token: str, cleaned_up: str):
    found = [joined_tokens(tokens.split(), clean_up) for clean_up in (False, None, True)]
    assert found == [as_it_is, by_token, cleaned_up]


@pytest.mark.parametrize(
    ("offsets", "covered"),
    [
        ([], ""),
        ([(0, 0)], ""),
        ([(0, 1)], "N"),
        ([(0, 0), (2, 4), (4, 5), (0, 0)], "ïv,"),
        (np.array([[4, 5], [2, 4]], np.int32), "ïv,"),
    ],
)
def test_offsets_cover_a_slice_of_the_text(offsets, covered: str):
    assert covered_text("Naïv,ve", offsets) == covered


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([(0, 11)], "reaches from 0 to 11 in a text of 7 characters"),
        ([(-1, 2)], "reaches from -1"),
        ([(5, 2)], "reaches from 5 to 2"),
        ([(0, 1, 2)], r"the shape \[1, 3\]"),
        ([1, 2], r"the shape \[2\]"),
        ([(0, 1), (2,)], "rows of different lengths"),
        ([(0.0, 1.0)], "an array of float64"),
    ],
)
def test_offsets_of_something_else_are_an_error(offsets, message: str):
    with pytest.raises(TokenizerError, match=message):
        covered_text("Naïv,ve", offsets)
