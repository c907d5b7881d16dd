"""Errors of the library as whoever typed a command needs them: with options in place of the arguments of Python."""

import contextlib
import re
from collections.abc import Iterator, Mapping

from minibert.errors import CheckpointError, ConfigError, InputError

TRANSLATED = (InputError, CheckpointError, ConfigError)

OF_EVERY_TRAINING = {
    "resume and restart were both given": "--resume and --restart were both given",
    "a multiple of accumulation": "a multiple of --accumulation",
    "a number above 0, or None": "a number above 0, or 0 for no limit",
}
"""What is not the option's own name, of `finetune` and `pretrain`."""
OF_FINE_TUNING = {
    **OF_EVERY_TRAINING,
    "replace_head=True": "--new-head",
    "num_labels": "the number of labels",
    "say that the file has one (has_header=True)": "leave out --no-header",
    "baseline='lstm'": "--baseline lstm",
    "trains_vectors": "--train-vectors",
    "or None to find it": "or leave it out to have it found",
}
"""The same, of `finetune` alone."""
SAME_NAMES = (
    "accumulation",
    "batch_size",
    "checkpoint_every",
    "devices",
    "dropout",
    "dtype",
    "epochs",
    "evaluate_every",
    "freeze_encoder",
    "frozen_layers",
    "heads",
    "layer_decay",
    "layers",
    "learning_rate",
    "log_every",
    "lstm_size",
    "max_gradient_norm",
    "max_length",
    "passes",
    "patience",
    "positions",
    "seed",
    "separator",
    "steps",
    "tag_column",
    "token_column",
    "vectors",
    "warm_up",
    "weight_decay",
)
"""Arguments whose option is called as they are."""


@contextlib.contextmanager
def options_by_their_names(others: Mapping[str, str] = OF_FINE_TUNING) -> Iterator[None]:
    """Within it, messages of our errors name options: `warm_up is 2` becomes `--warm-up is 2`."""
    try:
        yield
    except TRANSLATED as problem:
        message = str(problem)
        if "config.json" in message:
            # Where the same names are the file's own.
            raise
        for ours, option in others.items():
            message = message.replace(ours, option)
        message = _columns_from_one(message)
        # A word alone may be any; an argument is told by what is said of it, or by the bar in its name.
        for name in SAME_NAMES:
            where = rf"(?<![\w-]){name}(?= (?:is|was) )" if "_" not in name else rf"(?<![\w-]){name}\b"
            message = re.sub(where, f"--{name.replace('_', '-')}", message)
        if message == str(problem) or type(problem) not in TRANSLATED:
            raise
        raise type(problem)(message) from None


def _columns_from_one(message: str) -> str:
    """Columns of words and tags as the options count them, where Python counts from 0."""

    def next_one(number: str) -> str:
        return number if number.startswith("-") else str(int(number.replace(",", "")) + 1)

    message = re.sub(
        r"(?<=_column is )(-?[\d,]+); expected one of 0 to (\d+)",
        lambda found: f"{next_one(found[1])}; expected one of 1 to {next_one(found[2])}",
        message,
    )
    return re.sub(r"(?<=_column are both column )\d+", lambda found: next_one(found[0]), message)
