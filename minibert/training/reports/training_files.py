"""The files of a training's course beside its model: every record, the curves; and what a card says of options and origin."""

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax

from minibert.checkpoints.registry import HubSource, PackageSource, lookup
from minibert.errors import FetchError
from minibert.training.loop import Record
from minibert.training.reports.markdown import as_code, table
from minibert.training.reports.metrics_file import MetricsFile
from minibert.training.reports.tensorboard import TensorBoardEvents

METRICS, CURVES, CARD = "metrics.jsonl", "training_curves.png", "README.md"


def opened_reports(
    stack: ExitStack, folder: Path, report: Callable[[Record], None] | None, tensorboard: str | Path | None
) -> list[Callable[[Record], None]]:
    """What every record of a training goes to: the caller's `report`, and in the first process the files that are written.

    Args:
        stack: closes them.
        folder: of the training, where its metrics are.
        report: the caller's, if any.
        tensorboard: a folder for its events, if they are wanted.

    Raises InputError for files that cannot be written.
    """
    reports = [] if report is None else [report]
    if jax.process_index() == 0:
        reports.append(stack.enter_context(MetricsFile(folder / METRICS)))
        if tensorboard is not None:
            reports.append(stack.enter_context(TensorBoardEvents(Path(tensorboard))))
    return reports


def write_course(folder: Path, name: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Write the records of a training and their curves; without matplotlib there are no curves, and a warning says so."""
    with MetricsFile(folder / METRICS) as file:
        for record in records:
            file(dict(record))
    if importlib.util.find_spec("matplotlib") is None:
        warnings.warn("there is no chart of the training without matplotlib: pip install 'minibert[plots]'", stacklevel=2)
    else:
        from minibert.plots import training_curves

        training_curves(records, folder / CURVES, title=name)


def options_table(options: Mapping[str, Any]) -> str:
    """A table of Markdown with every option and its value."""
    return table(["option", "value"], [[as_code(name), _value(value)] for name, value in options.items()], numbers_from=2)


def hub_id(model: str) -> str | None:
    """A checkpoint's id on the Hub, where the registry knows it."""
    try:
        source = lookup(model).source
    except FetchError:
        return None
    if isinstance(source, PackageSource):
        return source.same_as
    return source.repository if isinstance(source, HubSource) else None


def _value(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return as_code(str(value))
