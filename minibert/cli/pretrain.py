"""`minibert pretrain`: text files become a BERT."""

import argparse
import contextlib
from typing import Any

import jax

from minibert.cli.console import warnings_as_lines
from minibert.cli.learning_options import add_learning, add_machine, training_given
from minibert.cli.option_names import OF_EVERY_TRAINING, options_by_their_names
from minibert.cli.processes import joined_processes
from minibert.cli.progress_of_training import LiveTraining, show_metrics, what_was_written
from minibert.errors import InputError
from minibert.printable import counted, listed, printable
from minibert.process_memory import keep_freed_memory
from minibert.training.pretraining import PretrainOptions, pretrain
from minibert.training.pretraining.options import RATE_OF_NEW_MODEL, VOCABULARY_SIZE
from minibert.training.pretraining.results import Plan

RATE_OF_CHECKPOINT = 2e-5
OWN_NAMES = (
    *("vocabulary_size", "hidden_size", "intermediate_size", "masked_share", "max_predictions", "whole_word", "short_share"),
    "held_out",
)
"""Arguments of Python that no other command has."""
NAMES = {
    **OF_EVERY_TRAINING,
    "num_attention_heads = ": "--heads ",
    "(next_sentence=False, --no-next-sentence)": "(--no-next-sentence)",
    "passes=…": "--passes",
    "tokenizer was given": "--tokenizer was given",
    "cased was": "--cased was",
    **{name: f"--{name.replace('_', '-')}" for name in OWN_NAMES},
}


