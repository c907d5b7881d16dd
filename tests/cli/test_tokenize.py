"""`minibert tokenize`: its tables and lines, where its texts come from, and what it refuses."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minibert.cli import tokenize as tokenize_command
from minibert.cli.main import main

TOKENS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "creme", "bru", "##lee", "!", "a", "b", "c", "Crème"),
    *("[bold]", "[/]", "two words", "\x1b[31m", ":smile:", "é"),
)
ADDED = ("[bold]", "[/]", "two words", "\x1b[31m", ":smile:")
IDS = {token: number for number, token in enumerate(TOKENS)}


pytestmark = pytest.mark.usefixtures("no_compilation_cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in TOKENS), encoding="utf-8")
    config = {"additional_special_tokens": ADDED, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def printed(folder: Path, capsys: pytest.CaptureFixture[str]):
    """`printed(*arguments)`: what the command prints, once it ended with status 0 and without a word on standard error."""

    def run(*arguments: str) -> str:
        assert main(["tokenize", "--model", str(folder), *arguments]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture[str]):
    """`refused(*arguments)`: the one sentence on standard error, once the command ended with status 2."""

    def run(*arguments: str) -> str:
        assert main(["tokenize", "--model", str(folder), *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("minibert: ")
        assert error.count("\n") == 1
        return error

    return run


def table_rows(shown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_the_table_has_a_token_a_row_and_the_characters_it_comes_from(printed):
    assert table_rows(printed("Crème brûlée [MASK]!")) == [
        ["0", "[CLS]", "2", "", "", ""],
        ["1", "creme", "5", "0-5", "Crème", "0"],
        ["2", "bru", "6", "6-9", "brû", "1"],
        ["3", "##lee", "7", "9-12", "lée", "1"],
        ["4", "[MASK]", "4", "13-19", "[MASK]", "2"],
        ["5", "!", "8", "19-20", "!", "3"],
        ["6", "[SEP]", "3", "", "", ""],
    ]


def test_the_table_without_special_tokens_keeps_those_of_the_text(printed):
    assert table_rows(printed("--no-special-tokens", "a [SEP]")) == [
        ["0", "a", "9", "0-1", "a", "0"],
        ["1", "[SEP]", "3", "2-7", "[SEP]", "1"],
    ]


def test_each_of_several_texts_has_a_table_under_its_number(printed):
    shown = printed("a", "", "b c")
    assert [line.strip() for line in shown.splitlines() if line[0].isdigit()] == ["1: a", "2:", "3: b c"]
    assert [row[1] for row in table_rows(shown)] == ["[CLS]", "a", "[SEP]", "[CLS]", "[SEP]", "[CLS]", "b", "c", "[SEP]"]


def test_a_pair_has_offsets_into_its_own_texts(printed):
    rows = table_rows(printed("a b", "--pair", "Crème c"))
    assert [row[1] for row in rows] == ["[CLS]", "a", "b", "[SEP]", "creme", "c", "[SEP]"]
    assert [row[3] for row in rows] == ["", "0-1", "2-3", "", "0-5", "6-7", ""]
    assert [row[4] for row in rows] == ["", "a", "b", "", "Crème", "c", ""]
    assert [row[6] for row in rows] == ["0", "0", "0", "0", "1", "1", "1"]


def test_a_pair_as_jsonl_says_which_token_is_of_which_text(printed):
    assert json.loads(printed("a", "--pair", "", "--format", "jsonl")) == {
        "text": "a",
        "text_pair": "",
        "tokens": ["[CLS]", "a", "[SEP]", "[SEP]"],
        "input_ids": [2, 9, 3, 3],
        "offset_mapping": [[0, 0], [0, 1], [0, 0], [0, 0]],
        "word_ids": [None, 0, None, None],
        "token_type_ids": [0, 0, 0, 1],
    }


def test_jsonl_is_an_object_a_text(printed):
    assert [json.loads(line) for line in printed("--format", "jsonl", "Crème", "").splitlines()] == [
        {
            "text": "Crème",
            "tokens": ["[CLS]", "creme", "[SEP]"],
            "input_ids": [2, 5, 3],
            "offset_mapping": [[0, 0], [0, 5], [0, 0]],
            "word_ids": [None, 0, None],
        },
        {
            "text": "",
            "tokens": ["[CLS]", "[SEP]"],
            "input_ids": [2, 3],
            "offset_mapping": [[0, 0], [0, 0]],
            "word_ids": [None, None],
        },
    ]


def test_ids_and_tokens_are_a_line_a_text(printed):
    assert printed("--format", "ids", "a b", "", "brûlée") == "2 9 10 3\n2 3\n2 6 7 3\n"
    assert printed("--format", "tokens", "a b", "", "brûlée") == "[CLS] a b [SEP]\n[CLS] [SEP]\n[CLS] bru ##lee [SEP]\n"
    assert printed("--format", "ids", "--no-special-tokens", "a b", "", "brûlée") == "9 10\n\n6 7\n"


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ([], "creme [MASK]"),
        (["--cased"], "Crème [MASK]"),
        (["--uncased"], "creme [MASK]"),
        (["--flavor", "hf"], "creme [MASK]"),
        (["--flavor", "google"], "creme [UNK] [UNK] [UNK]"),
        (["--flavor", "google", "--cased"], "Crème [UNK] [UNK] [UNK]"),
    ],
)
def test_options_override_what_the_checkpoint_says(printed, options, tokens):
    assert printed("--format", "tokens", "--no-special-tokens", *options, "Crème [MASK]") == f"{tokens}\n"


def test_uncased_overrides_a_checkpoint_that_says_cased(folder, printed):
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}', encoding="utf-8")
    assert printed("--format", "ids", "Crème") == f"2 {IDS['Crème']} 3\n"
    assert printed("--format", "ids", "--uncased", "Crème") == f"2 {IDS['creme']} 3\n"


LINES = "a\r\n\nb\u2028\x85\v\f\x1c\rc\r\r\n\ufeffé".encode()
TEXTS = ["a", "", "b\u2028\x85\v\f\x1c\rc\r", "\ufeffé"]


@pytest.mark.parametrize("data", [LINES, LINES + b"\n", LINES + b"\r\n"])
@pytest.mark.parametrize("source", ["-", "--file"])
def test_lines_end_at_a_line_feed_alone(printed, tmp_path, monkeypatch, source, data):
    standard_input(monkeypatch, data)
    (tmp_path / "texts.txt").write_bytes(data)
    given = ["-"] if source == "-" else ["--file", str(tmp_path / "texts.txt")]
    rows = [json.loads(line) for line in printed("--format", "jsonl", *given).split("\n")[:-1]]
    assert [row["text"] for row in rows] == TEXTS
    assert rows[2]["offset_mapping"] == [[0, 0], [0, 1], [7, 8], [0, 0]]


def test_a_text_on_the_command_line_may_have_lines(printed):
    assert printed("--format", "ids", "a\nb\n") == "2 9 10 3\n"


def test_several_files_are_read_one_after_the_other(printed, tmp_path):
    for name, data in {"first": b"a\nb", "empty": b"", "last": b"c\n"}.items():
        (tmp_path / name).write_bytes(data)
    given = [part for name in ("first", "empty", "last") for part in ("--file", str(tmp_path / name))]
    assert printed("--format", "ids", *given) == "2 9 3\n2 10 3\n2 11 3\n"


@pytest.mark.parametrize(("count", "note"), [(12, ""), (13, "(1 more text left out"), (1200, "(1,188 more texts left out")])
@pytest.mark.parametrize("source", ["-", "--file"])
def test_lines_that_are_read_get_twelve_tables_at_most(printed, tmp_path, monkeypatch, source, count, note):
    data = b"a\n" * count
    standard_input(monkeypatch, data)
    (tmp_path / "texts.txt").write_bytes(data)
    shown = printed("-") if source == "-" else printed("--file", str(tmp_path / "texts.txt"))
    assert len(table_rows(shown)) == 12 * 3
    last = shown.splitlines()[-1]
    assert last.startswith(note) if note else last.startswith("└")
    assert ("--format ids prints them all" in last) == bool(note)


def test_texts_on_the_command_line_are_all_shown(printed):
    shown = printed(*["a"] * 14)
    assert len(table_rows(shown)) == 14 * 3
    assert "left out" not in shown


@pytest.mark.parametrize("form", ["ids", "tokens", "jsonl"])
@pytest.mark.parametrize(("limit", "value"), [("BLOCK_TEXTS", 2), ("BLOCK_CHARACTERS", 3)])
def test_lines_are_printed_block_by_block(folder, printed, capsys, tmp_path, monkeypatch, limit, value, form):
    texts = ["a", "b b", "c", "a b", "brûlée", "c c"]
    whole = printed("--format", form, *texts).splitlines()
    monkeypatch.setattr(tokenize_command, limit, value)
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    assert printed("--format", form, "--file", str(tmp_path / "texts.txt")).splitlines() == whole
    # Were all lines read first, the bad one would leave nothing printed.
    (tmp_path / "texts.txt").write_bytes("\n".join(texts[:-1]).encode() + b"\n\xff")
    assert main(["tokenize", "--model", str(folder), "--format", form, "--file", str(tmp_path / "texts.txt")]) == 2
    before = capsys.readouterr().out.splitlines()
    assert len(before) >= 4
    assert before == whole[: len(before)]


def test_what_a_terminal_obeys_is_escaped_in_the_table(printed):
    shown = printed("a\x1b]0;title\x07\n\t\x9b\u202e\u2028é", "\x1b[31m", "--no-special-tokens")
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert r"1: a\x1b]0;title\x07\n\t\x9b\u202e\u2028é" in shown
    assert table_rows(shown)[-1] == ["0", r"\x1b[31m", str(IDS["\x1b[31m"]), "0-5", r"\x1b[31m", "0"]


def test_what_is_escaped_inside_a_piece_keeps_its_offsets(printed):
    assert table_rows(printed("b\x00ru\u200dlee", "--no-special-tokens")) == [
        ["0", "bru", "6", "0-4", r"b\x00ru", "0"],
        ["1", "##lee", "7", "5-8", "lee", "0"],
    ]


def test_markup_and_emoji_names_are_printed_as_they_stand(printed):
    shown = printed("[bold] a [/] :smile:", "[/bold]")
    assert [row[4] for row in table_rows(shown)][1:5] == ["[bold]", "a", "[/]", ":smile:"]
    assert [row[1] for row in table_rows(shown)][1:5] == ["[bold]", "a", "[/]", ":smile:"]
    assert "1: [bold] a [/] :smile:" in shown
    assert "2: [/bold]" in shown


def test_a_token_wider_than_the_terminal_is_shown_whole(printed):
    shown = printed("x" * 500, "--no-special-tokens")
    assert "".join(row[4] for row in table_rows(shown)) == "x" * 500


def test_tokens_are_apart_at_spaces_alone(printed):
    assert printed("--format", "tokens", "a two words \x1b[31m c") == "[CLS] a two\\x20words \\x1b[31m c [SEP]\n"


def test_jsonl_has_nothing_that_a_terminal_obeys_or_that_ends_a_line(printed):
    text = "é\x9b\x7f\u2028\x85\n\x1b"
    shown = printed("--format", "jsonl", text)
    assert len(shown.splitlines()) == 1
    assert shown.isascii()
    assert json.loads(shown)["text"] == text


def run_on(
    folder: Path, *arguments: str | bytes, encoding: str = "utf-8", data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "minibert.cli.main", "tokenize", "--model", str(folder), *arguments]
    return subprocess.run(command, input=data, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding})


@pytest.mark.long
def test_an_output_of_few_characters_gets_escapes_for_those_it_lacks(folder):
    for options in ([], ["--format", "tokens", "--cased"]):
        outcome = run_on(folder, "Crème é", *options, encoding="ascii")
        assert outcome.returncode == 0, outcome.stderr
        assert rb"Cr\xe8me" in outcome.stdout
        assert b"?" not in outcome.stdout


def test_a_reader_that_goes_away_needs_no_word(folder):
    command = [sys.executable, "-m", "minibert.cli.main", "tokenize", "--model", str(folder), "--format", "ids", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    _, error = process.communicate(b"a b c\n" * 50_000)
    assert error == b""
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no text to tokenize"),
        (["-", "a"], "- (standard input) was given beside other texts"),
        (["-", "-"], "- (standard input) was given beside other texts"),
        (["a", "--file", "texts"], "--file was given beside other texts"),
        (["a", "b", "--pair", "c"], "--pair goes with a single TEXT"),
        (["-", "--pair", "c"], "--pair goes with a single TEXT"),
        (["--file", "texts", "--pair", "c"], "--pair goes with a single TEXT"),
        (["--file", "absent"], "absent does not exist"),
        (["--file", "x" * 5000], "xxx does not exist"),
        (["--file", "texts", "--file", "folder"], "folder is a folder"),
        (["--file", "empty", "--file", "empty"], "empty, empty is empty"),
        (["--file", "texts", "--file", "latin-1"], "latin-1 is not UTF-8 at byte 5, in line 2"),
        (["--file", "cut"], "cut is not UTF-8 at byte 1, in line 1"),
        (["a", "b\udcff"], "text[1] has half of a surrogate pair, U+DCFF, at position 1"),
        (["a", "--pair", "\udcff"], "text_pair[0] has half of a surrogate pair, U+DCFF, at position 0"),
    ],
)
@pytest.mark.parametrize("form", tokenize_command.FORMATS)
def test_bad_input_is_one_sentence_and_status_2(refused, tmp_path, monkeypatch, arguments, message, form):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name, data in {"texts": b"a\nb\n", "empty": b"", "latin-1": b"a b\nb\xe9\n", "cut": b"a\xc3\nb"}.items():
        (tmp_path / name).write_bytes(data)
    assert message in refused("--format", form, *arguments)


def test_a_file_that_does_not_exist_is_refused_before_any_other_is_printed(folder, tmp_path, capsys):
    (tmp_path / "texts").write_bytes(b"a\n")
    files = ["--file", str(tmp_path / "texts"), "--file", str(tmp_path / "absent")]
    assert main(["tokenize", "--model", str(folder), "--format", "ids", *files]) == 2
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_read_is_one_sentence(refused, tmp_path, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "texts").write_bytes(b"a\n")
    monkeypatch.setattr("minibert.cli.texts.open", forbidden, raising=False)
    assert "texts cannot be read: Permission denied" in refused("--file", str(tmp_path / "texts"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input is empty"),
        (b"good\n\xff\xfe\n", "standard input is not UTF-8 at byte 5, in line 2"),
        (b"a\n" * 100 + b"\xff", "standard input is not UTF-8 at byte 200, in line 101"),
    ],
)
def test_standard_input_that_is_no_text_is_refused(refused, monkeypatch, data, message):
    standard_input(monkeypatch, data)
    assert message in refused("-")


def test_a_closed_standard_input_is_refused(refused, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in refused("-")


def test_bytes_on_the_command_line_that_are_not_utf_8_are_refused(folder):
    outcome = run_on(folder, b"a\xff")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(b"minibert: text[0] has half of a surrogate pair, U+DCFF")


def test_a_folder_without_a_vocabulary_is_named(tmp_path, capsys):
    assert main(["tokenize", "--model", str(tmp_path), "a"]) == 2
    assert f"{tmp_path} has neither vocab.txt nor tokenizer.json" in capsys.readouterr().err


def test_a_file_without_end_is_one_sentence(refused, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("minibert.features.corpus.sources.lines.LONGEST_LINE", 1000)
    assert "line 1 of /dev/zero has over 1,000 bytes; expected a text a line" in refused("--file", "/dev/zero")
