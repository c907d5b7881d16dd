"""A bar on a terminal's standard error while a corpus is embedded: how far, texts and tokens a second, how long yet."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minibert.features.corpus import Step


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[Step], None] | None]:
    """What is to be called after every chunk; None where nobody looks, as a log needs no animation."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as parts
    from rich.console import Console

    columns = (
        parts.TextColumn("{task.description}"),
        parts.BarColumn(),
        parts.TaskProgressColumn(),
        parts.TextColumn("{task.fields[rates]}"),
        parts.TimeElapsedColumn(),
        parts.TimeRemainingColumn(),
    )
    with parts.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("embedding", total=None, rates="")
        tokens = 0

        def report(step: Step) -> None:
            nonlocal tokens
            if step.chunk is not None:
                tokens += step.chunk.number_of_tokens
            seconds = max(bar.tasks[0].elapsed or 0.0, 1e-9)
            rates = f"{step.texts:,} texts"
            if step.texts > step.kept:
                rates += f", {(step.texts - step.kept) / seconds:,.0f} texts/s, {tokens / seconds:,.0f} tokens/s"
            bar.update(task, completed=step.done, total=step.of, rates=rates)

        yield report
