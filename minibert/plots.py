"""Charts and heat maps; they need matplotlib, the extra `plots`, which is imported when the first one is drawn."""

import contextlib
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from minibert.atomic_write import write_atomically
from minibert.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people who confuse red and green tell apart too: one for each dtype of the products.
COLOURS = {"float64": "#000000", "float32": "#0072B2", "bfloat16": "#D55E00", "float16": "#009E73"}
MARKERS = "osD^v<>h"

FALLBACK_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Noto Sans Arabic", "Noto Sans Devanagari", "WenQuanYi Zen Hei"),
    *("Hiragino Sans", "PingFang SC", "Arial Unicode MS", "Microsoft YaHei", "Yu Gothic", "Noto Emoji", "Segoe UI Emoji"),
)
"""For characters that matplotlib's own font lacks, those of them that are installed."""
MOST_LABELS = 80
"""More labels on a side of a heat map cannot be read; a few of them are shown then."""
MOST_NUMBERS = 12
"""Up to so many rows and columns a heat map has its numbers written into it."""
LONGEST_LABEL = 40
MOST_MAPS_IN_A_ROW = 4
MOST_CURVES = 24
"""Of a training, each in a panel of its own."""
MOST_CURVES_IN_A_ROW = 3
SMOOTHED_FROM = 40
"""A curve of so many losses or more gets a second, of running means."""


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


