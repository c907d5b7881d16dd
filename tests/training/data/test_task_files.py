"""Line ends of task files: both kinds are read, a mixture is warned of once by its line."""

import warnings
from pathlib import Path

import pytest

from minibert import InputError
from minibert.training.data import DataWarning, read_tagged, read_texts


def warned(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_texts(path) if path.suffix != ".conll" else read_tagged(path)
    assert all(each.category is DataWarning for each in caught)
    return [str(each.message) for each in caught]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", b"text\tlabel\r\na\t0\r\nb\t1\nc\t0\r\nd\t1\n"),
        ("a.csv", b"text,label\r\na,0\r\nb,1\nc,0\r\nd,1\n"),
        ("a.jsonl", b'{"text":"a","label":0}\r\n{"text":"a","label":0}\r\n{"text":"a","label":0}\n'),
        ("a.conll", b"a O\r\nb O\r\n\nc O\r\n"),
    ],
)
def test_a_file_that_mixes_its_line_ends_is_warned_of_once_by_the_first_line(name, content, tmp_path: Path):
    path = tmp_path / name
    (message,) = warned(path, content)
    assert message.startswith(f"{path}, line 3: it ends in LF, those before in CRLF;")
    (message,) = warned(path, content.replace(b"\r\n", b"#").replace(b"\n", b"\r\n").replace(b"#", b"\n"))
    assert message.startswith(f"{path}, line 3: it ends in CRLF, those before in LF;")


def test_one_line_end_throughout_or_another_within_quotes_is_no_mixture(tmp_path: Path):
    assert warned(tmp_path / "a.csv", b'text,label\r\n"a\nb",0\r\nc,1\r\n"d\n",1') == []
    assert warned(tmp_path / "a.tsv", b"text\tlabel\r\na\t0\r\nb\t1") == []
    assert warned(tmp_path / "a.conll", b"a O\n\nb O") == []


def test_a_row_behind_a_quoted_line_end_is_compared_by_its_own(tmp_path: Path):
    (message,) = warned(tmp_path / "a.csv", b'text,label\r\n"a\r\nb",0\n')
    assert ", line 3: it ends in LF" in message


def test_an_unreadable_file_is_one_sentence(tmp_path: Path, monkeypatch):
    def refused(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.tsv").write_text("text\tlabel\n")
    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(InputError, match="a.tsv cannot be read: Permission denied"):
        read_texts(tmp_path / "a.tsv")
