import numpy as np
import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer.arguments import BatchOptions, batch_options, texts_and_pairs


def options(
    padding: bool | str = "longest",
    truncation: bool | str = False,
    max_length: int | None = None,
    multiple: int | None = None,
    model_maximum: int | None = 512,
) -> BatchOptions:
    return batch_options(padding, truncation, max_length, multiple, model_maximum)


@pytest.mark.parametrize(
    ("texts", "pairs", "expected"),
    [
        ("a", None, (["a"], None)),
        ("a", "b", (["a"], ["b"])),
        (["a", "b"], None, (["a", "b"], None)),
        (("a", "b"), None, (["a", "b"], None)),
        (["a", "b"], ("c", "d"), (["a", "b"], ["c", "d"])),
        ([("a", "b"), ("c", "")], None, (["a", "c"], ["b", ""])),
        (np.array(["a", "b"]), None, (["a", "b"], None)),
    ],
)
def test_texts_come_alone_in_sequences_and_in_pairs(texts, pairs, expected):
    assert texts_and_pairs(texts, pairs) == expected


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_batch_is_an_error(empty):
    with pytest.raises(TokenizerError, match="an empty batch"):
        texts_and_pairs(empty, None)


@pytest.mark.parametrize(
    ("texts", "pairs", "message"),
    [
        (None, None, "texts is of the type NoneType"),
        (b"a", None, "texts is of the type bytes"),
        (3, None, "texts is of the type int"),
        ({"a": 1}, None, "texts is of the type dict"),
        (["a", None], None, r"texts\[1\] is of the type NoneType"),
        (["a", b"b"], None, r"texts\[1\] is of the type bytes"),
        ([float("nan")], None, r"texts\[0\] is of the type float"),
        ([["a", "b"]], None, r"texts\[0\] is of the type list"),
        (["a", ("a", "b")], None, r"texts\[1\] is of the type tuple"),
        ([("a", "b", "c")], None, r"texts\[0\] is a tuple of 3"),
        ([("a", None)], None, r"texts\[0\]\[1\] is of the type NoneType"),
        ("a", ["b"], "the second text is of the type list"),
        (["a"], "b", "text_pairs is one string"),
        (["a"], ["b", "c"], "texts has 1 texts and text_pairs 2"),
        (["a"], [7], r"text_pairs\[0\] is of the type int"),
        ([("a", "b")], ["c"], r"texts\[0\] is of the type tuple"),
    ],
)
def test_what_is_no_text_is_an_error_that_names_its_place(texts, pairs, message: str):
    with pytest.raises(TokenizerError, match=message):
        texts_and_pairs(texts, pairs)


def test_half_of_a_surrogate_pair_is_an_error_that_names_its_position():
    with pytest.raises(TokenizerError, match=r"texts\[1\] has half of a surrogate pair, U\+D83D, at position 2"):
        texts_and_pairs(["a", "é \ud83d"], None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, BatchOptions("longest", None, None, 1)),
        ({"padding": True}, BatchOptions("longest", None, None, 1)),
        ({"padding": False}, BatchOptions(None, None, None, 1)),
        ({"padding": "max_length"}, BatchOptions("max_length", None, 512, 1)),
        ({"truncation": True}, BatchOptions("longest", "longest_first", 512, 1)),
        ({"truncation": "only_second", "max_length": 9}, BatchOptions("longest", "only_second", 9, 1)),
        ({"multiple": 8}, BatchOptions("longest", None, None, 8)),
    ],
)
def test_options_default_to_the_model_maximum_and_to_padding_to_the_longest(given, expected):
    assert options(**given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"padding": "left"}, "padding is 'left'; expected True, False, 'longest' or 'max_length'"),
        ({"truncation": "longest"}, "truncation is 'longest'; expected True, False"),
        ({"max_length": 0, "truncation": True}, "max_length is 0"),
        ({"max_length": True, "truncation": True}, "max_length is True"),
        ({"multiple": 0}, "pad_to_multiple_of is 0"),
        ({"multiple": 8, "padding": False}, "pad_to_multiple_of has no effect"),
        ({"max_length": 9}, "max_length=9 has no effect by itself"),
        ({"truncation": True, "model_maximum": None}, "give max_length"),
        ({"padding": "max_length", "model_maximum": None}, "give max_length"),
        ({"truncation": True, "max_length": 9, "multiple": 8}, "no multiple of pad_to_multiple_of=8"),
    ],
)
def test_options_that_do_not_exist_or_contradict_each_other_are_errors(given, message: str):
    with pytest.raises(TokenizerError, match=message):
        options(**given)
