"""The arguments by which `finetune` is told of columns, of the task and of the training; and the options they become."""

import argparse
from dataclasses import replace
from typing import Any

from minibert.cli.fetch import DEFAULT_NAME
from minibert.cli.learning_options import add_learning, add_machine, training_given
from minibert.errors import InputError
from minibert.training.data import GLUE, Columns
from minibert.training.finetuning.options import BASELINES, LSTM_SIZE, FinetuneOptions
from minibert.training.tasks import TASKS

GLUE_TASKS = dict.fromkeys(GLUE, "pair") | {"cola": "classify", "sst-2": "classify", "sts-b": "regress"}
OF_TASK = {
    "max_length": tuple(TASKS),
    "stride": ("tag", "qa"),
    "max_question_length": ("qa",),
    "n_best": ("qa",),
    "max_answer_length": ("qa",),
    "null_threshold": ("qa",),
    "threshold": ("multilabel",),
}
"""Settings of tasks that are options, and the tasks that have them."""
RATE_OF_BERT, RATE_OF_NEW_PARTS = 5e-5, 1e-3


def add_columns_of_tables(parser: argparse.ArgumentParser) -> None:
    """Register what says where in a file texts and labels are."""
    columns = parser.add_argument_group("columns, by name, or by number from 1")
    columns.add_argument("--text", metavar="COLUMN", help="the text (default: text, sentence, sentence1, …)")
    columns.add_argument("--text-pair", metavar="COLUMN", help="the second text (default for pairs: text_pair, sentence2, …)")
    columns.add_argument("--label", metavar="COLUMN", help="the label (default: label, gold_label, score, …)")
    columns.add_argument("--no-header", action="store_true", help="the first line is a row; give the columns by number")
    columns.add_argument("--separator", default="|", help="what parts several labels in one field (default: %(default)s)")
    columns.add_argument("--token-column", type=int, default=1, metavar="N", help="of tags: the words (default: %(default)s)")
    columns.add_argument("--tag-column", type=int, default=-1, metavar="N", help="of tags: the tags (default: the last)")
    columns.add_argument("--glue", choices=sorted(GLUE), help="the columns, and the task, of a file of GLUE as published")


def columns_given(arguments: argparse.Namespace) -> Columns:
    """The columns; of GLUE's files what is given replaces what is known."""
    given = {"text": arguments.text, "text_pair": arguments.text_pair}
    given["label"] = getattr(arguments, "label", None)
    values: dict[str, Any] = {name: _column(value) for name, value in given.items() if value is not None}
    base = GLUE[arguments.glue] if arguments.glue else Columns()
    return replace(base, **values, has_header=base.has_header and not arguments.no_header, separator=arguments.separator)


def word_columns_given(arguments: argparse.Namespace) -> dict[str, int]:
    """The columns of words and tags, counted as Python counts."""
    places = {"token_column": arguments.token_column, "tag_column": arguments.tag_column}
    for name, place in places.items():
        if place == 0:
            raise InputError(f"--{name.replace('_', '-')} is 0; columns are counted from 1, or from −1 at the end")
    return {name: place - 1 if place > 0 else place for name, place in places.items()}


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Register the task, the model and how it learns."""
    parser.add_argument("--task", choices=sorted(TASKS), help="what is learned; with --glue it is known")
    parser.add_argument("--model", default=DEFAULT_NAME, help="a fetched name or a folder (default: %(default)s)")
    add_columns_of_tables(parser)
    task = parser.add_argument_group("the task")
    task.add_argument("--max-length", type=int, metavar="N", help="tokens of a row (default: 128; qa: 384)")
    task.add_argument("--max-question-length", type=int, metavar="N", help="qa: longer questions are cut (default: 64)")
    task.add_argument("--stride", type=int, metavar="N", help="tag, qa: tokens that two windows of a long text share")
    task.add_argument("--n-best", type=int, metavar="N", help="qa: so many answers are kept (default: 20)")
    task.add_argument("--max-answer-length", type=int, metavar="N", help="qa: in tokens (default: 30)")
    task.add_argument(
        "--null-threshold", type=float, metavar="X", help="qa: no answer where its score is higher by more (default: 0)"
    )
    task.add_argument(
        "--threshold", type=float, metavar="P", help="multilabel: labels of a higher probability are given (default: 0.5)"
    )
    task.add_argument("--balanced", action="store_true", help="count each class by the inverse of how often it occurs")
    task.add_argument("--new-head", action="store_true", help="forget the head that the checkpoint has")
    _add_learning(parser)
    add_machine(parser.add_argument_group("the machine"))
    baseline = parser.add_argument_group("a baseline to beat")
    baseline.add_argument("--baseline", choices=BASELINES, help="static vectors under a bidirectional LSTM, in place of BERT")
    baseline.add_argument("--vectors", metavar="FILE", help="a text file of GloVe's form (default: the model's input embeddings)")
    baseline.add_argument("--train-vectors", action="store_true", help="let the vectors learn too")
    baseline.add_argument(
        "--lstm-size", type=int, default=LSTM_SIZE, metavar="N", help="of both directions together (default: %(default)s)"
    )


def _add_learning(parser: argparse.ArgumentParser) -> None:
    learning = parser.add_argument_group("how it learns")
    learning.add_argument("--epochs", type=int, default=3, metavar="N", help="(default: %(default)s)")
    add_learning(learning, f"{RATE_OF_BERT:g}; {RATE_OF_NEW_PARTS:g} for a baseline or a frozen encoder")
    learning.add_argument("--dropout", type=float, metavar="P", help="(default: the checkpoint's)")
    learning.add_argument(
        "--layer-decay", type=float, default=1.0, metavar="X", help="each layer learns by this factor slower than the next"
    )
    learning.add_argument(
        "--frozen-layers", type=int, default=0, metavar="N", help="the embeddings and so many layers do not learn"
    )
    learning.add_argument("--freeze-encoder", action="store_true", help="nothing learns but the head")


def options_given(arguments: argparse.Namespace) -> FinetuneOptions:
    """The options of the command line. Raises InputError for values out of range, and for settings of another task."""
    name = arguments.task or (GLUE_TASKS[arguments.glue] if arguments.glue else None)
    if name is None:
        raise InputError(f"there is no task; give --task, one of {', '.join(TASKS)}, or --glue")
    settings = {}
    for setting, tasks in OF_TASK.items():
        value = getattr(arguments, setting)
        if value is not None:
            if name not in tasks:
                raise InputError(f"--{setting.replace('_', '-')} was given, which the task {name} does not have; leave it out")
            settings[setting] = value
    training = training_given(
        arguments,
        RATE_OF_NEW_PARTS if arguments.baseline or arguments.freeze_encoder else RATE_OF_BERT,
        layer_decay=arguments.layer_decay,
        frozen_layers=arguments.frozen_layers,
        freeze_encoder=arguments.freeze_encoder,
    )
    return FinetuneOptions(
        task=name,
        model=arguments.model,
        columns=columns_given(arguments),
        **word_columns_given(arguments),
        task_settings=settings,
        balanced=arguments.balanced,
        replace_head=arguments.new_head,
        dropout=arguments.dropout,
        dtype=arguments.dtype,
        baseline=arguments.baseline,
        vectors=arguments.vectors,
        trains_vectors=arguments.train_vectors,
        lstm_size=arguments.lstm_size,
        training=training,
    )


def _column(value: str) -> str | int:
    return int(value) if value.isascii() and value.isdigit() else value
