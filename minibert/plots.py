"""Charts; they need matplotlib, the extra `plots`, which is imported when the first one is drawn."""

import contextlib
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.atomic_write import write_atomically
from minibert.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minibert.verification.sweep import Sweep

# Okabe and Ito's colours, which people who confuse red and green tell apart too: one for each dtype of the products.
COLOURS = {"float64": "#000000", "float32": "#0072B2", "bfloat16": "#D55E00", "float16": "#009E73"}
MARKERS = "osD^v<>h"


def error_growth(sweep: "Sweep") -> "Figure":
    """The error over the depth of the model, on a logarithmic scale: a line for each setting of a precision sweep.

    The error is `relative_rms_error`, which has no unit. Colours are those of the dtype of the products; dashes say that the
    weights, too, have fewer bits than float32. An error that is zero, infinite or NaN has no point.

    Raises InputError where matplotlib is missing.
    """
    with _matplotlib_needed():
        from matplotlib.figure import Figure

    figure = Figure(figsize=(min(6.5 + 0.4 * len(sweep.names), 20.0), 6.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    lines = []
    for place, column in enumerate(sweep.columns):
        heights = [error if math.isfinite(error) and error > 0.0 else math.nan for error in column.relative_rms_error]
        last = next((height for height in reversed(heights) if not math.isnan(height)), None)
        (line,) = axes.plot(
            range(len(sweep.names)),
            heights,
            label=column.setting.name + (" (no points)" if last is None else ""),
            color=COLOURS[column.setting.dtype],
            linestyle="--" if column.setting.param_dtype in ("bfloat16", "float16") else "-",
            linewidth=1.2,
            marker=MARKERS[place % len(MARKERS)],
            # Hollow, and each smaller than the one before: of lines that lie on each other all stay visible.
            markersize=12.0 - 6.0 * place / len(sweep.columns),
            markerfacecolor="none",
        )
        lines.append((last or 0.0, line))
    axes.set_yscale("log")
    axes.set_ylabel("RMS of the error / RMS of the truth (no unit)")
    axes.set_xlabel("intermediate, in the order of computation")
    axes.set_xticks(range(len(sweep.names)), sweep.names, rotation=45, ha="right", rotation_mode="anchor")
    axes.grid(alpha=0.3)
    figure.suptitle(_folded(sweep.title), fontsize=11)
    # In the order in which the lines end, so that the eye finds them.
    handles = [line for _, line in sorted(lines, key=lambda pair: pair[0], reverse=True)]
    figure.legend(handles=handles, loc="outside right center", frameon=False)
    if sweep.notes:
        notes = "\n".join(map(_folded, sweep.notes))
        figure.supxlabel(notes, fontsize=8, x=0.01, horizontalalignment="left")
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
