"""Charts; they need matplotlib, the extra `plots`, which is imported when the first one is drawn."""

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from minibert.atomic_write import write_atomically
from minibert.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people who confuse red and green tell apart too: one for each dtype of the products.
COLOURS = {"float64": "#000000", "float32": "#0072B2", "bfloat16": "#D55E00", "float16": "#009E73"}
MARKERS = "osD^v<>h"


class ErrorLine(NamedTuple):
    """One way of computing, and its error at every intermediate."""

    label: str
    dtype: str
    """Of the products: one of minibert's dtypes, which has a colour of its own."""
    is_dashed: bool
    errors: Sequence[float]
    """Root mean squares of the error over those of the truth, without a unit; zero, infinity and NaN have no point."""


def error_growth(names: Sequence[str], lines: Sequence[ErrorLine], title: str, notes: Sequence[str] = ()) -> "Figure":
    """The error over the depth of a model, on a logarithmic scale: a line for each way of computing.

    Args:
        names: the intermediates, in the order of computation.
        lines: each with as many errors.
        title: above the chart.
        notes: below it, a line or more each.

    Raises InputError where matplotlib is missing.
    """
    with _matplotlib_needed():
        from matplotlib.figure import Figure

    figure = Figure(figsize=(min(6.5 + 0.4 * len(names), 20.0), 6.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    drawn = []
    for place, line in enumerate(lines):
        heights = [error if math.isfinite(error) and error > 0.0 else math.nan for error in line.errors]
        last = next((height for height in reversed(heights) if not math.isnan(height)), None)
        (curve,) = axes.plot(
            range(len(names)),
            heights,
            label=line.label + (" (no points)" if last is None else ""),
            color=COLOURS[line.dtype],
            linestyle="--" if line.is_dashed else "-",
            linewidth=1.2,
            marker=MARKERS[place % len(MARKERS)],
            # Hollow, and each smaller than the one before: of lines that lie on each other all stay visible.
            markersize=12.0 - 6.0 * place / len(lines),
            markerfacecolor="none",
        )
        drawn.append((last or 0.0, curve))
    axes.set_yscale("log")
    axes.set_ylabel("RMS of the error / RMS of the truth (no unit)")
    axes.set_xlabel("intermediate, in the order of computation")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.grid(alpha=0.3)
    figure.suptitle(_folded(title), fontsize=11)
    # In the order in which the lines end, so that the eye finds them.
    handles = [curve for _, curve in sorted(drawn, key=lambda pair: pair[0], reverse=True)]
    figure.legend(handles=handles, loc="outside right center", frameon=False)
    if notes:
        figure.supxlabel("\n".join(map(_folded, notes)), fontsize=8, x=0.01, horizontalalignment="left")
    return figure


def save_figure(figure: "Figure", path: Path | str) -> None:
    """Write a figure in the format that the ending of `path` names, such as .png, .svg or .pdf, whole or not at all.

    Raises InputError for an ending that matplotlib does not know, and where nothing can be written.
    """
    path = Path(path)
    known = sorted(figure.canvas.get_supported_filetypes())
    if path.suffix.removeprefix(".") not in known:
        raise InputError(f"{path} ends in {path.suffix!r}; a figure is written as {', '.join('.' + ending for ending in known)}")
    with write_atomically(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."))


def _folded(text: str) -> str:
    return textwrap.fill(text, 100, break_on_hyphens=False)


@contextlib.contextmanager
def _matplotlib_needed() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise InputError("charts need matplotlib, which is not installed; run: pip install 'minibert[plots]'") from None