def add_parser(subparsers: Any) -> None:
    """Register the command `pretrain`."""
    parser = subparsers.add_parser(
        "pretrain",
        help="train a BERT on text files",
        description="Train a BERT on text: a sentence a line, an empty line between two documents, UTF-8. It learns to find "
        "masked tokens and to tell whether one piece of text follows another. The output is a folder that transformers opens "
        "(BertForPreTraining), with its tokenizer, metrics and a model card. After a kill `--resume` goes on, to the same bits.",
    )
    parser.add_argument("files", nargs="+", metavar="TEXT", help="files to learn from")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="absent or empty; there when all is done")
    parser.add_argument("--resume", action="store_true", help="go on with a training that was interrupted")
    parser.add_argument("--restart", action="store_true", help="forget one that was")
    parser.add_argument("--tensorboard", metavar="FOLDER", help="write events for TensorBoard there (needs tensorboardX)")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    _add_model(parser)
    _add_examples(parser)
    _add_learning(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, make examples, train, write, and say what came of it."""
    keep_freed_memory()
    with options_by_their_names(NAMES):
        return _train(arguments, options_given(arguments))


def _train(arguments: argparse.Namespace, options: PretrainOptions) -> int:
    if not arguments.output:
        raise InputError("--output is empty; give the name of a folder")
    with joined_processes(arguments), warnings_as_lines(), contextlib.ExitStack() as stack:
        is_quiet = arguments.quiet or jax.process_index() > 0
        live = LiveTraining(stack, is_quiet, options.training.batch_size, resume=arguments.resume)
        done = pretrain(
            arguments.files,
            arguments.output,
            options,
            resume=arguments.resume,
            restart=arguments.restart,
            say=live.say,
            planned=lambda plan: live.start(_plan_in_words(plan), plan.total_steps, plan.done),
            report=live.report,
            tensorboard=arguments.tensorboard,
        )
        stack.close()
        if not is_quiet:
            show_metrics(done.metrics)
            print(what_was_written(done.folder, done.trained, is_best=bool(done.metrics)))
    return 0


def options_given(arguments: argparse.Namespace) -> PretrainOptions:
    """The options of the command line. Raises InputError for values out of range and for what does not go together."""
    if arguments.steps is not None and arguments.epochs is not None:
        raise InputError("--steps and --epochs were both given; give one of them")
    same_names = (
        *("model", "tokenizer", "vocabulary_size", "cased", "hidden_size", "layers", "heads", "intermediate_size", "positions"),
        *("max_length", "masked_share", "max_predictions", "whole_word", "short_share", "passes", "held_out", "steps", "dropout"),
        "dtype",
    )
    return PretrainOptions(
        **{name: getattr(arguments, name) for name in same_names},
        next_sentence=not arguments.no_next_sentence,
        training=training_given(arguments, RATE_OF_NEW_MODEL if arguments.model is None else RATE_OF_CHECKPOINT),
    )


def _plan_in_words(plan: Plan) -> str:
    counts = plan.counts
    words = f"pre-training on {listed([printable(file['name']) for file in plan.files], most=3)}: "
    words += ", ".join(f"{counts[name]:,} {name}" for name in ("documents", "sentences", "tokens"))
    words += f" ({counts['unknown'] / counts['tokens']:.1%} unknown); {counted(counts['examples'], 'example')}"
    if counts["random_pairs"]:
        words += f", {counts['random_pairs'] / counts['examples']:.1%} of them of two documents"
    words += f"; a vocabulary of {plan.vocabulary:,}, {plan.parameters:,} parameters"
    if counts["held_out"]:
        evaluated = counted(counts["evaluation_examples"], "example")
        words += f"; evaluating on {evaluated} of {counted(counts['held_out'], 'document')} held out"
    return words


def _add_model(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("the model")
    model.add_argument("--model", help="go on from a fetched name or a folder (default: a new model)")
    model.add_argument(
        "--tokenizer", metavar="FOLDER", help="of a new model: a fetched name or a folder (default: one is learned)"
    )
    model.add_argument(
        "--vocabulary-size", type=int, metavar="N", help=f"of the vocabulary that is learned (default: {VOCABULARY_SIZE:,})"
    )
    model.add_argument("--cased", action="store_true", help="that vocabulary tells upper from lower case")
    model.add_argument("--hidden-size", type=int, metavar="N", help="of a new model (default: 128)")
    model.add_argument("--layers", type=int, metavar="N", help="of a new model (default: 2)")
    model.add_argument("--heads", type=int, metavar="N", help="of a new model (default: one for each 64 of its size)")
    model.add_argument("--intermediate-size", type=int, metavar="N", help="of a new model (default: four times its size)")
    model.add_argument(
        "--positions", type=int, metavar="N", help="of a new model: tokens of its longest row (default: --max-length)"
    )
    model.add_argument("--dropout", type=float, metavar="P", help="(default: 0.1, or the checkpoint's)")


def _add_examples(parser: argparse.ArgumentParser) -> None:
    examples = parser.add_argument_group("the examples")
    examples.add_argument("--max-length", type=int, default=128, metavar="N", help="tokens of a row (default: %(default)s)")
    examples.add_argument("--passes", type=int, default=5, metavar="N", help="over the text, each with other masks (default: 5)")
    examples.add_argument("--whole-word", action="store_true", help="mask all pieces of a word together")
    examples.add_argument("--no-next-sentence", action="store_true", help="rows of one segment, masked tokens only")
    examples.add_argument(
        "--masked-share", type=float, default=0.15, metavar="SHARE", help="of the tokens of a row (default: %(default)s)"
    )
    examples.add_argument("--max-predictions", type=int, metavar="N", help="masked tokens of a row (default: as the share says)")
    examples.add_argument(
        "--short-share", type=float, default=0.1, metavar="SHARE", help="of the documents give short rows (default: %(default)s)"
    )
    examples.add_argument(
        "--held-out", type=float, default=0.05, metavar="SHARE", help="of the documents to evaluate with (default: %(default)s)"
    )


def _add_learning(parser: argparse.ArgumentParser) -> None:
    learning = parser.add_argument_group("how it learns")
    learning.add_argument("--epochs", type=int, metavar="N", help="over all examples (default: 3)")
    learning.add_argument("--steps", type=int, metavar="N", help="so many instead")
    add_learning(learning, f"{RATE_OF_NEW_MODEL:g}; {RATE_OF_CHECKPOINT:g} to go on from a checkpoint")
    add_machine(parser.add_argument_group("the machine"))
