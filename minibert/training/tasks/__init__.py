"""BERT's tasks: how examples become rows of ids, and logits become predictions and metrics."""

from minibert.training.tasks.answer_questions import AnswerQuestions
from minibert.training.tasks.named_tasks import TASKS, task_from_settings
from minibert.training.tasks.tag_words import TagWords
from minibert.training.tasks.task import DescribedTask, Task
from minibert.training.tasks.text_tasks import ClassifyPairs, ClassifyTexts, GiveLabels, PredictNumbers

__all__ = [
    "TASKS",
    "AnswerQuestions",
    "ClassifyPairs",
    "ClassifyTexts",
    "DescribedTask",
    "GiveLabels",
    "PredictNumbers",
    "TagWords",
    "Task",
    "task_from_settings",
]
