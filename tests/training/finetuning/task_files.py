"""Small files of every task, in the words of the tiny checkpoint, and the options to train on them in seconds."""

import json
from pathlib import Path
from typing import Any

from minibert.training.data import Columns
from minibert.training.finetuning import FinetuneOptions
from minibert.training.optimiser import OptimiserOptions
from minibert.training.options import TrainingOptions

TEXTS = [
    ("the river bank", "river"),
    ("a river of the bank", "river"),
    ("the bank raised rates", "money"),
    ("its rates", "money"),
]
PAIRS = [("the river", "a river", "1"), ("the rates", "its bank", "0"), ("a bank", "the bank", "1"), ("a river", "rates", "0")]
NUMBERS = [("the river", "a river", 4.5), ("the rates", "its bank", 0.5), ("a bank", "the bank", 5.0), ("a river", "rates", 0)]
LABELS = [("the river bank", "river|bank"), ("a river", "river"), ("its rates", ""), ("a bank", "bank")]
TAGGED = "the O\nbank B-ORG\nof I-ORG\nriver I-ORG\nraised O\n\na O\nriver B-LOC\n\nits O\nrates O\n"
CONTEXT = "the bank of a river raised its rates"


def write_file(folder: Path, task: str, name: str = "data") -> Path:
    """The file of a task; of each the same rows twice."""
    if task == "tag":
        path = folder / f"{name}.conll"
        path.write_text(f"{TAGGED}\n{TAGGED}")
        return path
    if task == "qa":
        path = folder / f"{name}.json"
        asked = [
            {"id": f"{name}{number}", "question": "the bank", "answers": [{"text": text, "answer_start": CONTEXT.index(text)}]}
            for number, text in enumerate(("a river", "its rates"))
        ]
        path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": asked}]}]}))
        return path
    path = folder / f"{name}.tsv"
    rows: list[Any] = {"classify": TEXTS, "multilabel": LABELS, "pair": PAIRS, "regress": NUMBERS}[task]
    header = "sentence1\tsentence2\tlabel" if task in ("pair", "regress") else "text\tlabel"
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [header.split("\t"), *rows, *rows]))
    return path


def small_options(task: str, model: Path, **options: Any) -> FinetuneOptions:
    """For the tiny checkpoint, whose rows have 19 tokens at most."""
    rate = options.pop("learning_rate", 2e-3)
    training = {"epochs": 2, "batch_size": 4, "log_every": 1} | options.pop("training", {})
    settings: dict[str, Any] = {"max_length": 19}
    if task == "qa":
        settings |= {"max_question_length": 4, "stride": 2, "max_answer_length": 4}
    elif task == "tag":
        settings |= {"stride": 2}
    columns = Columns(text_pair="sentence2") if task in ("pair", "regress") else Columns()
    return FinetuneOptions(
        task,
        str(model),
        columns=columns,
        task_settings=settings,
        training=TrainingOptions(**training, optimiser=OptimiserOptions(learning_rate=rate)),
        **options,
    )
