"""Errors of the library as whoever typed a command needs them: with options in place of the arguments of Python."""

import contextlib
import re
from collections.abc import Iterator, Mapping

from minibert.errors import CheckpointError, InputError

OF_TRAINING = {
    "replace_head=True": "--new-head",
    "num_labels": "the number of labels",
    "baseline='lstm'": "--baseline lstm",
    "trains_vectors": "--train-vectors",
    "or None to find it": "or leave it out to have it found",
    "a number above 0, or None": "a number above 0, or 0 for no limit",
}
"""What is not the option's own name."""
SAME_NAMES = (
    "accumulation",
    "batch_size",
    "checkpoint_every",
    "devices",
    "dropout",
    "epochs",
    "evaluate_every",
    "freeze_encoder",
    "frozen_layers",
    "layer_decay",
    "learning_rate",
    "log_every",
    "lstm_size",
    "max_gradient_norm",
    "max_length",
    "patience",
    "seed",
    "separator",
    "vectors",
    "warm_up",
    "weight_decay",
)
"""Arguments whose option is called as they are."""


@contextlib.contextmanager
def options_by_their_names(others: Mapping[str, str] = OF_TRAINING) -> Iterator[None]:
    """Within it, messages of InputError and CheckpointError name options: `warm_up is 2` becomes `--warm-up is 2`."""
    try:
        yield
    except (InputError, CheckpointError) as problem:
        message = str(problem)
        for ours, option in others.items():
            message = message.replace(ours, option)
        # A word alone may be any; an argument is told by what is said of it, or by the bar in its name.
        for name in SAME_NAMES:
            where = rf"(?<![\w-]){name}(?= is )|(?<![\w-]){name}(?= was given)" if "_" not in name else rf"(?<![\w-]){name}\b"
            message = re.sub(where, f"--{name.replace('_', '-')}", message)
        if message == str(problem) or type(problem) not in (InputError, CheckpointError):
            raise
        raise type(problem)(message) from None
