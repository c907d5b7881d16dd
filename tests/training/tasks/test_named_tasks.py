"""The table of tasks, and tasks from stored settings: the same again, or refused by name."""

import json
import subprocess
import sys
from typing import Any

import pytest
from tiny_tokenizer import TOKENIZER

from minibert.errors import InputError
from minibert.model.heads import HEADS
from minibert.training.losses import LOSSES
from minibert.training.tasks import (
    TASKS,
    AnswerQuestions,
    ClassifyPairs,
    ClassifyTexts,
    DescribedTask,
    GiveLabels,
    PredictNumbers,
    TagWords,
    Task,
    task_from_settings,
)

EXAMPLES: list[Any] = [
    ClassifyTexts(TOKENIZER, ("bad", "good"), 64),
    ClassifyPairs(TOKENIZER, ("0", "1", "2")),
    PredictNumbers(TOKENIZER, max_length=32, takes_pairs=True),
    GiveLabels(TOKENIZER, ("a", "é"), threshold=0.25),
    TagWords(TOKENIZER, ("O", "B-PER", "I-PER"), 32, 4),
    AnswerQuestions(TOKENIZER, null_threshold=None, n_best=3),
]


@pytest.mark.parametrize("task", EXAMPLES, ids=lambda task: task.name)
def test_a_task_comes_back_from_its_settings(task: Any):
    settings = json.loads(json.dumps(task.settings(), allow_nan=False))
    assert settings["task"] == task.name and settings["labels"] == list(task.labels)
    assert task_from_settings(settings, TOKENIZER) == task


@pytest.mark.parametrize("task", EXAMPLES, ids=lambda task: task.name)
def test_a_task_is_one_with_a_head_and_a_loss_that_there_are(task: Any):
    assert isinstance(task, Task) and isinstance(task, DescribedTask)
    assert type(task) is TASKS[task.name]
    assert task.head in HEADS and task.loss in LOSSES
    assert task.num_labels == {"regress": 1, "qa": None}.get(task.name, len(task.labels))


def test_every_task_is_in_the_table():
    assert list(TASKS) == ["classify", "regress", "multilabel", "pair", "tag", "qa"]
    assert {type(task) for task in EXAMPLES} == set(TASKS.values())


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "the task is None; expected one of classify, regress, multilabel, pair, tag, qa"),
        ({"task": ["classify"]}, r"the task is \['classify'\]"),
        ({"task": "classify"}, "the settings of the task classify lack labels"),
        ({"task": "classify", "labels": "ab"}, "labels are 'ab'; expected a list of names"),
        ({"task": "classify", "labels": ["a", 1]}, "labels are .*expected a tuple of names"),
        ({"task": "classify", "labels": ["a", ["b"]]}, "labels are .*expected a tuple of names"),
        (
            {"task": "classify", "labels": ["a", "b"], "stride": 3},
            "the task classify has no setting 'stride'; expected labels, max",
        ),
        ({"task": "classify", "labels": ["a", "b"], "tokenizer": 3}, "the task classify has no setting 'tokenizer'"),
        ({"task": "classify", "labels": ["a", "b"], "max_length": 1.5}, "max_length is 1.5"),
        ({"task": "pair", "labels": ["a", "b"], "takes_pairs": None}, "takes_pairs is None"),
        ({"task": "tag", "labels": []}, "tag has 0 labels"),
        ({"task": "qa", "labels": [], "null_threshold": "0"}, "null_threshold is '0'"),
    ],
)
def test_settings_that_make_no_task_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        task_from_settings(settings, TOKENIZER)


@pytest.mark.long
def test_importing_the_tasks_imports_no_library_that_measures():
    code = "import sys, minibert.training.tasks; print({'sklearn', 'seqeval', 'torch', 'transformers'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