def similarity_map(
    similarities: Float[np.ndarray, "rows columns"],
    row_labels: Sequence[str],
    column_labels: Sequence[str] | None = None,
    title: str = "cosine similarity",
) -> "Figure":
    """A heat map of cosines, −1 blue, 0 white and 1 red, with their numbers where there is room.

    Args:
        similarities: as `cosine_similarity` gives them.
        row_labels: the texts on the left; cut where they are long.
        column_labels: those below, if they are others.
        title: above the map.

    Raises InputError where matplotlib is missing.
    """
    with _matplotlib_needed():
        from matplotlib.figure import Figure

    rows, columns = similarities.shape
    cell = 0.62 if max(rows, columns) <= MOST_NUMBERS else 0.24
    width, height = (min(max(cell * count, 2.5), 18.0) for count in (columns, rows))
    figure = Figure(figsize=(width + 4.5, height + 3.0), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    image = axes.imshow(similarities, cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="nearest")
    _label(axes, "y", row_labels)
    _label(axes, "x", row_labels if column_labels is None else column_labels)
    if max(rows, columns) <= MOST_NUMBERS:
        for (row, column), cosine in np.ndenumerate(similarities):
            colour = "white" if abs(cosine) > 0.65 else "black"
            axes.text(column, row, f"{cosine:.2f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, label="cosine (no unit)", shrink=0.8)
    axes.set_title(_folded(title), fontsize=11, parse_math=False)
    return figure


def attention_maps(
    probabilities: Float[np.ndarray, "heads tokens tokens"],
    tokens: Sequence[str],
    head_names: Sequence[str],
    title: str = "attention",
) -> "Figure":
    """A heat map for each head of a layer: how much of each token's mixture (a row, which sums to 1) is of which token.

    Args:
        probabilities: of one text, as the tap `layers.{i}.attention.probabilities` gives them.
        tokens: as many as a side of a map has.
        head_names: above each map.
        title: above all.

    Raises InputError where matplotlib is missing.
    """
    with _matplotlib_needed():
        from matplotlib.figure import Figure

    across = min(len(head_names), MOST_MAPS_IN_A_ROW)
    down = -(-len(head_names) // across)
    side = min(max(0.17 * len(tokens), 2.2), 24.0 / across) + 1.2
    figure = Figure(figsize=(side * across + 1.0, side * down + 0.8), layout="constrained", dpi=150)
    panels = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes, name, of_head in zip(panels, head_names, probabilities, strict=False):
        # One scale for all heads, so that they can be compared.
        image = axes.imshow(of_head, cmap="viridis", vmin=0.0, vmax=1.0, interpolation="nearest")
        _label(axes, "y", tokens)
        _label(axes, "x", tokens)
        axes.set_title(name, fontsize=9, parse_math=False)
    for axes in panels[len(head_names) :]:
        axes.set_axis_off()
    figure.supxlabel("attended token", fontsize=9)
    figure.supylabel("attending token", fontsize=9)
    figure.colorbar(image, ax=panels, label="attention probability (no unit)", shrink=0.8)
    figure.suptitle(_folded(title), fontsize=11, parse_math=False)
    return figure


def training_curves(records: Sequence[Mapping[str, Any]], path: Path | str, title: str = "") -> None:
    """Write a chart of a training: loss, learning rate, norm of the gradient, and every metric of its evaluations, over steps.

    Args:
        records: as `fit` reports them, or `read_metrics` finds them in a file.
        path: its ending names the format; whole or not at all.
        title: above the chart.

    Raises InputError for no records, an ending that matplotlib does not know, and where matplotlib is missing.
    """
    save_figure(training_figure(records, title), path)


def training_figure(records: Sequence[Mapping[str, Any]], title: str = "") -> "Figure":
    """What `training_curves` writes: a panel for each curve, all over the same steps; numbers that are not finite have no point.

    Raises InputError for no records, and where matplotlib is missing.
    """
    with _matplotlib_needed():
        from matplotlib.figure import Figure

    curves = _curves(records)
    if not curves:
        raise InputError("there are no records of a training to draw; expected one at least")
    drawn = dict(list(curves.items())[:MOST_CURVES])
    across = min(len(drawn), MOST_CURVES_IN_A_ROW)
    down = -(-len(drawn) // across)
    figure = Figure(figsize=(4.2 * across, 2.8 * down + 0.6), layout="constrained", dpi=150)
    panels = figure.subplots(down, across, squeeze=False, sharex=True).ravel().tolist()
    for axes, (name, (steps, values)) in zip(panels, drawn.items(), strict=False):
        _draw_curve(axes, steps, np.where(np.isfinite(values), values, math.nan), is_loss=name == "loss")
        has_points = np.isfinite(values).any()
        axes.set_title(
            _shortened(name) + ("" if has_points else " (no points)"), fontsize=9, parse_math=False, fontfamily=_fonts()
        )
        # Of panels that share their steps only the lowest have numbers, which need not be the last row's.
        axes.tick_params(labelbottom=True)
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    figure.supxlabel("step", fontsize=9)
    more = f" ({len(curves) - len(drawn)} more are not shown)" if len(curves) > len(drawn) else ""
    figure.suptitle(_folded(title) + more, fontsize=11, parse_math=False)
    return figure


def check_figure_path(path: Path) -> None:
    """InputError for an ending that matplotlib does not know, for a folder that is not there, and where matplotlib is missing."""
    with _matplotlib_needed():
        from matplotlib.backend_bases import FigureCanvasBase

    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.removeprefix(".") not in known:
        raise InputError(f"{path} ends in {path.suffix!r}; a figure is written as {', '.join('.' + ending for ending in known)}")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}; make it first")


def save_figure(figure: "Figure", path: Path | str) -> None:
    """Write a figure in the format that the ending of `path` names, such as .png, .svg or .pdf, whole or not at all.

    Raises InputError for an ending that matplotlib does not know, and where nothing can be written.
    """
    path = Path(path)
    check_figure_path(path)
    with write_atomically(path) as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(file, format=path.suffix.removeprefix("."))
    missing = [each for each in caught if str(each.message).startswith("Glyph ")]
    if missing:
        warnings.warn(
            f"{path} shows boxes for {len({str(each.message) for each in missing})} characters that no installed font of "
            "matplotlib has; install one that has them, such as Noto Sans CJK",
            UserWarning,
            stacklevel=2,
        )


def _curves(records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and values of every curve by its name, those of training first."""
    names = {"loss": "loss", "learning_rate": "learning rate", "gradient_norm": "norm of the gradient"}
    points: dict[str, list[tuple[int, float]]] = {name: [] for name in names.values()}
    for record in records:
        of_record = {name: record[key] for key, name in names.items() if key in record}
        of_record |= {f"evaluation: {name}": value for name, value in record.get("evaluation", {}).items()}
        for name, value in of_record.items():
            points.setdefault(name, []).append((record["step"], value))
    return {
        name: (np.array([step for step, _ in of_curve]), np.array([value for _, value in of_curve], np.float64))
        for name, of_curve in points.items()
        if of_curve
    }


def _draw_curve(axes: Any, steps: Int[np.ndarray, " points"], values: Float[np.ndarray, " points"], *, is_loss: bool) -> None:
    is_smoothed = is_loss and len(values) >= SMOOTHED_FROM
    # Points by themselves would be no line; many of them would be one thick one.
    marker = "o" if len(values) < SMOOTHED_FROM else ""
    # Told apart by light and dark, and so on paper without colours too.
    colour = "#B0B0B0" if is_smoothed else COLOURS["float32"]
    axes.plot(
        steps, values, color=colour, linewidth=0.8 if is_smoothed else 1.2, marker=marker, markersize=3.5, label="as it was"
    )
    if is_smoothed:
        width = max(5, len(values) // 20)
        means = _running_means(values, width)
        axes.plot(steps, means, color=COLOURS["float64"], linewidth=1.4, label=f"mean of {width} around")
        axes.legend(fontsize=7, frameon=False)
    axes.grid(alpha=0.3)
    axes.locator_params(axis="x", integer=True)
    axes.tick_params(labelsize=7)
    axes.yaxis.get_offset_text().set_fontsize(7)


def _running_means(values: Float[np.ndarray, " points"], width: int) -> Float[np.ndarray, " points"]:
    """Of each value and those around it, so many in all where there are so many; what is NaN counts for nothing."""
    known = np.isfinite(values)
    window = np.ones(width)
    sums = np.convolve(np.where(known, values, 0.0), window, mode="same")
    counts = np.convolve(known.astype(np.float64), window, mode="same")
    # Sums of ones are whole but for rounding.
    return np.where(counts > 0.5, sums / np.maximum(counts, 1.0), math.nan)


def _label(axes: Any, side: str, labels: Sequence[str]) -> None:
    """Labels at the places 0, 1, … of a side, as they are: a $ begins no formula."""
    step = -(-len(labels) // MOST_LABELS)
    texts = [_shortened(label) for label in labels[::step]]
    size = 8 if len(labels) <= 30 else 5
    style: dict[str, Any] = {"rotation": 90} if side == "x" else {}
    setter = axes.set_xticks if side == "x" else axes.set_yticks
    setter(range(0, len(labels), step), texts, fontsize=size, parse_math=False, fontfamily=_fonts(), **style)


def _shortened(label: str) -> str:
    text = " ".join(label.split())
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"


def _fonts() -> list[str]:
    from matplotlib import font_manager, rcParams

    installed = set(font_manager.get_font_names())
    return [*rcParams["font.family"], *(font for font in FALLBACK_FONTS if font in installed)]


def _folded(text: str) -> str:
    return textwrap.fill(text, 100, break_on_hyphens=False)


@contextlib.contextmanager
def _matplotlib_needed() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise InputError("charts need matplotlib, which is not installed; run: pip install 'minibert[plots]'") from None
