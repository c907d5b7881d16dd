"""`minibert similar`: the nearest texts, from texts and from stored vectors."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_checkpoint import VOCABULARY, tiny_checkpoint

from minibert import Features
from minibert.cli.main import main

pytestmark = pytest.mark.usefixtures("no_compilation_cache")

TEXTS = ["the bank of a river", "its rates", "the bank raised its rates", "a river", "its rates", "of the"]

Run = Callable[..., int]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model", VOCABULARY)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


@pytest.fixture
def similar(checkpoint: Path) -> Run:
    return lambda *arguments: main(["similar", *map(str, arguments), "--model", str(checkpoint)])


@pytest.fixture
def vectors(checkpoint: Path, corpus: Path, tmp_path: Path) -> Path:
    path = tmp_path / "vectors.npy"
    assert main(["embed", "--model", str(checkpoint), "--file", str(corpus), "--output", str(path), "--quiet"]) == 0
    return path


def found(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, list[int], list[str | None]]]:
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [
        (entry["text"], [near["row"] for near in entry["nearest"]], [near["text"] for near in entry["nearest"]])
        for entry in entries
    ]


def test_the_nearest_texts_of_a_file(similar: Run, corpus: Path, checkpoint: Path, capsys):
    assert similar("a bank", "the rates", "--file", corpus, "-k", 2, "--format", "jsonl") == 0
    hits = Features(checkpoint).search(["a bank", "the rates"], TEXTS, 2)
    assert found(capsys) == [
        (text, rows, [TEXTS[row] for row in rows])
        for text, rows in zip(["a bank", "the rates"], hits.indices.tolist(), strict=True)
    ]


def test_stored_vectors_give_the_same_with_the_texts_of_their_file(similar: Run, corpus: Path, vectors: Path, capsys):
    assert similar("a bank", "--file", corpus, "--format", "jsonl") == 0
    expected = found(capsys)
    assert similar("a bank", "--vectors", vectors, "--file", corpus, "--format", "jsonl") == 0
    assert found(capsys) == expected
    assert similar("a bank", "--vectors", vectors) == 0
    assert "give the file of texts by --file" in capsys.readouterr().out


def test_without_a_model_stored_vectors_name_theirs(vectors: Path, capsys):
    assert main(["similar", "a bank", "--vectors", str(vectors), "--format", "jsonl", "-k", "1"]) == 0
    assert len(found(capsys)) == 1


def test_texts_alone_are_compared_with_each_other_and_never_with_themselves(similar: Run, capsys):
    assert similar(*TEXTS, "-k", 1, "--format", "jsonl") == 0
    nearest = [rows for _, rows, _ in found(capsys)]
    assert nearest[1] == [4] and nearest[4] == [1]
    assert all(rows != [number] for number, rows in enumerate(nearest))


def test_a_file_alone_is_compared_with_itself(similar: Run, corpus: Path, capsys):
    assert similar("--file", corpus, "-k", 9, "--format", "jsonl") == 0
    for number, (text, rows, _) in enumerate(found(capsys)):
        assert text == TEXTS[number] and sorted([*rows, number]) == list(range(len(TEXTS)))


def test_many_equal_texts_are_not_their_own_neighbours(similar: Run, capsys):
    assert similar(*["a river"] * 5, "-k", 2, "--format", "jsonl") == 0
    for number, (_, rows, _) in enumerate(found(capsys)):
        assert len(rows) == 2 and number not in rows


def test_tables_show_cosine_row_and_text(similar: Run, corpus: Path, capsys):
    assert similar("its rates", "--file", corpus, "-k", 1) == 0
    printed = capsys.readouterr().out
    assert "1.000" in printed and "its rates" in printed and "cosine" in printed


def test_queries_come_from_standard_input(similar: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a bank\nrates\n")))
    assert similar("-", "--file", corpus, "--format", "jsonl") == 0
    assert [text for text, _, _ in found(capsys)] == ["a bank", "rates"]


def test_cut_texts_are_said(similar: Run, capsys):
    assert similar("the bank " * 20, "a river") == 0
    assert "warning: 1 of 2 texts were cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there is nothing to compare"),
        (("one",), "there is nothing to compare"),
        (("one", "two", "-k", "0"), "-k is 0"),
        (("--file", "{single}"), "there is a single text"),
        (("one", "two", "--field", "text"), "--field belongs to files"),
        (("--vectors", "{vectors}"), "--vectors needs a text"),
        (("one", "--vectors", "{vectors}", "--layers", "first"), "layers was 'last' and is 'first' now"),
        (("one", "--vectors", "{vectors}", "--file", "{vectors}"), "made of other texts"),
        (("one", "--vectors", "nowhere.npy"), "nowhere.npy is no file"),
        (("one", "--file", "nowhere.txt"), "nowhere.txt does not exist"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], message: str, similar: Run, vectors: Path, capsys):
    capsys.readouterr()
    single = vectors.with_name("single.txt")
    single.write_text("a river\n")
    assert similar(*[argument.format(vectors=vectors, single=single) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_vectors_of_another_model_are_refused(vectors: Path, tmp_path: Path, capsys):
    other = tiny_checkpoint(tmp_path / "other", [word.replace("river", "rivers") for word in VOCABULARY])
    assert main(["similar", "a bank", "--vectors", str(vectors), "--model", str(other)]) == 2
    assert "tokenizer_sha256 was" in capsys.readouterr().err


def test_a_model_that_is_no_more_where_the_receipt_says_is_asked_for(vectors: Path, checkpoint: Path, tmp_path: Path, capsys):
    moved = checkpoint.rename(tmp_path / "moved")
    capsys.readouterr()
    assert main(["similar", "a bank", "--vectors", str(vectors)]) == 2
    assert "names that model: say where it is now by --model" in capsys.readouterr().err
    assert main(["similar", "a bank", "--vectors", str(vectors), "--model", str(moved)]) == 0
