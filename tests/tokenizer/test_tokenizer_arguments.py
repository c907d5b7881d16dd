import dataclasses
import inspect

import numpy as np
import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer import Tokenizer
from minibert.tokenizer.arguments import BatchOptions, checked_options, texts_and_pairs, words_and_pairs
from minibert.tokenizer.settings import TokenizerSettings


def options(model_maximum: int | None = 512, **given: object) -> BatchOptions:
    return checked_options(BatchOptions(**given), TokenizerSettings(model_max_length=model_maximum))


def test_the_options_are_those_of_the_call_in_its_order_with_its_defaults():
    parameters = list(inspect.signature(Tokenizer.__call__).parameters.values())[3:]
    fields = [(field.name, field.default) for field in dataclasses.fields(BatchOptions)]
    assert [(parameter.name, parameter.default) for parameter in parameters] == fields


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
        (None, None, "text is of the type NoneType"),
        (b"a", None, "text is of the type bytes"),
        (3, None, "text is of the type int"),
        ({"a": 1}, None, "text is of the type dict"),
        (["a", None], None, r"text\[1\] is of the type NoneType"),
        (["a", b"b"], None, r"text\[1\] is of the type bytes"),
        ([float("nan")], None, r"text\[0\] is of the type float"),
        ([["a", "b"]], None, r"text\[0\] is of the type list"),
        (["a", ("a", "b")], None, r"text\[1\] is of the type tuple"),
        ([("a", "b", "c")], None, r"text\[0\] is a tuple of 3"),
        ([("a", None)], None, r"text\[0\]\[1\] is of the type NoneType"),
        ("a", ["b"], "the second text is of the type list"),
        (["a"], "b", "text_pair is one string"),
        (["a"], ["b", "c"], "text has 1 texts and text_pair 2"),
        (["a"], [7], r"text_pair\[0\] is of the type int"),
        ([("a", "b")], ["c"], r"text\[0\] is of the type tuple"),
    ],
)
def test_what_is_no_text_is_an_error_that_names_its_place(texts, pairs, message: str):
    with pytest.raises(TokenizerError, match=message):
        texts_and_pairs(texts, pairs)


def test_strings_of_a_class_of_the_callers_count_by_their_characters():
    class Shouted(str):
        __hash__ = None

        def split(self):
            return [self.upper()]

    tokenizer = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cats"])
    for text in (Shouted("the cats"), [Shouted("the cats")], [["the", Shouted("cats")]]):
        ids = tokenizer(text, is_split_into_words=isinstance(text, list) and isinstance(text[0], list))["input_ids"]
        assert ids.tolist() == [[2, 5, 6, 3]]
    assert tokenizer.encode(Shouted("the cats")) == [2, 5, 6, 3]


def test_half_of_a_surrogate_pair_is_an_error_that_names_its_position():
    with pytest.raises(TokenizerError, match=r"text\[1\] has half of a surrogate pair, U\+D83D, at position 2"):
        texts_and_pairs(["a", "é \ud83d"], None)


@pytest.mark.parametrize(
    ("given", "padding", "truncation", "max_length"),
    [
        ({}, "longest", False, None),
        ({"padding": True}, "longest", False, None),
        ({"padding": False}, False, False, None),
        ({"padding": "do_not_pad", "truncation": "do_not_truncate"}, False, False, None),
        ({"truncation": None, "return_token_type_ids": None, "return_attention_mask": None}, "longest", False, None),
        ({"padding": "max_length"}, "max_length", False, 512),
        ({"truncation": True}, "longest", "longest_first", 512),
        ({"truncation": "only_second", "max_length": 9}, "longest", "only_second", 9),
        ({"truncation": True, "return_overflowing_tokens": True, "stride": 3}, "longest", "longest_first", 512),
    ],
)
def test_options_default_to_the_model_maximum_and_to_padding_to_the_longest(given, padding, truncation, max_length):
    found = options(**given)
    assert (found.padding, found.truncation, found.max_length) == (padding, truncation, max_length)


