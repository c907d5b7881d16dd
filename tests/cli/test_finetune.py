"""`minibert finetune` and `minibert predict`: from files to a folder, from a folder to predictions, and what is said."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_checkpoint import VOCABULARY, tiny_checkpoint

from minibert.cli.main import main

pytestmark = [pytest.mark.usefixtures("no_compilation_cache"), pytest.mark.filterwarnings("ignore::minibert.NewHeadWarning")]

ROWS = [("the river bank", "river"), ("a river", "river"), ("the bank raised rates", "money"), ("its rates", "money")]
Run = Callable[..., int]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS * 2))
    return path


@pytest.fixture
def finetune(tmp_path: Path) -> Run:
    model = tiny_checkpoint(tmp_path / "model", VOCABULARY)

    def run(*arguments: object) -> int:
        small = ("--max-length", "19", "--epochs", "1", "--batch-size", "8", "--model", model, "--output", tmp_path / "out")
        return main(["finetune", *map(str, (*small, *arguments))])

    return run


def test_a_model_is_trained_and_asked(
    finetune: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    events = tmp_path / "events"
    assert finetune("--task", "classify", "--train", data, "--eval", data, "--tensorboard", events) == 0
    said = capsys.readouterr()
    assert "accuracy" in said.out and f"wrote {tmp_path / 'out'} (the best after step 1 of 1)" in said.out
    assert "training on data.tsv: 8 texts" in said.err and "labels money, river" in said.err
    assert "warning: " in said.err and "does not hold" in said.err
    assert list(events.iterdir())
    assert main(["predict", "--model", str(tmp_path / "out"), "a river", "its rates"]) == 0
    assert "a river" in capsys.readouterr().out
    assert main(["predict", "--model", str(tmp_path / "out"), "--file", str(data), "--output", str(tmp_path / "said.jsonl")]) == 0
    predictions = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert [each["text"] for each in predictions] == [text for text, _ in ROWS * 2]
    assert {each["label"] for each in predictions} <= {"river", "money"}
    lines = tmp_path / "lines.txt"
    lines.write_text("a river\nits rates\n")
    capsys.readouterr()
    assert main(["predict", "--model", str(tmp_path / "out"), "--file", str(lines), "--format", "jsonl"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["label"] for each in shown] == [predictions[1]["label"], predictions[3]["label"]]
    # A table by another name is no text a line.
    table = tmp_path / "table.txt"
    table.write_bytes(data.read_bytes())
    asked = ["predict", "--model", str(tmp_path / "out"), "--file", str(table), "--format", "jsonl"]
    assert main(asked) == 2
    assert "has a tab in its first line; name its columns" in capsys.readouterr().err
    assert main([*asked, "--text", "text"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == predictions


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--train", "absent.tsv", "--task", "classify"], "absent.tsv"),
        (["--train", "{data}"], "there is no task"),
        (
            ["--train", "{data}", "--task", "classify", "--stride", "3"],
            "--stride was given, which the task classify does not have",
        ),
        (["--train", "{data}", "--task", "classify", "--label", "topic"], "topic"),
        (["--train", "{data}", "--task", "regress"], "line 2"),
        (["--train", "{data}", "--task", "pair"], "second text"),
        (["--train", "{data}", "--task", "classify", "--learning-rate", "-1"], "--learning-rate is -1.0; expected"),
        (["--train", "{data}", "--task", "classify", "--devices", "3x3"], "which takes 9"),
        (["--train", "{data}", "--task", "classify", "--resume", "--restart"], "--resume and --restart were both given"),
        (["--train", "{data}", "--task", "classify", "--process", "0"], "belong together"),
        (["--train", "{data}", "--task", "classify", "--vectors", "glove.txt"], "without a baseline"),
        (["--train", "{data}", "--task", "classify", "--max-length", "1000"], "--max-length"),
        (["--train", "{data}", "--task", "classify", "--warm-up", "2"], "--warm-up is 2.0; expected"),
        (
            ["--train", "{data}", "--task", "classify", "--max-gradient-norm", "-1"],
            "--max-gradient-norm is -1.0; expected a number above 0, or 0 for no limit",
        ),
        (["--train", "{data}", "--task", "classify", "--dropout", "1"], "--dropout is 1.0"),
        (
            ["--train", "{data}", "--task", "classify", "--train-vectors"],
            "--train-vectors was given without a baseline; give --base",
        ),
        (
            ["--train", "{data}", "--task", "classify", "--baseline", "lstm", "--lstm-size", "7"],
            "--lstm-size is 7; expected an even",
        ),
        (
            ["--train", "{data}", "--task", "classify", "--baseline", "lstm", "--frozen-layers", "1"],
            "--frozen-layers was given with a baseline, which has no encoder's layers",
        ),
        (
            ["--train", "{words}", "--task", "tag", "--tag-column", "9"],
            "it has 2 columns and --tag-column is 9; expected one of 1 to 2, or of -2 to -1",
        ),
        (
            ["--train", "{words}", "--task", "tag", "--tag-column", "1"],
            "--token-column and --tag-column are both column 1 of 2",
        ),
        (["--train", "{words}", "--task", "tag", "--token-column", "-5"], "--token-column is -5; expected one of 1 to 2"),
        (["--train", "{data}", "--task", "classify", "--tag-column", "2"], "--tag-column was given for the task classify"),
        (["--train", "{data}", "--task", "classify", "--evaluate-every", "3"], "--evaluate-every was given without a file"),
        (
            ["--train", "{data}", "--task", "classify", "--text", "1", "--label", "2", "--no-header"],
            "expected none: leave out --no-header",
        ),
        (
            ["--train", "{data}", "--task", "classify", "--freeze-encoder", "--layer-decay", "0.9"],
            "--layer-decay was given with --freeze-encoder, where no layer learns",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    arguments: list[str], words: str, finetune: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words_and_tags = tmp_path / "words.conll"
    words_and_tags.write_text("the O\nbank B-PLACE\n")
    assert finetune(*(argument.format(data=data, words=words_and_tags) for argument in arguments)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("minibert: ") and words in said[0]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a river"], "has no minibert_task.json"),
        ([], "there is no text to predict"),
        (["a river", "--output", "said.txt"], "expected a file that ends in .jsonl"),
        (["a river", "--batch-size", "0"], "--batch-size is 0"),
        (["--file", "{file}", "--output", "{file}"], "own.jsonl is the file that is read; give another name to write to"),
    ],
)
def test_what_predict_cannot_do_is_said(arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, file = tiny_checkpoint(tmp_path / "model", VOCABULARY), tmp_path / "own.jsonl"
    file.write_text('{"text": "a river", "note": "mine"}\n')
    assert main(["predict", "--model", str(model), *(argument.format(file=file) for argument in arguments)]) == 2
    assert words in capsys.readouterr().err
    assert "mine" in file.read_text()


def test_a_second_text_that_is_left_aside_is_told(finetune: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("sentence1\tsentence2\tlabel\n" + "a river\tthe bank\tyes\nits rates\ta river\tno\n" * 4)
    assert finetune("--task", "classify", "--train", pairs) == 0
    assert "the column 'sentence2' is left aside, for this task reads one text" in capsys.readouterr().err


def test_a_file_that_cola_asks_about_has_other_columns(finetune: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train, asked = tmp_path / "train.tsv", tmp_path / "test.tsv"
    train.write_text("gj04\t1\t\tthe river bank\ngj04\t0\t*\tbank the\n" * 4)
    asked.write_text("index\tsentence\n0\ta river\n1\tits rates\n")
    assert finetune("--glue", "cola", "--train", train) == 0
    capsys.readouterr()
    assert main(["predict", "--model", str(tmp_path / "out"), "--glue", "cola", "--file", str(asked), "--format", "jsonl"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["a river", "its rates"]
    assert main(["predict", "--model", str(tmp_path / "out"), "--glue", "cola", "--file", str(train), "--format", "jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 8


@pytest.mark.long
def test_a_training_that_goes_on_says_after_which_step_and_tells_no_step_twice(
    finetune: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    job = "minibert.training.finetuning.job.save_trained"
    given = ("--task", "classify", "--train", data, "--eval", data, "--epochs", "2")
    with monkeypatch.context() as patched:
        patched.setattr(job, stopped)
        assert finetune(*given) == 130
    assert "step 1 of 2" in capsys.readouterr().err
    assert finetune(*given) == 2
    assert "holds a training that was interrupted; go on with it by --resume" in capsys.readouterr().err
    assert finetune(*given, "--resume") == 0
    said = capsys.readouterr().err
    assert "2 steps, going on after step 2" in said and "step 1 of 2" not in said
