"""`minibert pretrain`: from text to a folder, what is said meanwhile, and bad input in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from minibert.cli.main import main

pytestmark = pytest.mark.usefixtures("no_compilation_cache")

Run = Callable[..., int]
THINGS = ("house", "river", "bank", "tree")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    documents = [[f"The {thing} is {what}.", f"A {thing} was {what}."] * 3 for thing in THINGS for what in ("red", "blue")]
    path.write_text("\n\n".join("\n".join(document) for document in documents))
    return path


@pytest.fixture
def pretrain(tmp_path: Path, text: Path) -> Run:
    def run(*arguments: object) -> int:
        small = ("--max-length", 16, "--batch-size", 8, "--passes", 1)
        sizes = ("--hidden-size", 8, "--layers", 1, "--vocabulary-size", 60)
        given = ["pretrain", *(arguments if "TEXT" in arguments else ("TEXT", *arguments)), *small, *sizes]
        return main([*(str(text) if each == "TEXT" else str(each) for each in given), "--output", str(tmp_path / "out")])

    return run


def test_text_is_learned_and_what_is_done_is_said(pretrain: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert pretrain("--held-out", 0, "--steps", 2) == 0
    said = capsys.readouterr()
    assert "learning a vocabulary of at most 60 tokens" in said.err
    assert "pre-training on text.txt: 8 documents, 48 sentences" in said.err and "of two documents" in said.err
    assert "parameters; 2 steps" in said.err and "step 2 of 2" in said.err
    assert said.out == f"wrote {tmp_path / 'out'} (the last parameters of 2)\n"
    assert pretrain() == 2
    assert "is there already and is no empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.txt", "TEXT"], "absent.txt does not exist"),
        (["TEXT", "TEXT"], "give each file once, and --passes to read"),
        (["--epochs", 1, "--steps", 1], "--steps and --epochs were both given"),
        (["--learning-rate", -1], "--learning-rate is -1.0"),
        (["--resume", "--restart"], "--resume and --restart were both given"),
        (["--model", "minilm-l6"], "--vocabulary-size was given with 'minilm-l6'"),
        (["--tokenizer", "there"], "--vocabulary-size was given with 'there'"),
        (["--held-out", 1], "--held-out is 1.0"),
        (["--steps", 0], "--steps is 0"),
        (["--devices", "3x3"], "--devices is '3x3', which takes 9"),
        (["--heads", 3], "--hidden-size is 8, which --heads 3 does not divide"),
        (["--accumulation", 3], "give a --batch-size that is a multiple of --accumulation"),
        (["--max-gradient-norm", -1], "--max-gradient-norm is -1.0; expected a number above 0, or 0 for no limit"),
        (["--masked-share", -1], "--masked-share is -1.0; expected a number above 0 and below 1"),
        (["TEXT", ""], "the name of a file is empty"),
        (["--held-out", 0, "--evaluate-every", 2], "--evaluate-every was given, and nothing is held out"),
        (["--log-every", 10**11], "--log-every is 100000000000; expected a whole number from 1 to 2,147,483,648"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    arguments: list[object], words: str, pretrain: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert pretrain(*arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("minibert: ") and words in said[0]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


@pytest.mark.long
def test_a_training_that_goes_on_says_after_which_step(
    pretrain: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    given = ("--steps", 2, "--held-out", 0.3)
    with monkeypatch.context() as patched:
        patched.setattr("minibert.training.pretraining.job.write_results", stopped)
        assert pretrain(*given) == 130
    assert "of 2 documents held out; 2 steps" in capsys.readouterr().err
    assert pretrain(*given, "--resume") == 0
    said = capsys.readouterr()
    assert "2 steps, going on after step 2" in said.err and "learning a vocabulary" not in said.err
    assert "masked lm accuracy" in said.out and "next sentence accuracy" in said.out
    assert f"wrote {tmp_path / 'out'} (the best after step 2 of 2)" in said.out
