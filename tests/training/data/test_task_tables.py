"""Files of texts with labels: what they become, and what each broken one is told."""

import csv
import json
import os
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_tables import labels, read, refusal

import minibert.features.corpus.sources.lines as lines
import minibert.training.data.records as records
import minibert.training.data.task_files as task_files
from minibert import InputError
from minibert.training.data import GLUE, Columns, DataWarning, TextExample, read_texts
from minibert.training.data.records import TABLES

STS_B = Columns(text=1, text_pair=2, label=3, has_header=False)


def test_a_table_becomes_examples_with_their_places(tmp_path: Path):
    path = tmp_path / "train.tsv"
    examples = read(path, "sentence\tlabel\na good film \t1\n bad\t0\n")
    assert examples == [
        TextExample(f"{path}, line 2", "a good film ", None, "1"),
        TextExample(f"{path}, line 3", " bad", None, "0"),
    ]


def test_the_same_rows_of_every_kind_of_file_are_the_same_examples(tmp_path: Path):
    rows = [
        ("a text", "its pair", "yes"),
        ("漢字 🚀", "e\u0301 é\u2028", "no"),
        ("again", "again", "yes"),
        ("again", "again", "yes"),
    ]
    tabs, commas = "text\ttext_pair\tlabel\n", "text,text_pair,label\n"
    objects = ""
    for row in rows:
        tabs += "\t".join(row) + "\n"
        commas += ",".join(row) + "\n"
        objects += json.dumps(dict(zip(("text", "text_pair", "label"), row, strict=True))) + "\n"
    for name, content in (("a.tsv", tabs), ("a.txt", tabs), ("a.CSV", commas), ("a.jsonl", objects), ("a.ndjson", objects)):
        examples = read(tmp_path / name, content, Columns(wants_pair=True))
        assert [(each.text, each.text_pair, each.label) for each in examples] == rows


def test_the_second_text_is_read_only_where_it_is_asked_for(tmp_path: Path):
    content = "premise\thypothesis\tlabel\na\tb\t0\n"
    (tmp_path / "a.tsv").write_text(content)
    with pytest.warns(DataWarning, match="line 1: the column 'hypothesis' is left aside, for this task reads one text"):
        assert read_texts(tmp_path / "a.tsv")[0].text_pair is None
    assert read(tmp_path / "a.tsv", content, Columns(text="premise"))[0].text_pair is None
    assert read(tmp_path / "a.tsv", content, Columns(wants_pair=True))[0].text_pair == "b"
    assert read(tmp_path / "a.tsv", content, Columns(text_pair="hypothesis"))[0].text_pair == "b"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "text\tlabel|a\t0|b\t1"),
        ("a.csv", 'text,label|"a",0|b,"1"'),
        ("a.jsonl", '{"text":"a","label":0}#{"text":"b","label":1}'),
    ],
)
def test_both_line_ends_a_missing_last_one_and_a_byte_order_mark_change_nothing(name, content, end, last, mark, tmp_path: Path):
    content = mark + content.replace("#" if name == "a.jsonl" else "|", end) + (end if last else "")
    assert [(each.text, each.label) for each in read(tmp_path / name, content)] == [("a", "0"), ("b", "1")]


def test_a_quote_in_a_tsv_is_a_character(tmp_path: Path):
    examples = read(tmp_path / "a.tsv", 'text\tlabel\n"never closed\t0\n"a" ""b\t1\n')
    assert [each.text for each in examples] == ['"never closed', '"a" ""b']


def test_quoted_fields_of_csv_hold_commas_quotes_and_line_ends_and_places_are_first_lines(tmp_path: Path):
    path = tmp_path / "a.csv"
    examples = read(path, 'label,text\n0,"a, ""b""\nc\r\nd\re"\n\n1,f "g"\n')
    assert examples == [
        TextExample(f"{path}, line 2", 'a, "b"\nc\r\nd\re', None, "0"),
        TextExample(f"{path}, line 6", 'f "g"', None, "1"),
    ]


def test_empty_lines_at_the_end_are_no_rows(tmp_path: Path):
    assert len(read(tmp_path / "a.tsv", "text\tlabel\na\t0\n\n\n")) == 1
    assert len(read(tmp_path / "a.csv", "text,label\na,0\n\n\n")) == 1
    assert len(read(tmp_path / "a.jsonl", '{"text": "a", "label": "0"}\n\n\n')) == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("cola", "gj04\t1\t\tThe sailors rode.\ngj04\t0\t*\tThem rode.\n", ("The sailors rode.", None, "1")),
        ("sst-2", "sentence\tlabel\nhide new secretions \t0\n", ("hide new secretions ", None, "0")),
        (
            "mrpc",
            '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tHe said "so .\tSo .\r\n',
            ('He said "so .', "So .", "1"),
        ),
        (
            "mnli",
            "index\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label\n0\t( a )\ta\tb\tneutral\tentailment\n",
            ("a", "b", "entailment"),
        ),
        ("qnli", "index\tquestion\tsentence\tlabel\n0\twhy?\tso.\tentailment\n", ("why?", "so.", "entailment")),
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tnot_entailment\n", ("a", "b", "not_entailment")),
        ("wnli", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n", ("a", "b", "1")),
    ],
)
def test_files_of_glue_are_read_as_they_are_published(name, content, expected, tmp_path: Path):
    example = read(tmp_path / "train.tsv", content, GLUE[name])[0]
    assert (example.text, example.text_pair, example.label) == expected


