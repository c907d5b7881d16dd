"""`minibert fill-mask`: tables and lines, where its texts come from, and what it refuses."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_checkpoint import VOCABULARY, tiny_checkpoint

from minibert import MaskedWords
from minibert.cli.main import main

pytestmark = pytest.mark.usefixtures("no_compilation_cache")

Run = Callable[..., int]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("fill") / "encoder", VOCABULARY)


@pytest.fixture(scope="module")
def checkpoint(encoder: Path) -> Path:
    """The same with a head of random numbers."""
    folder = encoder.with_name("model")
    shutil.copytree(encoder, folder)
    random = np.random.default_rng(0)
    shapes = {"transform.dense.weight": (24, 24), "transform.dense.bias": (24,), "bias": (37,)}
    shapes |= {"transform.LayerNorm.weight": (24,), "transform.LayerNorm.bias": (24,)}
    head = {f"cls.predictions.{name}": random.normal(scale=0.3, size=shape) for name, shape in shapes.items()}
    tensors = load_file(folder / "model.safetensors") | {name: values.astype(np.float32) for name, values in head.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def fill(checkpoint: Path) -> Run:
    return lambda *arguments: main(["fill-mask", *map(str, arguments), "--model", str(checkpoint)])


@pytest.fixture
def lines(fill: Run, capsys: pytest.CaptureFixture[str]) -> Callable[..., list]:
    """The JSON objects that the command prints."""

    def run(*arguments: object) -> list:
        assert fill(*arguments, "--json") == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return [json.loads(line) for line in captured.out.splitlines()]

    return run


def rows(shown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]


def test_a_table_has_a_word_a_row(fill: Run, checkpoint: Path, capsys):
    assert fill("The [MASK] of a river", "--top", 5) == 0
    expected = MaskedWords(checkpoint).fill(["The [MASK] of a river"])[0].masks[0].words
    assert rows(capsys.readouterr().out) == [
        [word.word, f"{word.probability:.4f}", str(word.token_id), f"The {word.word} of a river"] for word in expected
    ]


def test_the_table_of_several_masks_numbers_them(fill: Run, capsys):
    assert fill("a [MASK] of [MASK]", "--targets", "bank, River") == 0
    found = rows(capsys.readouterr().out)
    assert sorted((row[0], row[1], row[4]) for row in found) == [
        ("1", "bank", "a bank of [MASK]"),
        ("1", "river", "a river of [MASK]"),
        ("2", "bank", "a [MASK] of bank"),
        ("2", "river", "a [MASK] of river"),
    ]


def test_a_line_of_json_has_a_text_and_its_masks(lines, checkpoint: Path):
    [found] = lines("a [MASK]", "--top", 2)
    words = MaskedWords(checkpoint).fill(["a [MASK]"])[0].masks[0].words
    assert found == {"text": "a [MASK]", "masks": [{"span": [2, 8], "words": [vars(word) for word in words[:2]]}]}


def test_texts_come_from_files_and_standard_input(lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "texts.txt").write_text("a [MASK]\nthe [MASK] .\n")
    assert [each["text"] for each in lines("--file", tmp_path / "texts.txt")] == ["a [MASK]", "the [MASK] ."]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[MASK] of\n")))
    assert [each["text"] for each in lines("-")] == ["[MASK] of"]


def test_the_model_is_told_of_the_dtype_of_products(fill: Run, monkeypatch: pytest.MonkeyPatch):
    told = []

    class Told(MaskedWords):
        def __init__(self, name_or_path: str, **overrides: object):
            told.append(overrides)
            super().__init__(name_or_path)

    monkeypatch.setattr("minibert.cli.fill_mask.MaskedWords", Told)
    assert fill("a [MASK]", "--dtype", "bfloat16") == fill("a [MASK]") == 0
    assert told == [{"dtype": "bfloat16"}, {}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there is no text to fill; give one, - for standard input, or --file PATH"),
        (("a bank",), "text 1 ('a bank') has no [MASK], the mask of this model's tokenizer"),
        (("[MASK]", ""), "text 2 is empty"),
        (("[MASK]", "[MASK]" + " a" * 20), "has 23 tokens, the two at its ends included, and the model takes 19 at most"),
        (("[MASK]", "--top", "0"), "top is 0; expected a whole number from 1 to 37"),
        (("[MASK]", "--targets", "a,,the"), "the target '' holds no word"),
        (("[MASK]", "--targets", "raised its"), "falls into 2 pieces, raised its"),
        (("[MASK]", "-"), "- (standard input) was given beside other texts"),
        (("[MASK] \udcff",), "text 1 has half of a surrogate pair"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], message: str, fill: Run, capsys):
    assert fill(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_checkpoint_without_the_head_is_one_sentence(encoder: Path, capsys):
    assert main(["fill-mask", "a [MASK]", "--model", str(encoder)]) == 2
    printed = capsys.readouterr()
    assert "does not hold the head masked_lm" in printed.err and "minibert pretrain" in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""


def test_characters_that_a_terminal_obeys_are_not_printed(fill: Run, capsys):
    for options in ((), ("--json",)):
        assert fill("\x1b[31m\x9b31m [MASK] [bold]", *options) == 0
        shown = capsys.readouterr().out
        assert "\x1b" not in shown and "\x9b" not in shown and "[bold]" in shown
