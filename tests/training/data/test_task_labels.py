"""What fields and values of JSON become as labels: classes, numbers, names; and what others are told."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_tables import labels, read, refusal

from minibert.training.data import Columns


def test_spaces_around_labels_are_none_of_them(tmp_path: Path):
    assert labels(read(tmp_path / "a.tsv", "text\tlabel\na\tgood \nb\t good\nc\tvery good\n")) == ["good", "good", "very good"]
    assert labels(read(tmp_path / "a.jsonl", '{"text": "a", "label": " good "}')) == ["good"]
    assert labels(read(tmp_path / "a.tsv", "text\tlabels\na\tx | y\n", kind="labels")) == [("x", "y")]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ('"b"', "class", "b"),
        ("3", "class", "3"),
        ("-1", "class", "-1"),
        ("true", "class", "true"),
        ("false", "class", "false"),
        ("3", "number", 3.0),
        ("-2.5e1", "number", -25.0),
        ('"2.5"', "number", 2.5),
        ('["b", "a", "b"]', "labels", ("b", "a")),
        ("[2, true]", "labels", ("2", "true")),
        ("[]", "labels", ()),
        ('"b|a"', "labels", ("b", "a")),
        ('""', "labels", ()),
    ],
)
def test_values_of_json_become_labels(value, kind, expected, tmp_path: Path):
    (label,) = labels(read(tmp_path / "a.jsonl", f'{{"text": "a", "label": {value}}}', kind=kind))
    assert label == expected
    assert type(label) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("null", "class", "the label is None; expected the name of a class"),
        ("1.5", "class", "the label is 1.5; expected the name of a class"),
        ('" "', "class", "the label is empty"),
        ('{"a": 1}', "class", "the label is {'a': 1}; expected the name"),
        ("true", "number", "the label is True; expected a finite number"),
        ("null", "number", "the label is None; expected a finite number"),
        ("1e39", "number", "the label is 1e+39; expected a finite number"),
        ("1" + "0" * 390, "number", "the label is 1000"),
        ("[1]", "number", "the label is [1]; expected a finite number"),
        ("1e999", "number", "the number 1e999 is too large"),
        ("NaN", "number", "the value NaN, which JSON does not have"),
        ("3", "labels", "the labels are 3; expected a list of names"),
        ('[["a"]]', "labels", "the label is ['a']; expected the name"),
        ('["a", ""]', "labels", "the label is empty"),
    ],
)
def test_other_values_of_json_are_refused_by_line(value, kind, said, tmp_path: Path):
    good = {"class": '"a"', "number": "1", "labels": "[]"}[kind]
    content = f'{{"text": "a", "label": {good}}}\n{{"text": "a", "label": {value}}}\n'
    message = refusal(tmp_path / "a.jsonl", content, kind=kind)
    assert message.startswith(", line 2")
    assert said in message


@pytest.mark.parametrize("field", ["nan", "inf", "-Infinity", "", "many", "1_000", "1e39", "-1e39", "0x10", "1,5", "２", "1 2"])
def test_fields_that_are_no_finite_number_are_refused_by_line(field, tmp_path: Path):
    message = refusal(tmp_path / "a.tsv", f"text\tscore\na\t1\nb\t{field}\n", kind="number")
    assert message == f", line 3: the label is {field!r}; expected a finite number, written as 2.5"


@given(number=st.floats(allow_nan=False, allow_infinity=False, width=32))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_finite_number_comes_back(number, tmp_path: Path):
    assert labels(read(tmp_path / "a.tsv", f"text\tscore\na\t{number!r}\n", kind="number")) == [number]
    assert labels(read(tmp_path / "a.jsonl", json.dumps({"text": "a", "score": number}), kind="number")) == [number]


def test_several_labels_are_parted_by_the_separator(tmp_path: Path):
    content = "text;labels\na;x,y\nb;\nc;y\n".replace(";", "\t")
    assert labels(read(tmp_path / "a.tsv", content, Columns(separator=","), "labels")) == [("x", "y"), (), ("y",)]
    assert labels(read(tmp_path / "a.tsv", content, kind="labels")) == [("x,y",), (), ("y",)]
    assert "line 2: the label is empty" in refusal(tmp_path / "a.tsv", "text\tlabels\na\tx||y\n", kind="labels")