def test_sts_b_is_read_with_and_without_a_header(tmp_path: Path):
    glue = read(
        tmp_path / "train.tsv",
        "index\tgenre\tsource1\tsentence1\tsentence2\tscore\n0\tnews\tx\ta\tb\t3.80\n",
        GLUE["sts-b"],
        "number",
    )
    bare = read(tmp_path / "dev.csv", '"a","b",3.8\n', STS_B, "number")
    assert [each[1:] for each in glue] == [each[1:] for each in bare] == [("a", "b", 3.8)]


def test_rows_on_which_annotators_disagreed_are_left_out_and_counted(tmp_path: Path):
    path = tmp_path / "dev.tsv"
    path.write_text("sentence1\tsentence2\tgold_label\na\tb\tneutral\nc\td\t-\ne\tf\t-\n")
    with pytest.warns(DataWarning, match="dev.tsv: 2 rows of 3 left out, the first at line 3: their gold_label is '-'"):
        assert labels(read_texts(path, GLUE["mnli"])) == ["neutral"]
    assert labels(read(path, "text\tlabel\na\t-\n")) == ["-"]
    path.write_text("sentence1\tsentence2\tgold_label\na\tb\t-\n")
    with pytest.warns(DataWarning), pytest.raises(InputError, match="has no row with a label"):
        read_texts(path, GLUE["mnli"])


def test_a_file_to_predict_needs_no_label(tmp_path: Path):
    assert labels(read(tmp_path / "a.tsv", "sentence\na\n", kind="none")) == [None]
    assert labels(read(tmp_path / "a.jsonl", '{"text": "a", "label": {"any": 1}}', kind="none")) == [None]
    assert labels(read(tmp_path / "a.csv", "text\n", Columns(text=1, has_header=False), kind="none")) == [None]


@given(
    rows=st.lists(st.tuples(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.sampled_from("abc")), min_size=1)
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_writer_of_csv_and_json_writes_is_read_back(rows, tmp_path: Path):
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    lines_of_json = [json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in rows]
    (tmp_path / "a.jsonl").write_bytes("".join(lines_of_json).encode())
    for name in ("a.csv", "a.jsonl"):
        assert [(each.text, each.label) for each in read_texts(tmp_path / name)] == rows


@given(
    content=st.binary(max_size=60) | st.text('"{}[]:,\t\n\r1a ', max_size=60).map(str.encode),
    suffix=st.sampled_from(list(TABLES)),
    kind=st.sampled_from(["class", "number", "labels", "none"]),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_examples_or_one_sentence(content, suffix, kind, tmp_path: Path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes((b'{"text": "a", "label": "1"}\n' if "j" in suffix else b"text,label\ttext\tlabel\n") + content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            assert read_texts(path, kind=kind)
        except InputError as problem:
            assert "\n" not in str(problem)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text\tlabel\na\t0\nb\n", ", line 3: it has 1 field, line 1 has 2; expected as many: tabs part the fields"),
        ("text\tlabel\na\tb\t0\n", ", line 2: it has 3 fields, line 1 has 2; expected as many"),
        ("text\tlabel\na\t0\n\nb\t1\n", ", line 3: it has 1 field, line 1 has 2"),
        ("text\tlabel\na\t\n", ", line 2: the label is empty; expected the name of a class"),
        ("text\tlabel\na\t0\ntext\tlabel\n", ", line 3: it is the header again"),
        ("text\tlabel\na\t0\rb\t1\n", ", line 2: it holds a carriage return"),
        ("text\tlabel\ra\t0\rb\t1\r", ", line 1: it holds a carriage return"),
        ("text\tlabel\r\na\t0\r\r\n", ", line 2: it holds a carriage return"),
        (b"text\tlabel\na\t0\nb\xff\t1\n", " is not UTF-8 at byte 16, in line 3; convert it to UTF-8 first"),
        (b"text\tlabel\na\0\t0\n", " holds a NUL at byte 12, in line 2"),
        ("text\tlabel\n".encode("utf-16"), " holds a NUL at byte 3, in line 1: it is a binary file, or UTF-16"),
        ("", " is empty; expected a header and rows"),
        ("\ufeff", " is empty; expected a header and rows"),
        ("text\tlabel\n", " has no row behind its header; expected at least one"),
        ("text\ttext\tlabel\na\tb\t0\n", ", line 1: several columns are called 'text'; give its number by text, or rename them"),
    ],
)
def test_a_broken_tsv_is_told_its_line(content, said, tmp_path: Path):
    assert refusal(tmp_path / "a.tsv", content).startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('text,label\n"a\nb",0\nc\n', ", line 4: it has 1 field, line 1 has 2; expected as many: a field with a comma"),
        ('text,label\na,0\n"b\nc,1\nd,0\n', ", line 3: a quote is opened in this row and never closed"),
        ('text,label\n"a"b,0\n', ", line 2: this row cannot be read: "),
        ("text,label\na,0\rb,1\n", ", line 2: it holds a carriage return"),
        ('text,label\n"a\n\n",\n', ", line 2: the label is empty"),
        (b'text,label\n"a\n\xff",0\n', " is not UTF-8 at byte 14, in line 3"),
        ("\n\n", " is empty; expected a header and rows"),
        ("text,label\n\n", " has no row behind its header"),
        ("text,text,label\na,b,0\n", ", line 1: several columns are called 'text'"),
        (
            "text;label\na;0\n",
            ", line 1: no column is called as the text is (text, sentence, sentence1, #1 String, premise); its col",
        ),
    ],
)
def test_a_broken_csv_is_told_its_line(content, said, tmp_path: Path):
    assert refusal(tmp_path / "a.csv", content).startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "a", "label": "b", "label": "c"}', ", line 2 is not valid JSON for minibert: the key 'label' is given twice"),
        ('{"text": "a"}', ", line 2: the key 'label' is missing; its keys are 'text'; expected it in every object"),
        ("{}", ", line 2: the key 'text' is missing; its keys are none"),
        ('{"text": 5, "label": "b"}', ", line 2: the text is 5; expected a string"),
        ('{"text": {"a": "b"}, "label": "b"}', ", line 2: the text is {'a': 'b'}; expected a string"),
        ('{"text": null, "label": "b"}', ", line 2: the text is None; expected a string"),
        ('["a", "b"]', ", line 2: it is ['a', 'b']; expected a JSON object a line"),
        ('{"text": "a", "label": "b"} {"text": "c", "label": "d"}', ", line 2 is not valid JSON"),
        ('{"text": "a", "label": "b"}\r{"text": "c", "label": "d"}', ", line 2: it holds a carriage return"),
        ('{"text": "a\\ud800", "label": "b"}', ", line 2 is not valid JSON for minibert: a string holds half of a surrogate"),
        (' \n{"text": "a", "label": "b"}', ", line 2: it is empty; expected a JSON object a line"),
        ("[" * 70, ", line 2 is not valid JSON for minibert: nesting deeper"),
    ],
)
def test_a_broken_line_of_json_is_told_its_line(content, said, tmp_path: Path):
    assert refusal(tmp_path / "a.jsonl", '{"text": "a", "label": "b"}\n' + content + "\n").startswith(said)


