import csv
import json
import os
import sys
from pathlib import Path

import pytest
from fake_features import some_texts

import minibert.features.corpus.sources.lines as lines
import minibert.features.corpus.sources.readers as readers
from minibert.errors import InputError
from minibert.features.corpus import TextFiles, TextList
from minibert.features.corpus.sources.parquet import import_pyarrow

pa = pytest.importorskip("pyarrow")

ODD_TEXTS = ["", "a\r", "b\u2028\x85\v\f\x1c\rc", "é 漢字 🚀", " spaces ", '"quotes", commas\tand tabs', "", "last"]


def write(path: Path, texts: list[str]) -> Path:
    """The texts in a file of the kind that its name says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts)))
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writerows([["id", "text"], *([str(number), text] for number, text in enumerate(texts))])
    elif path.suffix == ".parquet":
        table = pa.table({"id": list(range(len(texts))), "text": texts})
        import_pyarrow().parquet.write_table(table, path, row_group_size=5)
    else:
        path.write_bytes("".join(text + "\n" for text in texts).encode())
    return path


def read(*paths: Path, **options: str) -> list[str]:
    return list(TextFiles([str(path) for path in paths], **options).texts())


def refusal(path: Path, content: bytes | None = None, **options: str) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as problem:
        read(path, **options)
    message = str(problem.value)
    assert "\n" not in message
    return message


KINDS = ("texts.txt", "texts", "texts.jsonl", "texts.csv", "texts.tsv", "texts.parquet")


@pytest.mark.parametrize("name", KINDS)
def test_texts_come_as_they_were_written(name, tmp_path: Path):
    texts = ODD_TEXTS if "." in name and name != "texts.txt" else [text.removesuffix("\r") for text in ODD_TEXTS]
    assert read(write(tmp_path / name, ODD_TEXTS)) == texts


@pytest.mark.parametrize("name", KINDS)
def test_reading_goes_on_behind_every_text(name, tmp_path: Path, without_shape_checks):
    texts = [text + '\nand "more"' if name.endswith((".csv", ".jsonl")) else text for text in some_texts(11)]
    paths = [str(write(tmp_path / f"{number}{name}", texts)) for number in range(2)]
    source, places = TextFiles(paths), []
    for _ in source.texts():
        places.append(json.loads(json.dumps(source.position())))
    for number, place in enumerate(places, start=1):
        assert list(TextFiles(paths).texts(place)) == (texts + texts)[number:]


def test_several_files_of_several_kinds_are_one_corpus(tmp_path: Path):
    paths = [write(tmp_path / name, [name]) for name in KINDS]
    assert read(*paths) == list(KINDS)


def test_only_line_feeds_end_a_line_and_a_byte_order_mark_is_no_text(tmp_path: Path):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"\xef\xbb\xbffirst\r\nsecond\rstill\n\nlast")
    assert read(path) == ["first", "second\rstill", "", "last"]
    table = tmp_path / "table.csv"
    table.write_bytes(b"\xef\xbb\xbftext,id\r\none,1\r\n\r\ntwo,2\r\n")
    assert read(table) == ["one", "two"]


def test_columns_and_fields_are_chosen_by_name(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("id,body\n1,one\n2,two\n")
    objects = tmp_path / "objects.jsonl"
    objects.write_text('{"body": "three", "text": "no"}\n')
    assert read(table, objects, column="body", field="body") == ["one", "two", "three"]


def test_broken_json_on_line_7341_names_that_line(tmp_path: Path):
    path, good = tmp_path / "texts.jsonl", '{"text": "good"}\n'
    path.write_text(good * 7340 + '{"text": "bad}\n' + good)
    # From line 7,331 on, as a resume goes on: the checks of types at run time make a line of JSON slow.
    behind = {"file": 0, "byte": 7330 * len(good), "line": 7331}
    with pytest.raises(InputError, match=f"line 7,341 of {path} is not valid JSON"):
        list(TextFiles([str(path)]).texts(behind))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"text": "a", "text": "b"}', "the key 'text' is given twice"),
        (b'{"body": "a", "id": 1}', "line 1 of {path} has no field 'text'; its fields are 'body', 'id'; name one by --field"),
        (b'{"text": 5}', "the field 'text' in line 1 of {path} is of the type int; expected a string"),
        (b'{"text": "a"}\n{"text": null}', "the field 'text' in line 2 of {path} is null; expected a string"),
        (b'{"text": ["a"]}', "is of the type list"),
        (b'["a"]', "line 1 of {path} is of the type list; expected a JSON object"),
        (b'{"text": "a"}\n\n', "line 2 of {path} is empty; expected a JSON object a line"),
        (b'{"text": "\xff"}', "line 1 of {path} is not valid JSON for minibert: byte 10 is not UTF-8"),
        (b'{"text": "\\ud800"}', "half of a surrogate pair"),
        (b'{"text": "a"} {"text": "b"}', "line 1 of {path} is not valid JSON"),
        (b"[" * 2000, "nesting deeper than 64 levels"),
    ],
)
def test_a_line_of_json_without_a_text_is_refused_by_name(content, said, tmp_path: Path):
    path = tmp_path / "texts.jsonl"
    assert said.format(path=path) in refusal(path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id,body\n1,a\n", "{path} has no column 'text'; its columns are 'id', 'body'; name one by --column"),
        (b"text,text\na,b\n", "{path} has several columns 'text'"),
        (b"", "{path} has no header"),
        (b"text,id\na,1\nb\n", "the row at line 3 of {path} has 1 fields, its header 2"),
        (b'text,id\n"a\nb",1\nc,2,3\n', "the row at line 4 of {path} has 3 fields, its header 2"),
        (
            b'text,id\na,1\n"never closed,2\nmore\n',
            "the row at line 3 of {path} cannot be read: unexpected end of data, at line 4",
        ),
        (b'text,id\n"a"b,1\n', "the row at line 2 of {path} cannot be read"),
        (b"text,id\na,1\n\xe9,2\n", "{path} is not UTF-8 at byte 12, in line 3; convert it to UTF-8 first"),
        (b"text,id\na\0,1\n", "{path} holds a NUL at byte 9, in line 2"),
        (b"text\n", "{path} is empty; expected texts"),
    ],
)
def test_a_table_without_texts_is_refused_by_name(content, said, tmp_path: Path):
    path = tmp_path / "texts.csv"
    assert said.format(path=path) in refusal(path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"good\n\x89PNG\r\n", "{path} is not UTF-8 at byte 5, in line 2; convert it to UTF-8 first"),
        ("Ärger".encode("utf-16"), "{path} holds a NUL at byte 3, in line 1"),
        (b"good\n\xe9\n", "{path} is not UTF-8 at byte 5, in line 2; convert it to UTF-8 first"),
        ("good\n".encode("utf-16-le"), "{path} holds a NUL at byte 1, in line 1: it is a binary file, or UTF-16"),
        (b"", "{path} is empty; expected texts"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_line_and_byte(content, said, tmp_path: Path):
    path = tmp_path / "texts.txt"
    assert said.format(path=path) in refusal(path, content)


def test_a_line_or_a_row_without_end_takes_no_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST_LINE", 1000)
    monkeypatch.setattr(readers, "LONGEST_LINE", 1000)
    for name in ("texts.txt", "texts.jsonl", "texts.csv"):
        assert "line 1 of" in refusal(tmp_path / name, b"x" * 1001)
        assert "has over 1,000 bytes" in refusal(tmp_path / name)
    message = refusal(tmp_path / "texts.csv", b'text,id\n"open\n' + b"more\n" * 300)
    assert "the row at line 2" in message and "is a quote in it never closed?" in message


def test_columns_of_parquet_that_are_no_texts_are_refused(tmp_path: Path):
    path = tmp_path / "texts.parquet"
    write_table = import_pyarrow().parquet.write_table
    write_table(pa.table({"text": [1, 2], "body": ["a", None]}), path)
    assert f"the column 'text' of {path} is of the type int64; expected strings" in refusal(path)
    assert f"the column 'body' in row 2 of {path} is null; expected a string" in refusal(path, column="body")
    assert f"{path} has no column 'title'; its columns are 'text', 'body'" in refusal(path, column="title")
    content = path.read_bytes()
    for length in (0, 3, 20, len(content) // 2, len(content) - 1):
        assert f"{path} cannot be read as Parquet" in refusal(path, content[:length])
    assert f"{path} cannot be read as Parquet" in refusal(path, b"text\n" * 100)


def test_strings_of_other_kinds_in_parquet_are_read(tmp_path: Path):
    path = tmp_path / "texts.parquet"
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        import_pyarrow().parquet.write_table(pa.table({"text": pa.array(["a", "b"]).cast(kind)}), path)
        assert read(path) == ["a", "b"]


def test_without_pyarrow_parquet_says_how_to_install_it(tmp_path: Path, monkeypatch):
    path = write(tmp_path / "texts.parquet", ["a"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'minibert[parquet]'" in refusal(path)


def test_only_regular_files_are_read(tmp_path: Path):
    assert "does not exist" in refusal(tmp_path / "absent.txt")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file; expected one, or - for the lines of standard input" in refusal(tmp_path / "pipe")
    assert "is no regular file" in refusal(Path("/dev/zero"))


def test_options_that_no_file_can_have_are_refused(tmp_path: Path):
    path = tmp_path / "texts.txt"
    assert "--field was given, but no file ends in .jsonl or .ndjson" in refusal(path, b"a\n", field="text")
    assert "--column was given, but no file ends in .csv or .tsv or .parquet" in refusal(path, b"a\n", column="text")
    assert "expected a JSON object a line, in a file that ends in .jsonl" in refusal(tmp_path / "texts.json", b"{}")


def test_a_list_holds_texts_only(without_shape_checks):
    for texts, said in ((["a", 5], "text 2 is of the type int; expected a string"), (["\udcff"], "text 1 is not UTF-8")):
        with pytest.raises(InputError, match=said):
            TextList(texts)
    with pytest.raises(InputError, match="there are no texts"):
        list(TextList([]).texts())
