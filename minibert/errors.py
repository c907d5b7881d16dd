"""The errors that minibert raises on bad input: each message says what was found, where, what was expected, what to do."""


class MinibertError(Exception):
    """Any error of ours about what the user gave: the command line prints it as one sentence."""


class ConfigError(MinibertError):
    """A configuration that is broken, or that names something minibert does not implement."""


class CheckpointError(MinibertError):
    """A checkpoint whose files, tensors, shapes or dtypes are not what its configuration calls for."""


class FetchError(MinibertError):
    """A checkpoint that could not be brought onto this machine."""


class TokenizerError(MinibertError):
    """Text, a vocabulary or tokenizer settings that cannot become correct ids."""


class InputError(MinibertError):
    """Arrays or arguments that a model cannot take."""


class LongTextError(InputError):
    """A text is longer than it may be; `index` says which of those that were given."""

    def __init__(self, index: int, max_length: int):
        super().__init__(
            f"texts[{index}] has more than {max_length} tokens; shorten it, or let long texts be cut (on_long='truncate') or "
            "divided (on_long='window')"
        )
        self.index = index
        self.max_length = max_length


class TraceError(MinibertError):
    """A trace or stored reference that is broken, or that does not belong to what it is compared with."""


class WorkerError(MinibertError):
    """A process that works for this one could not be started, or ended before its work was done."""


class TrainingError(MinibertError):
    """A training that cannot go on: its loss or a gradient is no finite number any more."""


class NewHeadWarning(UserWarning):
    """A head, or the pooler that it needs, is not in the checkpoint: it has random numbers until it is trained."""


class TruncationWarning(UserWarning):
    """Texts were cut because they are longer than the model takes."""


def named(name: str) -> str:
    """A name that a file gives, as a message tells it: as it is where it is short and plain, else as `shown` does."""
    return name if name.isprintable() and len(name) <= 200 else shown(name)


def shown(value: object) -> str:
    """`value` as a message shows it: its repr, cut where it is long, and in words where Python refuses to write it out."""
    try:
        text = repr(value)
    except ValueError:
        # Integers of more than 4,300 digits.
        return "a number of thousands of digits"
    except RecursionError:
        return "a value nested thousands deep"
    return text if len(text) <= 200 else f"{text[:200]}…"
