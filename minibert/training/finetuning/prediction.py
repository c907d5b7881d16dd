"""What a trained model says of new examples: `Predictor`, from a folder that `finetune` wrote, or from one of transformers'."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.heads import load_with_head
from minibert.checkpoints.registry import folder_of, resolve
from minibert.errors import CheckpointError, InputError, shown
from minibert.strict_json import MAX_SETTINGS_BYTES, read_json_object
from minibert.tokenizer import Tokenizer
from minibert.training.baseline import load_baseline
from minibert.training.baseline.saving import BASELINE_FILE
from minibert.training.inference import logits_of
from minibert.training.tasks import DescribedTask, task_from_settings

TASK_FILE = "minibert_task.json"
ARCHITECTURES = ("BertForSequenceClassification", "BertForTokenClassification", "BertForQuestionAnswering")


def write_task_file(folder: Path, task: DescribedTask) -> None:
    """Note beside a trained model what it was trained for."""
    (folder / TASK_FILE).write_text(json.dumps(task.settings(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


class Predictor:
    """A trained model with its task.

    Args:
        name_or_path: a folder that `finetune` wrote, or a checkpoint of transformers' with the head of a task, whose
            configuration says what its labels are.
        dtype: of the operands of products, float32 or bfloat16; parameters stay as they are. A training in bfloat16 measured
            its model so.

    Raises InputError for another dtype, CheckpointError for a folder that is broken or has no head, TokenizerError for a broken
    tokenizer.
    """

    def __init__(self, name_or_path: str | Path, *, dtype: str = "float32") -> None:
        if dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype is {shown(dtype)}; expected float32 or bfloat16")
        folder = folder_of(resolve(name_or_path))
        file = folder / TASK_FILE
        stated = read_json_object(file, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES) if file.exists() else None
        self.model: Any
        if (folder / BASELINE_FILE).exists():
            self.model, self.tokenizer, _ = load_baseline(folder)
            if stated is None:
                raise CheckpointError(f"{folder} has no {TASK_FILE}; expected a folder that `minibert finetune` wrote")
        else:
            self.tokenizer = Tokenizer.from_folder(folder)
            stated = _settings_of_config(folder) if stated is None else stated
            self.model = None
        try:
            self.task = task_from_settings(stated, self.tokenizer)
        except InputError as problem:
            raise CheckpointError(f"{file if file.exists() else folder}: {problem}") from None
        if self.model is None:
            self.model = load_with_head(name_or_path, self.task.head, dtype=dtype, param_dtype="float32")

    def __call__(self, examples: Sequence[Any], *, batch_size: int = 32) -> list[dict[str, Any]]:
        """For each example what the task's `predictions` are. Raises InputError for examples of another task."""
        return self.task.predictions(examples, self.logits(examples, batch_size=batch_size))

    def logits(self, examples: Sequence[Any], *, batch_size: int = 32) -> list[np.ndarray]:
        """Those of each of the task's rows, [num_labels] or [tokens, num_labels]."""
        rows = self.task.rows(examples)
        return logits_of(self.model, rows, batch_size=batch_size, pad_token_id=self.tokenizer.pad_token_id)


def _settings_of_config(folder: Path) -> dict[str, Any]:
    """The settings of a task as a configuration of transformers' tells them."""
    file = folder / "config.json"
    config = read_json_object(file, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES) if file.exists() else {}
    architectures = config.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"{folder} has no {TASK_FILE}, and its config.json names the architecture {shown(name)}; expected a folder that "
            f"`minibert finetune` wrote, or one of {', '.join(ARCHITECTURES)}"
        )
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    if not isinstance(names, dict) or not all(str(number) in names for number in range(len(names))):
        raise CheckpointError(f"{file}: id2label is {shown(names)}; expected a name for every number from 0 up")
    labels = [names[str(number)] for number in range(len(names))]
    if name == "BertForQuestionAnswering":
        return {"task": "qa", "labels": []}
    if name == "BertForTokenClassification":
        return {"task": "tag", "labels": labels}
    problem = config.get("problem_type")
    if problem == "regression" or len(labels) == 1:
        return {"task": "regress", "labels": []}
    task = "multilabel" if problem == "multi_label_classification" else "classify"
    return {"task": task, "labels": labels}