def test_the_second_text_of_jsonl_must_be_a_string_too(tmp_path: Path):
    message = refusal(tmp_path / "a.jsonl", '{"text": "a", "text_pair": 1, "label": "b"}', Columns(wants_pair=True))
    assert message == ", line 1: the second text is 1; expected a string"


def test_a_header_in_a_file_that_should_have_none_is_told(tmp_path: Path):
    assert refusal(tmp_path / "a.csv", "sentence1,sentence2,score\na,b,1\n", STS_B, "number").startswith(
        ", line 1: it seems to be a header, 'sentence1', 'sentence2', 'score'; expected none"
    )


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_a_line_of_over_64_mib_is_refused_before_it_fills_the_memory(name, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST_LINE", 50)
    (tmp_path / name).write_text(('{"text": "a", "label": "b"}' if name == "a.jsonl" else "text") + "\n" + "a" * 51)
    with pytest.raises(InputError, match=f"line 2 of .*{name} has over 50 bytes"):
        read_texts(tmp_path / name, kind="none")


def test_a_quoted_field_that_swallows_over_64_mib_is_refused_by_its_first_line(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(records, "LONGEST_LINE", 50)
    message = refusal(tmp_path / "a.csv", 'text,label\na,0\n"b,1\n' + "c,0\n" * 20)
    assert message == ", line 3: this row has over 50 bytes; is a quote in it never closed?"


def test_what_is_no_table_is_refused(tmp_path: Path, monkeypatch):
    assert refusal(tmp_path / "a.xlsx", "").startswith(" ends in '.xlsx'; expected a file that ends in .tsv, .txt, .csv")
    with pytest.raises(InputError, match="absent.tsv does not exist"):
        read_texts(tmp_path / "absent.tsv")
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(InputError, match="folder.tsv is a folder"):
        read_texts(tmp_path / "folder.tsv")
    os.mkfifo(tmp_path / "pipe.tsv")
    with pytest.raises(InputError, match="pipe.tsv is no regular file"):
        read_texts(tmp_path / "pipe.tsv")
    with pytest.raises(InputError, match="cannot be read"):
        read_texts("nul\0.tsv")
    with pytest.raises(InputError, match="kind is 'classes'; expected one of class, number, labels, none"):
        read_texts(tmp_path / "a.tsv", kind="classes")
    monkeypatch.setattr(task_files, "MAX_TASK_FILE_BYTES", 5)
    assert "has 6 bytes; expected at most 5" in refusal(tmp_path / "a.tsv", "text\na")
