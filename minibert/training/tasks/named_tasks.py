"""The tasks by their names, and tasks from settings that were stored."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from minibert.errors import InputError, shown
from minibert.tokenizer import Tokenizer
from minibert.training.tasks.answer_questions import AnswerQuestions
from minibert.training.tasks.tag_words import TagWords
from minibert.training.tasks.task import DescribedTask
from minibert.training.tasks.text_tasks import ClassifyPairs, ClassifyTexts, GiveLabels, PredictNumbers

TASKS: dict[str, type[DescribedTask]] = {
    "classify": ClassifyTexts,
    "regress": PredictNumbers,
    "multilabel": GiveLabels,
    "pair": ClassifyPairs,
    "tag": TagWords,
    "qa": AnswerQuestions,
}
"""Each is called as `TASKS[name](tokenizer, labels, max_length, …)`."""


def task_from_settings(settings: Mapping[str, Any], tokenizer: Tokenizer) -> DescribedTask:
    """The task whose `settings()` these are, with the tokenizer that was stored beside them.

    Raises InputError for a task, or a setting of it, that does not exist or has a value out of range.
    """
    name = settings.get("task")
    if not isinstance(name, str) or name not in TASKS:
        raise InputError(f"the task is {shown(name)}; expected one of {', '.join(TASKS)}")
    kind: Any = TASKS[name]
    known = [field.name for field in fields(kind) if field.name != "tokenizer"]
    unknown = [key for key in settings if key not in ("task", *known)]
    if unknown:
        raise InputError(f"the task {name} has no setting {shown(unknown[0])}; expected {', '.join(known)}")
    if "labels" not in settings:
        raise InputError(f"the settings of the task {name} lack labels; expected a list of names, empty where labels have none")
    labels = settings["labels"]
    if not isinstance(labels, list):
        raise InputError(f"labels are {shown(labels)}; expected a list of names")
    values = {key: settings[key] for key in known if key in settings}
    task: DescribedTask = kind(tokenizer, **values | {"labels": tuple(labels)})
    return task
