"""How far a training is, on standard error: a bar on a terminal, and a few plain lines where nobody looks, as in a log."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from minibert.cli.console import console
from minibert.printable import counted, printable
from minibert.training.loop import Trained

LINES = 10
"""So many lines tell of a whole training where there is no terminal."""
OVER_SECONDS = 10.0
"""The speed is that over the last steps which took so long at least."""

Report = Callable[[dict[str, Any]], None]
"""What is called with every record of a training, as `fit` does."""


@contextmanager
def training_bar(quiet: bool, total_steps: int, batch_size: int) -> Iterator[Report]:
    """What is to be called with every record of a training.

    On a terminal it moves a bar, which is gone at the end, and leaves a line for each evaluation. Elsewhere it writes a line for
    each evaluation and about every tenth of the steps.

    Args:
        quiet: say nothing.
        total_steps: of the whole training.
        batch_size: rows a step, by which steps become examples.
    """
    if quiet:
        yield lambda record: None
    elif sys.stderr.isatty():
        with _bar(total_steps, batch_size) as report:
            yield report
    else:
        yield _lines(total_steps, batch_size)


class LiveTraining:
    """What is seen of a training from its plan on: the plan in words, then `training_bar`.

    Args:
        stack: closed when the training is done.
        is_quiet: say nothing.
        batch_size: rows a step.
        resume: whether to go on was asked for.
    """

    def __init__(self, stack: ExitStack, is_quiet: bool, batch_size: int, *, resume: bool) -> None:
        self.stack, self.is_quiet, self.batch_size, self.resume = stack, is_quiet, batch_size, resume
        self.bar: Report | None = None
        self.done = 0

    def say(self, sentence: str) -> None:
        """Tell what begins."""
        if not self.is_quiet:
            print(sentence, file=sys.stderr, flush=True)

    def start(self, plan: str, total_steps: int, done: int) -> None:
        """Tell what is going to be done, in so many steps, of which an interrupted run made some."""
        if done:
            going_on = f", going on after step {done:,}"
        else:
            # Who was interrupted before the first checkpoint is not to believe that nothing was lost.
            going_on = ", from the first: there is no checkpoint to go on from" if self.resume else ""
        self.say(f"{plan}; {counted(total_steps, 'step')}{going_on}")
        if self.is_quiet and self.resume and not done:
            print("warning: there is no checkpoint to go on from; this training begins with its first step", file=sys.stderr)
        self.done = done
        self.bar = self.stack.enter_context(training_bar(self.is_quiet, total_steps, self.batch_size))

    def report(self, record: dict[str, Any]) -> None:
        """Show a record of metrics."""
        # Those of an interrupted run were shown by it.
        if self.bar is not None and record["step"] > self.done:
            self.bar(record)


class Speed:
    """Steps a second, from when which step was told.

    The records of an earlier run come all at once before the first new one; they are not mistaken for a fast beginning, for the
    counting begins at the last record that is old enough.
    """

    def __init__(self) -> None:
        self._told: list[tuple[float, int]] = []

    def after(self, step: int) -> float | None:
        """Steps a second when so many are made; None as long as it cannot be said."""
        now = time.monotonic()
        old = [told for told in self._told if told[0] <= now - OVER_SECONDS][-1:]
        # Of those that are old enough only the last is needed.
        self._told = [*old, *(told for told in self._told if told[0] > now - OVER_SECONDS), (now, step)]
        return (step - old[0][1]) / (now - old[0][0]) if old and step > old[0][1] else None


def _lines(total_steps: int, batch_size: int) -> Report:
    speed, tenths = Speed(), 0

    def report(record: dict[str, Any]) -> None:
        nonlocal tenths
        if "evaluation" in record:
            print(_evaluated(record, total_steps), file=sys.stderr, flush=True)
            return
        steps_a_second = speed.after(record["step"])
        reached = record["step"] * LINES // total_steps
        if reached > tenths:
            tenths = reached
            told = _told(record, steps_a_second, total_steps, batch_size)
            print(f"step {record['step']:,} of {total_steps:,}: {told}", file=sys.stderr, flush=True)

    return report


@contextmanager
def _bar(total_steps: int, batch_size: int) -> Iterator[Report]:
    from rich import progress as parts
    from rich.console import Console

    columns = (
        parts.TextColumn("training"),
        parts.BarColumn(),
        parts.TextColumn("step {task.completed:,.0f} of {task.total:,.0f}: {task.fields[told]}"),
        parts.TimeElapsedColumn(),
    )
    speed = Speed()
    with parts.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=total_steps, told="compiling")

        def report(record: dict[str, Any]) -> None:
            if "evaluation" in record:
                # A metric's name is no markup.
                bar.console.print(_evaluated(record, total_steps), markup=False, highlight=False)
            else:
                told = _told(record, speed.after(record["step"]), total_steps, batch_size)
                bar.update(task, completed=record["step"], told=told)

        yield report


def _evaluated(record: dict[str, Any], total_steps: int) -> str:
    metrics = ", ".join(
        f"{' '.join(printable(name).split())} {'undefined' if value is None else f'{value:.4f}'}"
        for name, value in record["evaluation"].items()
    )
    return f"step {record['step']:,} of {total_steps:,}, epoch {record['epoch']:.4g}: {metrics}"


def _told(record: dict[str, Any], steps_a_second: float | None, total_steps: int, batch_size: int) -> str:
    words = [f"loss {record['loss']:.4f}", f"learning rate {record['learning_rate']:.3g}"]
    if steps_a_second is not None:
        minutes, seconds = divmod(round((total_steps - record["step"]) / steps_a_second), 60)
        words += [f"{steps_a_second * batch_size:,.1f} examples/s", f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left"]
    return ", ".join(words)


def show_metrics(metrics: Mapping[str, float]) -> None:
    """A table of them, if there are any."""
    from rich.table import Table

    if metrics:
        table = Table("metric", "value")
        for name, value in metrics.items():
            table.add_row(name.replace("_", " "), f"{value:.4f}")
        console().print(table)


def what_was_written(folder: Path, trained: Trained, is_best: bool) -> str:
    """The last line of a training: the folder, and after which step its parameters were reached."""
    stopped = "" if trained.steps == trained.total_steps else f", stopped before {trained.total_steps:,}"
    best = f"the best after step {trained.best_step:,}" if is_best else "the last parameters"
    return f"wrote {folder} ({best} of {trained.steps:,}{stopped})"