def test_sides_default_to_the_settings():
    settings = TokenizerSettings(padding_side="left", truncation_side="left")
    found = checked_options(BatchOptions(truncation_side="right"), settings)
    assert (found.padding_side, found.truncation_side) == ("left", "right")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"padding": "left"}, "padding is 'left'; expected True, False, 'longest' or 'max_length'"),
        ({"truncation": "longest"}, "truncation is 'longest'; expected True, False"),
        ({"max_length": 0, "truncation": True}, "max_length is 0"),
        ({"max_length": True, "truncation": True}, "max_length is True"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of is 0"),
        ({"pad_to_multiple_of": 8, "padding": False}, "pad_to_multiple_of has no effect"),
        ({"stride": 2}, "stride=2 has no effect by itself"),
        ({"stride": 2, "return_overflowing_tokens": True}, "add truncation=True"),
        ({"padding": np.array(["longest", "longest"])}, "padding is array"),
        ({"truncation_side": np.array(["left", "left"])}, "truncation_side is array"),
        ({"return_tensors": np.array(["np", "np"])}, "return_tensors is array"),
        ({"add_special_tokens": "no"}, "add_special_tokens is 'no'; expected True or False"),
        ({"return_offsets_mapping": None}, "return_offsets_mapping is None; expected True or False"),
        ({"is_split_into_words": 1}, "is_split_into_words is 1; expected True or False"),
        ({"stride": -1, "return_overflowing_tokens": True}, "stride is -1"),
        ({"stride": True, "return_overflowing_tokens": True}, "stride is True"),
        ({"padding_side": "top"}, "padding_side is 'top'; expected 'right' or 'left'"),
        ({"truncation_side": "Left"}, "truncation_side is 'Left'"),
        ({"return_tensors": "pt"}, "return_tensors is 'pt'; expected 'np'"),
        ({"max_length": 9}, "max_length=9 has no effect by itself"),
        ({"truncation": True, "model_maximum": None}, "give max_length"),
        ({"padding": "max_length", "model_maximum": 10**12}, "would pad to the model's maximum of 1000000000000 tokens"),
        ({"padding": "max_length", "model_maximum": None}, "give max_length"),
        ({"truncation": True, "max_length": 9, "pad_to_multiple_of": 8}, "no multiple of pad_to_multiple_of=8"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_options_that_do_not_exist_or_contradict_each_other_are_errors(given, message: str):
    with pytest.raises(TokenizerError, match=message):
        options(**given)


@pytest.mark.parametrize(
    ("texts", "pairs", "expected"),
    [
        (["a", "b"], None, ([["a", "b"]], None)),
        (("a", "b"), ["c"], ([["a", "b"]], [["c"]])),
        ([["a", "b"], []], None, ([["a", "b"], []], None)),
        ([["a"], ["b"]], [["c"], ("d", "e")], ([["a"], ["b"]], [["c"], ["d", "e"]])),
        (np.array([["a", "b"]]), None, ([["a", "b"]], None)),
    ],
)
def test_words_come_for_one_text_or_for_several(texts, pairs, expected):
    assert words_and_pairs(texts, pairs) == expected


@pytest.mark.parametrize(
    ("texts", "pairs", "message"),
    [
        ("a b", None, "text is one string where is_split_into_words=True"),
        (None, None, "text is of the type NoneType"),
        ([], None, "empty batch"),
        ([["a"], "b"], None, r"text\[1\] is of the type str; expected the words"),
        ([["a", None]], None, r"text\[0\]\[1\] is of the type NoneType"),
        ([["a"], None], None, r"text\[1\] is of the type NoneType; expected the words"),
        ([[["a"]]], None, r"text\[0\]\[0\] is of the type list"),
        ([["a"], np.array("b")], None, r"text\[1\] is of the type ndarray; expected the words"),
        (["a"], [["b"]], "one of text and text_pair is the words of one text"),
        ([["a"]], [["b"], ["c"]], "text has 1 texts and text_pair 2"),
        (["\ud800"], None, r"text\[0\] has half of a surrogate pair"),
    ],
)
def test_what_are_no_words_is_an_error_that_names_its_place(texts, pairs, message: str):
    with pytest.raises(TokenizerError, match=message):
        words_and_pairs(texts, pairs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: t(np.array("the cats")),
            "text is of the type ndarray without axes; expected a string or a sequence of strings",
        ),
        (lambda t: t("the", padding="max_length", max_length=10**13), "max_length is 10000000000000; expected a whole number"),
        (lambda t: t("the", pad_to_multiple_of=10**30), "pad_to_multiple_of is 1"),
        (lambda t: t.decode(None), "the ids are None; expected a list"),
        (lambda t: t.decode(5), "the ids are 5; expected a list"),
        (lambda t: t.decode([10**5000]), "the id a number of thousands of digits is outside"),
        (lambda t: t("the", truncation=True, max_length=10**5000), "max_length is a number of thousands of digits"),
        (lambda t: t("the", truncation=0), "truncation is 0; expected True, False"),
        (lambda t: t("the", stride=False), "stride is False"),
        (lambda t: t.decode([5], skip_special_tokens="no"), "skip_special_tokens is 'no'; expected True or False"),
        (lambda t: t.decode([5], clean_up_tokenization_spaces="false"), "clean_up_tokenization_spaces is 'false'"),
        (lambda t: t.encode(["the", "cats"], add_special_tokens=False), "encode gives the ids of one row .* this makes 2 rows"),
        (lambda t: t.encode("the", return_tensors="np"), "this makes arrays"),
        (lambda t: t.save(None), "None is no path of a folder"),
        (lambda t: t.save("\0"), "is no path of a folder"),
        (lambda t: Tokenizer.from_folder("x" * 5000), "is no path of a folder"),
        (
            lambda t: Tokenizer(t.vocabulary, {"do_lower_case": False}),
            "the settings are of the type dict; expected TokenizerSettings",
        ),
        (lambda t: t.decode(np.array([[1, 2]])), r"array\(\[1, 2\]\) is no id"),
        (lambda t: t.batch_decode(None), "the rows are None; expected a list of rows"),
        (lambda t: t("the", padding=np.array([True, True])), "padding is array"),
        (lambda t: t.add_special_tokens(["\ud800"]), "half of a surrogate pair"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_no_list_and_no_array_can_hold_is_one_sentence(call, message: str):
    with pytest.raises(TokenizerError, match=message):
        call(Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cats"]))
