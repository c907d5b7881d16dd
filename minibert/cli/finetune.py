"""`minibert finetune`: a file of a task becomes a trained model."""

import argparse
import contextlib
from typing import Any

import jax

from minibert.cli.console import console, warnings_as_lines
from minibert.cli.option_names import options_by_their_names
from minibert.cli.processes import joined_processes
from minibert.cli.progress_of_training import LiveTraining, show_metrics, what_was_written
from minibert.cli.training_options import add_training_options, options_given
from minibert.errors import InputError
from minibert.printable import counted, listed, printable
from minibert.process_memory import keep_freed_memory
from minibert.training.finetuning import Finetuned, FinetuneOptions, finetune
from minibert.training.finetuning.results import Plan

LARGEST_MATRIX = 12


def add_parser(subparsers: Any) -> None:
    """Register the command `finetune`."""
    parser = subparsers.add_parser(
        "finetune",
        help="train a model for a task on files",
        description="Train a model on a file: texts with classes, numbers or several labels and pairs of texts (.tsv, .csv, "
        ".jsonl), words with tags (lines of columns as of CoNLL-2003), questions (SQuAD's JSON). The output is a folder that "
        "transformers opens, with metrics and a model card. After a kill `--resume` goes on, to the same bits.",
    )
    parser.add_argument("--train", required=True, metavar="FILE", help="what is learned from")
    parser.add_argument("--eval", dest="evaluation", metavar="FILE", help="what it is measured on; the best model is kept")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="absent or empty; there when all is done")
    parser.add_argument("--resume", action="store_true", help="go on with a training that was interrupted")
    parser.add_argument("--restart", action="store_true", help="forget one that was")
    parser.add_argument("--tensorboard", metavar="FOLDER", help="write events for TensorBoard there (needs tensorboardX)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_training_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, check, train, write, and say what came of it."""
    keep_freed_memory()
    with options_by_their_names():
        options = options_given(arguments)
        return _train(arguments, options)


def _train(arguments: argparse.Namespace, options: FinetuneOptions) -> int:
    if not arguments.output:
        raise InputError("--output is empty; give the name of a folder")
    with joined_processes(arguments), warnings_as_lines(), contextlib.ExitStack() as stack:
        is_quiet = arguments.quiet or jax.process_index() > 0
        live = LiveTraining(stack, is_quiet, options.training.batch_size, resume=arguments.resume)
        done = finetune(
            arguments.train,
            arguments.evaluation,
            arguments.output,
            options,
            resume=arguments.resume,
            restart=arguments.restart,
            planned=lambda plan: live.start(_plan_in_words(plan), plan.total_steps, plan.done),
            report=live.report,
            tensorboard=arguments.tensorboard,
        )
        stack.close()
        if not is_quiet:
            _say(done)
    return 0


def _plan_in_words(plan: Plan) -> str:
    counts = ", ".join(_counted(number, what.replace("_", " ")) for what, number in plan.counts.items())
    words = f"training on {printable(plan.train['name'])}: {counts}"
    if plan.labels:
        words += f"; labels {listed([printable(label) for label in plan.labels], most=9)}"
    if plan.evaluation is not None:
        words += f"; evaluating on {printable(plan.evaluation['name'])}: {counted(plan.evaluation['examples'], 'example')}"
    if plan.unknown_words is not None:
        words += f"; {plan.unknown_words:.1%} of the words have no vector"
    return words


def _counted(number: int, what: str) -> str:
    """A number of what is named in the plural: 1 entity, 2 entities."""
    one = f"{what[:-3]}y" if what.endswith("ies") else what.removesuffix("s")
    return f"{number:,} {one if number == 1 else what}"


def _say(done: Finetuned) -> None:
    from rich.table import Table
    from rich.text import Text

    show_metrics(done.metrics)
    matrix, labels = done.details.get("confusion_matrix"), done.details.get("labels")
    if matrix is not None and labels is not None and len(labels) <= LARGEST_MATRIX:
        table = Table("is \\ taken for")
        for label in labels:
            table.add_column(Text(printable(label)))
        for label, row in zip(labels, matrix, strict=True):
            table.add_row(Text(printable(label)), *(f"{number:,}" for number in row))
        console().print(table)
    print(what_was_written(done.folder, done.trained, is_best=bool(done.metrics)))
