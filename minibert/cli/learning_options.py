"""The arguments by which every training is told how to learn and on what machine, and the options they become."""

import argparse
from typing import Any

from minibert.cli.processes import add_processes
from minibert.training.optimiser import SCHEDULES, OptimiserOptions
from minibert.training.options import TrainingOptions

SAME_NAMES = ("batch_size", "accumulation", "seed", "patience", "evaluate_every", "checkpoint_every", "log_every")


def add_learning(learning: Any, rates: str) -> None:
    """Register in a group how a model learns; `rates` says which learning rate is the default."""
    learning.add_argument("--batch-size", type=int, default=32, metavar="N", help="rows a step (default: %(default)s)")
    learning.add_argument("--accumulation", type=int, default=1, metavar="N", help="divide each batch to save memory")
    learning.add_argument("--learning-rate", type=float, metavar="X", help=f"the highest (default: {rates})")
    learning.add_argument("--weight-decay", type=float, default=0.01, metavar="X", help="(default: %(default)s)")
    learning.add_argument("--warm-up", type=float, default=0.1, metavar="SHARE", help="of all steps (default: %(default)s)")
    learning.add_argument("--schedule", choices=SCHEDULES, default="linear", help="after it (default: %(default)s)")
    learning.add_argument("--max-gradient-norm", type=float, default=1.0, metavar="X", help="0 for any (default: %(default)s)")
    learning.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    learning.add_argument("--patience", type=int, metavar="N", help="stop after so many evaluations without a better one")
    learning.add_argument("--evaluate-every", type=int, metavar="STEPS", help="(default: at the end of every epoch)")
    learning.add_argument(
        "--checkpoint-every", type=int, default=500, metavar="STEPS", help="and at every evaluation (default: %(default)s)"
    )
    learning.add_argument("--log-every", type=int, default=10, metavar="STEPS", help="a line of metrics (default: %(default)s)")


def add_machine(machine: Any) -> None:
    """Register in a group what it computes with."""
    machine.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of the products (default: %(default)s)"
    )
    machine.add_argument("--rematerialise", action="store_true", help="compute again what the gradient needs, to save memory")
    machine.add_argument(
        "--devices",
        default="data",
        metavar="HOW",
        help="data: a copy of the model on each; shard: a piece on each; 4x2: four copies of two pieces (default: %(default)s)",
    )
    add_processes(machine)


def training_given(arguments: argparse.Namespace, learning_rate: float, **of_optimiser: Any) -> TrainingOptions:
    """The options of the command line, with the epochs where they are given. Raises InputError for values out of range.

    Args:
        arguments: of `add_learning` and `add_machine`.
        learning_rate: where none is given.
        of_optimiser: further options of it.
    """
    optimiser = OptimiserOptions(
        learning_rate=learning_rate if arguments.learning_rate is None else arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        warm_up=arguments.warm_up,
        schedule=arguments.schedule,
        max_gradient_norm=arguments.max_gradient_norm or None,
        **of_optimiser,
    )
    given: dict[str, Any] = {each: getattr(arguments, each) for each in (*SAME_NAMES, "devices", "rematerialise")}
    if arguments.epochs is not None:
        given["epochs"] = arguments.epochs
    return TrainingOptions(**given, optimiser=optimiser)
