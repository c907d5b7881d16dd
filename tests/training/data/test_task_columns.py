"""Which columns are read: found by their names, given by name or number, and what a wrong one is told."""

import time

import pytest

from minibert import InputError
from minibert.training.data import Columns
from minibert.training.data.columns import KNOWN_NAMES, Chosen, choose


def refusal(columns: Columns, names: list[str] | None, width: int = 3, wants_label: bool = True) -> str:
    with pytest.raises(InputError) as problem:
        choose(columns, names, width if names is None else len(names), wants_label, "a.tsv, line 1")
    message = str(problem.value)
    assert message.startswith("a.tsv, line 1: ")
    assert "\n" not in message
    return message.removeprefix("a.tsv, line 1: ")


@pytest.mark.parametrize("text", KNOWN_NAMES["text"])
@pytest.mark.parametrize("pair", KNOWN_NAMES["text_pair"])
@pytest.mark.parametrize("label", KNOWN_NAMES["label"])
def test_columns_are_found_by_the_names_of_published_files(text, pair, label):
    assert choose(Columns(wants_pair=True), ["id", label, pair, text], 4, True, "") == Chosen(3, 2, 1)


def test_a_name_or_a_number_goes_before_what_would_be_found():
    names = ["text", "body", "label", "stars"]
    assert choose(Columns(text="body", label="stars"), names, 4, True, "") == Chosen(1, None, 3)
    assert choose(Columns(text=2, label=4, text_pair=1), names, 4, True, "") == Chosen(1, 0, 3)
    assert choose(Columns(text=1, label=2, has_header=False), None, 2, True, "") == Chosen(0, None, 1)


def test_a_label_that_is_not_wanted_is_not_looked_for():
    assert choose(Columns(label="absent"), ["text"], 1, False, "") == Chosen(0, None, None)


def test_a_wrong_name_is_told_the_columns_and_the_closest():
    message = refusal(Columns(text="sentense"), ["id", "Sentence", "label"])
    assert message == (
        "no column is called 'sentense', but 'Sentence' is; its columns are 'id', 'Sentence', 'label'; name one by text"
    )
    assert "'zzz'; its columns are" in refusal(Columns(text="zzz"), ["text", "label"])


@pytest.mark.parametrize(
    ("columns", "names", "said"),
    [
        (Columns(), ["body", "label"], "no column is called as the text is (text, sentence"),
        (Columns(), ["text", "class"], "no column is called as the label is (label, labels"),
        (Columns(wants_pair=True), ["text", "label"], "no column is called as the second text is (text_pair"),
        (Columns(), ["text", "sentence", "label"], "'text', 'sentence' may all be the text; name one by text"),
        (Columns(), ["text", "label", "score"], "'label', 'score' may all be the label; name one by label"),
        (Columns(), ["text", "label", "label"], "several columns are called 'label'; give its number by label"),
        (Columns(label=4), ["text", "a", "label"], "label is column 4, but there are 3 columns; count them from 1"),
        (Columns(label="text"), ["text", "a"], "column 1 is to be both the text and the label; name another one by label"),
        (Columns(text_pair=1), ["text", "label"], "column 1 is to be both the text and the second text"),
        (Columns(has_header=False), None, "no column is given for the text and the file has no header; give its number by text"),
        (Columns(text="a", has_header=False), None, "the column 'a' is given for the text and the file has no header"),
    ],
)
def test_columns_that_cannot_be_chosen_are_told_why(columns, names, said):
    assert refusal(columns, names).startswith(said)


@pytest.mark.parametrize("column", [0, -1, True, "", 1.0])
def test_what_is_no_column_is_refused(column, without_shape_checks):
    with pytest.raises(InputError, match="the column label is .*; expected a name, or a number counted from 1"):
        Columns(label=column)


def test_no_separator_is_refused(without_shape_checks):
    for separator in ("", None):
        with pytest.raises(InputError, match="separator is"):
            Columns(separator=separator)


def test_numbers_are_no_keys_of_json(tmp_path):
    from minibert.training.data import read_texts

    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "b"}')
    with pytest.raises(InputError, match="a.jsonl is JSONL and a column is given by its number; give the key"):
        read_texts(tmp_path / "a.jsonl", Columns(label=2))


def test_a_header_of_very_many_columns_is_refused_at_once():
    begins = time.perf_counter()
    message = refusal(Columns(text="x" * 100_000), ["y" * 5_000] * 12_000)
    assert len(message) < 8_000
    assert time.perf_counter() - begins < 10.0
