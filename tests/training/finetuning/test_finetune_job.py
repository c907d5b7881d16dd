"""The job: every task from a file to a folder and to predictions, and what it refuses before it trains."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from task_files import small_options, write_file

import minibert
from minibert import InputError, NewHeadWarning
from minibert.errors import CheckpointError
from minibert.training.data import Question
from minibert.training.data.data_warning import DataWarning
from minibert.training.finetuning import Finetuned, FinetuneOptions, Predictor, finetune
from minibert.training.finetuning.files import read_examples, read_for_training
from minibert.training.finetuning.models import task_of
from minibert.training.finetuning.work import Work
from minibert.training.optimiser import OptimiserOptions
from minibert.training.tasks import TASKS

pytestmark = pytest.mark.filterwarnings("ignore::minibert.NewHeadWarning")


LABELS_OF = {"tag": ("O", "B-LOC")}


def trained(tmp_path: Path, model: Path, task: str, output: str = "out", **options: Any) -> Finetuned:
    data = write_file(tmp_path, task)
    return finetune(data, data, tmp_path / output, small_options(task, model, **options))


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_every_task_goes_from_a_file_to_a_folder_that_predicts(task: str, tmp_path: Path, tiny_model_folder: Path):
    done = trained(tmp_path, tiny_model_folder, task)
    assert not (tmp_path / "out.training").exists()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "minibert_task.json",
        "metrics.jsonl",
        "README.md",
        "training_curves.png",
    }
    assert done.metrics and all(np.isfinite(value) for value in done.metrics.values())
    predictor = Predictor(tmp_path / "out")
    examples = read_examples(write_file(tmp_path, task), predictor.task.name, small_options(task, tiny_model_folder).columns)
    assert len(predictor(examples)) == len(examples)
    # What was measured is what the stored model says.
    logits_metrics = predictor.task.metrics(examples, predictor.logits(examples))
    assert logits_metrics == pytest.approx(dict(done.metrics), rel=1e-6, abs=1e-6)


@pytest.mark.long
def test_what_was_trained_in_bfloat16_says_the_same_when_it_is_asked_in_bfloat16(tmp_path: Path, tiny_model_folder: Path):
    done = trained(tmp_path, tiny_model_folder, "regress", dtype="bfloat16")
    narrow, wide = (Predictor(tmp_path / "out", dtype=dtype) for dtype in ("bfloat16", "float32"))
    examples = read_examples(write_file(tmp_path, "regress"), "regress", small_options("regress", tiny_model_folder).columns)
    found, other = (predictor.task.metrics(examples, predictor.logits(examples)) for predictor in (narrow, wide))
    assert found == pytest.approx(dict(done.metrics), rel=1e-6, abs=1e-6)
    assert found != other


def test_a_predictor_refuses_other_dtypes(tmp_path: Path):
    with pytest.raises(InputError, match="dtype is 'float16'; expected float32 or bfloat16"):
        Predictor(tmp_path, dtype="float16")


@pytest.mark.long
@pytest.mark.parametrize("task", ["classify", "tag", "qa", "regress", "multilabel"])
def test_the_baseline_learns_the_same_tasks(task: str, tmp_path: Path, tiny_model_folder: Path):
    done = trained(tmp_path, tiny_model_folder, task, baseline="lstm", lstm_size=8, learning_rate=1e-2)
    assert done.unknown_words is not None and 0.0 <= done.unknown_words < 1.0
    predictor = Predictor(tmp_path / "out")
    examples = read_examples(write_file(tmp_path, task), predictor.task.name, small_options(task, tiny_model_folder).columns)
    metrics = predictor.task.metrics(examples, predictor.logits(examples))
    assert metrics == pytest.approx(dict(done.metrics), rel=1e-6, abs=1e-6)


@pytest.mark.long
def test_the_same_files_and_options_give_the_same_bits(tmp_path: Path, tiny_model_folder: Path):
    trained(tmp_path, tiny_model_folder, "classify", "one")
    trained(tmp_path, tiny_model_folder, "classify", "two")
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    trained(tmp_path, tiny_model_folder, "classify", "three", training={"seed": 1})
    assert (tmp_path / "three" / "model.safetensors").read_bytes() != one


@pytest.mark.long
def test_labels_and_their_kind_are_in_the_configuration(tmp_path: Path, tiny_model_folder: Path):
    trained(tmp_path, tiny_model_folder, "classify")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "money", "1": "river"}
    assert (config["problem_type"], config["architectures"]) == (
        "single_label_classification",
        ["BertForSequenceClassification"],
    )


class InterruptedByTestError(Exception):
    pass


def interrupt_at(step: int) -> Any:
    def report(record: dict[str, Any]) -> None:
        if record["step"] == step and "loss" in record:
            raise InterruptedByTestError

    return report


@pytest.mark.long
def test_an_interrupted_training_goes_on_when_told_and_ends_with_the_same_bits(tmp_path: Path, tiny_model_folder: Path):
    data, options = write_file(tmp_path, "classify"), small_options("classify", tiny_model_folder)
    finetune(data, data, tmp_path / "whole", options)
    with pytest.raises(InterruptedByTestError):
        finetune(data, data, tmp_path / "out", options, report=interrupt_at(3))
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="holds a training that was interrupted; go on with it by --resume"):
        finetune(data, data, tmp_path / "out", options)
    finetune(data, data, tmp_path / "out", options, resume=True)
    for name in ("model.safetensors", "metrics.jsonl", "config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.long
def test_a_kill_behind_the_last_rename_leaves_a_whole_output(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    data, options = write_file(tmp_path, "classify"), small_options("classify", tiny_model_folder)

    def killed(work: Work) -> None:
        raise InterruptedByTestError

    with monkeypatch.context() as patched:
        patched.setattr(Work, "remove", killed)
        with pytest.raises(InterruptedByTestError):
            finetune(data, data, tmp_path / "out", options)
    Predictor(tmp_path / "out")
    with pytest.raises(InputError, match="is done, and there is nothing to go on with"):
        finetune(data, data, tmp_path / "out", options, resume=True)
    assert not (tmp_path / "out.training").exists()


@pytest.mark.long
def test_another_training_is_not_resumed_and_what_differs_is_said(tmp_path: Path, tiny_model_folder: Path):
    data, options = write_file(tmp_path, "classify"), small_options("classify", tiny_model_folder)
    with pytest.raises(InterruptedByTestError):
        finetune(data, data, tmp_path / "out", options, report=interrupt_at(3))
    other = small_options("classify", tiny_model_folder, training={"seed": 1})
    with pytest.raises(InputError, match=r"was another one: seed was 0 and is 1 now"):
        finetune(data, data, tmp_path / "out", other, resume=True)
    changed = write_file(tmp_path, "classify", "changed")
    changed.write_text(changed.read_text() + "a river\triver\n")
    with pytest.raises(InputError, match=r"train\.bytes was .* train\.name was"):
        finetune(changed, data, tmp_path / "out", options, resume=True)
    finetune(data, data, tmp_path / "out", other, restart=True)


def test_a_folder_that_holds_something_is_refused_before_anything_is_read(tmp_path: Path, tiny_model_folder: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(CheckpointError, match="is there already and is no empty folder"):
        trained(tmp_path, tiny_model_folder, "classify")
    assert not (tmp_path / "out.training").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text\tlabel\nthe bank\tmoney\na river\tmoney\n", "all of its 2 rows have the label 'money'"),
        ("text\tlabel\n", "no row"),
        ("", "empty"),
        ("text\tlabel\nthe bank\tmoney\na river\n", "line 3"),
        ("text\tname\nthe bank\tmoney\n", "label"),
    ],
)
def test_bad_files_are_refused_before_training(content: str, words: str, tmp_path: Path, tiny_model_folder: Path):
    data = tmp_path / "bad.tsv"
    data.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        finetune(data, None, tmp_path / "out", small_options("classify", tiny_model_folder))
    assert "bad.tsv" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


def test_a_label_that_training_does_not_have_is_named_by_its_line(tmp_path: Path, tiny_model_folder: Path):
    data, other = write_file(tmp_path, "classify"), tmp_path / "other.tsv"
    other.write_text("text\tlabel\nthe bank\tmoney\na river\trivers\n")
    with pytest.raises(InputError, match=r"other\.tsv, line 3: the label is 'rivers', which training does not have"):
        finetune(data, other, tmp_path / "out", small_options("classify", tiny_model_folder))


def test_balanced_classes_weigh_by_how_rare_they_are(tmp_path: Path, tiny_model_folder: Path):
    from minibert.training.finetuning.models import objective_of, task_of, tokenizer_of

    data = tmp_path / "data.tsv"
    data.write_text("text\tlabel\n" + "the bank\tmoney\n" * 3 + "a river\triver\n")
    options = small_options("classify", tiny_model_folder, balanced=True)
    tokenizer = tokenizer_of(str(tiny_model_folder))
    examples = read_examples(data, "classify")
    task = task_of(options, tokenizer, ("money", "river"), examples)
    weights = objective_of(options, task, task.rows(examples)).class_weights["sequence_classification"]
    np.testing.assert_allclose(weights, [4 / 6, 4 / 2])


@pytest.mark.long
def test_a_head_of_other_labels_is_replaced_only_when_asked(tmp_path: Path, tiny_model_folder: Path):
    trained(tmp_path, tiny_model_folder, "classify", "two")
    data = tmp_path / "three.tsv"
    data.write_text("text\tlabel\nthe bank\ta\na river\tb\nrates\tc\n")
    with pytest.raises(CheckpointError, match="this head calls for"):
        finetune(data, None, tmp_path / "out", small_options("classify", tmp_path / "two"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", NewHeadWarning)
        finetune(data, None, tmp_path / "out", small_options("classify", tmp_path / "two", replace_head=True))


@pytest.mark.long
def test_bfloat16_products_leave_float32_parameters(tmp_path: Path, tiny_model_folder: Path):
    done = trained(tmp_path, tiny_model_folder, "classify", dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(done.trained.model)} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "clasify"}, "task is 'clasify'"),
        ({"task": "classify", "vectors": "glove.txt"}, "without a baseline"),
        ({"task": "regress", "balanced": True}, "which has no classes"),
        ({"task": "classify", "dropout": 1.0}, "dropout is 1.0"),
        ({"task": "classify", "dtype": "float16"}, "dtype is 'float16'"),
        ({"task": "classify", "baseline": "gru"}, "baseline is 'gru'"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        FinetuneOptions(**options)


def test_an_option_that_fails_leaves_nothing_that_stands_in_the_way(tmp_path: Path, tiny_model_folder: Path):
    data = write_file(tmp_path, "classify")
    with pytest.raises(InputError, match="frozen_layers is 7; the model has 2 layers"):
        options = small_options("classify", tiny_model_folder)
        wrong = replace(options, training=replace(options.training, optimiser=OptimiserOptions(frozen_layers=7)))
        finetune(data, data, tmp_path / "out", wrong)
    assert not (tmp_path / "out.training").exists()


def test_a_training_that_was_killed_before_its_first_checkpoint_is_none_to_go_on_with(tmp_path: Path):
    work = Work(tmp_path / "out")
    with work.locked([]):
        work.start({"options": 1}, resume=False, restart=False)
        work.start({"options": 2}, resume=False, restart=False)
        (work.folder / "states").mkdir()
        (work.folder / "states" / "3.json").write_text("{}")
        with pytest.raises(InputError, match="holds a training that was interrupted"):
            work.start({"options": 2}, resume=False, restart=False)
    assert work.folder.exists()


@pytest.mark.parametrize("held", ["notes.txt", "lock", "states"])
def test_a_folder_that_no_training_made_is_left_as_it_is(tmp_path: Path, tiny_model_folder: Path, held: str):
    data, folder = write_file(tmp_path, "classify"), tmp_path / "out.training"
    folder.mkdir()
    if held == "states":
        (folder / held).mkdir()
    else:
        (folder / held).write_text("what somebody wrote")
    for restart in (False, True):
        with pytest.raises(InputError, match=r"out.training is there and holds no training of minibert's"):
            finetune(data, data, tmp_path / "out", small_options("classify", tiny_model_folder), restart=restart)
    assert [path.name for path in folder.iterdir()] == [held]
    assert held == "states" or (folder / held).read_text() == "what somebody wrote"
    folder.rename(tmp_path / "moved")
    folder.write_text("a file")
    with pytest.raises(InputError, match=r"out.training is there and holds no training"):
        finetune(data, data, tmp_path / "out", small_options("classify", tiny_model_folder))
    assert folder.read_text() == "a file"


def test_what_is_left_of_a_training_that_was_killed_early_or_while_it_was_removed_is_none_of_somebody_else(tmp_path: Path):
    work = Work(tmp_path / "out")
    work.folder.mkdir()
    for content in ("", "4711"):
        (work.folder / "lock").write_text(content)
        (work.folder / "states").mkdir(exist_ok=True)
        with work.locked([]):
            pass
        assert not work.folder.exists()
        work.folder.mkdir()


def test_inputs_within_the_folder_that_is_going_to_be_removed_are_refused(tmp_path: Path, tiny_model_folder: Path):
    folder, options = tmp_path / "out.training", small_options("classify", tiny_model_folder)
    folder.mkdir()
    (folder / "lock").touch()
    inside = write_file(tmp_path, "classify").rename(folder / "data.tsv")
    (tmp_path / "link.tsv").symlink_to(inside)
    outside = write_file(tmp_path, "classify")
    for train, evaluation, model in (
        (inside, None, options.model),
        (outside, tmp_path / "link.tsv", options.model),
        (outside, None, str(folder)),
    ):
        with pytest.raises(InputError, match=r"lies in .*out.training, which is removed when this training is done"):
            finetune(train, evaluation, tmp_path / "out", replace(options, model=model))
    assert inside.exists()


def test_a_training_that_is_done_is_not_gone_on_with(tmp_path: Path, tiny_model_folder: Path):
    data, options = write_file(tmp_path, "classify"), small_options("classify", tiny_model_folder)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(CheckpointError, match="is there already and is no empty folder"):
        finetune(data, data, tmp_path / "out", options, resume=True)
    # Every training leaves its metrics in its output.
    (tmp_path / "out" / "metrics.jsonl").touch()
    with pytest.raises(InputError, match=r"the training of .*out is done, and there is nothing to go on with"):
        finetune(data, data, tmp_path / "out", options, resume=True)
    assert not (tmp_path / "out.training").exists() and len(list((tmp_path / "out").iterdir())) == 2


def test_what_there_is_to_evaluate_with_is_told_before_training(tmp_path: Path, tiny_model_folder: Path):
    data, same = write_file(tmp_path, "classify"), tmp_path / "same.tsv"
    same.write_text("text\tlabel\na bank\triver\nits rates\triver\n")
    options = small_options("classify", tiny_model_folder)
    with pytest.warns(DataWarning, match="same.tsv: all of its 2 rows have the label 'river'"):
        read_for_training(data, same, options)
    numbers, constant = write_file(tmp_path, "regress", "numbers"), tmp_path / "constant.tsv"
    constant.write_text("sentence1\tsentence2\tscore\na\tb\t1\nc\td\t1.0\n")
    with pytest.raises(InputError, match=r"constant.tsv: all of its 2 rows have the label 1.0; expected two numbers at least"):
        read_for_training(numbers, constant, small_options("regress", tiny_model_folder))


@pytest.mark.parametrize("option", ["patience", "evaluate_every"])
def test_what_is_evaluated_wants_a_file_to_evaluate_with(option: str, tmp_path: Path, tiny_model_folder: Path):
    with pytest.raises(InputError, match=f"{option} was given without a file to evaluate with"):
        options = small_options("classify", tiny_model_folder, training={option: 1})
        finetune(write_file(tmp_path, "classify"), None, tmp_path / "out", options)


@pytest.mark.parametrize("option", [{"lstm_size": 4}, {"tag_column": 2}, {"token_column": 1}])
def test_options_that_would_do_nothing_are_refused(option: dict[str, int]):
    with pytest.raises(InputError, match=f"{next(iter(option))} was given"):
        FinetuneOptions(task="classify", **option)


@pytest.mark.parametrize("twin", ["Good", "\uff47ood"])
def test_labels_that_look_the_same_are_told(tmp_path: Path, twin: str):
    data = tmp_path / "data.tsv"
    data.write_text(f"text\tlabel\na\tgood\nb\t{twin}\nc\tbad\n")
    with pytest.warns(DataWarning, match="differ only in capitals or in how their characters are encoded") as told:
        labels = read_for_training(data, None, FinetuneOptions("classify"))[2]
    assert sorted(labels) == sorted(["good", twin, "bad"]) and len(told) == 1
    assert "'good'" in str(told[0].message) and ascii(twin) in str(told[0].message)


def test_evaluating_with_what_is_trained_on_is_told(tmp_path: Path, tiny_model_folder: Path):
    data = write_file(tmp_path, "classify")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)  # It is told before the training, which need not be waited for.
        with pytest.raises(DataWarning, match="is what is trained on: its metrics say how well it was remembered"):
            finetune(data, data, tmp_path / "out", small_options("classify", tiny_model_folder))


@pytest.mark.parametrize(("task", "lengths"), [("tag", [8, 16, 200]), ("qa", [16, 64, 128, 384])])
def test_windows_become_as_small_as_rows_need_them(task: str, lengths: list[int], tiny_model_folder: Path):
    (tiny_model_folder / "config.json").unlink()  # which says that there are 19 positions
    tokenizer = minibert.Tokenizer.from_folder(tiny_model_folder)
    options = small_options(task, tiny_model_folder)
    question = Question("line 1", "q1", "the bank", "a river", None)
    for length in lengths:
        found: Any = task_of(
            replace(options, task_settings={"max_length": length}), tokenizer, LABELS_OF.get(task, ()), [question]
        )
        if length >= 200:
            assert found.stride == type(found).stride
        else:
            assert 0 <= found.stride < length / 2
