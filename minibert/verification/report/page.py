"""A report as one HTML page that needs nothing else: no network, no script, light or dark as the reader's screen is set.

The chart is SVG in the page: every intermediate in data-flow order from left to right, layer by layer, and its max abs error
on a log10 axis. Where the ratio is a positive number a bar shows the error at which it would be the budget, so that a mark
parts exactly where it stands above its bar. Errors that no log10 has get a line of their own: 0 below the powers of ten, NaN
and infinity above them. The plot is as wide as its marks need and scrolls in its box; the axis stays.
"""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from minibert.printable import printable
from minibert.verification.report.report import BUDGET, Report, Row, place_of

CHARACTER = 6.8
"""How wide a letter of the chart is at most, in pixels: monospace letters are 0.6 of the size, which is 11 pixels."""
STEP = 15.0
"""The least width of an intermediate's column, in pixels: its name, written upwards, fits in."""
LONGEST = 40
"""How many characters of a name the chart writes."""
TOP, HEIGHT, STRIP, AXIS_WIDTH = 30.0, 320.0, 26.0, 58.0
"""Pixels: above the plot, of the powers of ten, of the line for 0 or that for no numbers, and of the axis."""
MAX_TICKS = 12
COLUMNS = ("intermediate", "max abs error", "error / RMS", "ULPs", "1 − cosine", "worst at", "worst ratio", "verdict")
"""Those of a printed report."""


def page(report: Report, title: str = "minibert verification report", *, diagnosis: str | None = None) -> str:
    """The whole document: verdict, diagnosis if there is one, chart, table, what the trace lacks, and notes."""
    body = [f"<h1>{escaped(title)}</h1>", _verdict(report)]
    if report.compared:
        body.append(f'<ul class="compared">\n{_items([f"{name}: {text}" for name, text in report.compared.items()])}</ul>')
    if diagnosis is not None:
        body.append(f'<p class="diagnosis"><strong>Diagnosis:</strong> {escaped(diagnosis)}</p>')
    if report.notes:
        body.append(f'<h2>Notes</h2>\n<ul class="notes">\n{_items(report.notes)}</ul>')
    if report.rows:
        body += [chart(report), table(report)]
    if report.missing:
        body.append(
            f"<h2>Not compared ({len(report.missing)})</h2>\n<p>In the reference, but not in the trace:</p>\n"
            f'<ul class="missing">\n{_items(report.missing)}</ul>'
        )
    return document(title, "\n".join(body))


def document(title: str, body: str, style: str = "") -> str:
    """An HTML document, also well-formed XML, around `body`, in the style of minibert's pages; `title` gets escaped.

    `style` is what the page adds to that style.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
<title>{escaped(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def escaped(text: str) -> str:
    """`text` as an HTML page may hold it: markup escaped, and � for the control characters and surrogates that none may."""
    return html.escape(printable(text))


def _verdict(report: Report) -> str:
    first = report.first_disagreement
    if not report.rows:
        return '<p class="verdict">Nothing was compared.</p>'
    if first is None:
        return (
            f'<p class="verdict agrees">All intermediates agree: {len(report.rows)} compared, none with an error over {BUDGET} '
            "times the floor.</p>"
        )
    if not math.isfinite(first.max_abs_error):
        by = f"where the error is {first.max_abs_error}"
    elif not math.isfinite(first.ratio):
        by = f"by {first.max_abs_error:.3g} where the floor allows no error"
    else:
        by = f"by {first.ratio:.3g} times the floor"
    place = f", at {_where(first)}" if first.worst else ""
    parted = sum(not row.agrees for row in report.rows)
    return (
        f'<p class="verdict parts">The trace parts first at <code>{escaped(first.name)}</code>, {escaped(by + place)}; '
        f"{parted} of {len(report.rows)} intermediates part. "
        'See it in the <a href="#first-mark">chart</a> and in the <a href="#first-row">table</a>.</p>'
    )


def _items(texts: Sequence[str]) -> str:
    return "".join(f"<li>{escaped(text)}</li>\n" for text in texts)


def table(report: Report) -> str:
    """Every row, with the columns of a printed report; a table body for each part of the model."""
    first = report.first_disagreement
    head = "".join(f'<th scope="col">{title}</th>' for title in COLUMNS)
    bodies = "".join(
        f"<tbody>\n{''.join(_table_row(row, is_first=row is first) for row in rows)}</tbody>\n"
        for _, rows in parts_of_model(report.rows)
    )
    return (
        "<h2>Every intermediate</h2>\n"
        '<div class="box" tabindex="0" role="region" aria-label="Table of every intermediate">\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n{bodies}</table>\n</div>"
    )


def _table_row(row: Row, *, is_first: bool) -> str:
    numbers = (
        f"{row.max_abs_error:.2e}",
        f"{row.error_over_rms:.1e}",
        f"{row.max_ulps:.2g}",
        f"{max(1.0 - row.cosine, 0.0):.0e}",  # in this order NaN stays NaN
        place_of(row),
        f"{row.ratio:.2f}",
        "agrees" if row.agrees else "PARTS",
    )
    mark = f' class="{_outcome(row)}"' + (' id="first-row"' if is_first else "")
    return f'<tr{mark}><th scope="row">{escaped(row.name)}</th>{"".join(f"<td>{number}</td>" for number in numbers)}</tr>\n'


def _outcome(row: Row) -> str:
    return "agrees" if row.agrees else "parts"


def parts_of_model(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of each part of the model: ("embeddings", rows), ("layer 0", rows), …, ("pooler", rows), ("heads", rows)."""
    return [(part, list(rows_of_part)) for part, rows_of_part in groupby(rows, key=lambda row: _split(row.name)[0])]


def _split(name: str) -> tuple[str, str]:
    """`layers.3.attention.query` as ("layer 3", "attention.query")."""
    found = re.match(r"(?:layers\.(\d+)|(embeddings|pooler|heads))\.", name)
    if found is None:
        return "others", name
    return found.group(2) or f"layer {found.group(1)}", name[found.end() :]


def _where(row: Row) -> str:
    return place_of(row) + ("" if row.worst_token is None else f" (id {row.worst_token})")


def chart(report: Report) -> str:
    """The errors of every intermediate as a figure: an SVG for the axis, which stays, and one for the plot, which scrolls."""
    scale = Scale.of(report.rows)
    longest = max(min(len(_split(row.name)[1]), LONGEST) for row in report.rows)
    height = scale.bottom + 16.0 + CHARACTER * longest
    labels = "".join(f'<text x="{AXIS_WIDTH - 6:g}" y="{y:.1f}">{label}</text>\n' for label, y in scale.ticks())
    width, drawing = _plot(report, scale, height)
    grid = "".join(f'<line class="grid" x1="0" y1="{y:.1f}" x2="{width:.1f}" y2="{y:.1f}" />\n' for _, y in scale.ticks())
    return f"""<h2>Max abs error of every intermediate, on a log scale</h2>
<figure>
<p class="legend">
<span><svg width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true">{_shape("agrees", 0.0, 0.0)}</svg> agrees</span>
<span><svg width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true">{_shape("parts", 0.0, 0.0)}</svg> parts</span>
<span><svg width="18" height="14" viewBox="0 -7 18 14" aria-hidden="true"><path class="budget" d="M0 0H18" /></svg> budget</span>
</p>
<div class="chart">
<svg class="axis" width="{AXIS_WIDTH:g}" height="{height:.1f}" viewBox="0 0 {AXIS_WIDTH:g} {height:.1f}" aria-hidden="true">
{labels}</svg>
<div class="box" tabindex="0" role="region" aria-label="Chart of the errors; the table below has the same numbers">
<svg class="plot" width="{width:.1f}" height="{height:.1f}" viewBox="0 0 {width:.1f} {height:.1f}">
{grid}{drawing}</svg>
</div>
</div>
<figcaption>A mark is the largest error of an intermediate against its true value. Its bar is the budget, the error that {BUDGET}
times the floor allows; the floor is the error of the reference's own rounding. A mark above its bar parts. Without a bar
stand exact results and those whose ratio is no finite number.</figcaption>
</figure>"""


@dataclass(frozen=True)
class Scale:
    """Where an error stands: powers of ten from `lowest` to `highest`, and the lines for 0 and for no numbers if needed."""

    lowest: int
    highest: int
    has_zero: bool
    has_no_number: bool

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Scale":
        """The scale that holds the errors and the budgets of all rows."""
        errors = [row.max_abs_error for row in rows]
        budgets = [budget for row in rows if (budget := allowed_error(row)) is not None]
        powers = [math.log10(error) for error in errors + budgets if 0.0 < error < math.inf] or [-8.0, 0.0]
        lowest, highest = math.floor(min(powers)), math.ceil(max(powers))
        return cls(lowest, max(highest, lowest + 1), 0.0 in errors, not all(map(math.isfinite, errors)))

    @property
    def top(self) -> float:
        """The y of the highest power of ten."""
        return TOP + (STRIP if self.has_no_number else 0.0)

    @property
    def bottom(self) -> float:
        """The y of the plot's lower end."""
        return self.top + HEIGHT + (STRIP if self.has_zero else 0.0)

    def y(self, error: float) -> float:
        """The y of an error: larger errors stand higher."""
        if not math.isfinite(error):
            return self.top - STRIP
        if error == 0.0:
            return self.top + HEIGHT + STRIP
        return self.top + HEIGHT * (self.highest - math.log10(error)) / (self.highest - self.lowest)

    def ticks(self) -> list[tuple[str, float]]:
        """The label and the y of every line across the plot."""
        powers = range(self.lowest, self.highest + 1, math.ceil((self.highest - self.lowest) / MAX_TICKS))
        superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
        share = HEIGHT / (self.highest - self.lowest)
        ticks = [(f"10{str(power).translate(superscript)}", self.top + share * (self.highest - power)) for power in powers]
        return (
            ([("NaN, ∞", self.y(math.inf))] if self.has_no_number else [])
            + ticks
            + ([("0", self.y(0.0))] if self.has_zero else [])
        )


def allowed_error(row: Row) -> float | None:
    """The error at which the row's ratio would be the budget; None where its ratio says nothing about that."""
    allowed = row.max_abs_error / row.ratio * BUDGET if row.ratio > 0.0 else 0.0
    return allowed if 0.0 < allowed < math.inf else None


def _plot(report: Report, scale: Scale, height: float) -> tuple[float, str]:
    """The plot's width, and what stands on its grid: the parts of the model and the marks."""
    first = report.first_disagreement
    left = 0.0
    frames: list[str] = []
    marks: list[str] = []
    for part, rows in parts_of_model(report.rows):
        width = max(STEP * len(rows), CHARACTER * len(part) + 12.0)
        frames.append(
            f'<line class="boundary" x1="{left:.1f}" y1="0" x2="{left:.1f}" y2="{height:.1f}" />\n'
            f'<text class="part-name" x="{left + width / 2:.1f}" y="14">{part}</text>\n'
        )
        column = width / len(rows)
        for place, row in enumerate(rows):
            marks.append(_mark(row, left + column * place, column, scale, is_first=row is first))
        left += width
    return left, "".join(frames + marks)


def _mark(row: Row, x: float, column: float, scale: Scale, *, is_first: bool) -> str:
    """A column of the plot: the whole of it shows the numbers when it is pointed at."""
    name = _split(row.name)[1]
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    lines = [row.name, f"max abs error {row.max_abs_error:.2e}", f"ratio {row.ratio:.2f}: {_outcome(row)}", _where(row)]
    middle = x + column / 2
    allowed = allowed_error(row)
    bar = "" if allowed is None else f'<path class="budget" d="M{x + 1:.1f} {scale.y(allowed):.1f}h{column - 2:.1f}" />'
    kind = f'class="mark {_outcome(row)}' + (' first" id="first-mark"' if is_first else '"')
    return (
        f"<g {kind}>"
        f"<title>{escaped(chr(10).join(filter(None, lines)))}</title>"
        f'<rect class="column" x="{x:.1f}" y="{TOP - 8:.1f}" width="{column:.1f}" height="{scale.bottom - TOP + 16:.1f}" />'
        f"{bar}{_shape(_outcome(row), middle, scale.y(row.max_abs_error))}"
        f'<text class="name" transform="translate({middle + 4:.1f} {scale.bottom + 12:.1f}) rotate(-90)">{escaped(name)}</text>'
        "</g>\n"
    )


def _shape(outcome: str, x: float, y: float) -> str:
    """A dot for what agrees, a triangle for what parts, so that colour is not needed."""
    if outcome == "agrees":
        return f'<circle class="shape agrees" cx="{x:.1f}" cy="{y:.1f}" r="4" />'
    return f'<path class="shape parts" d="M{x:.1f} {y - 5:.1f}l5.5 9.5h-11z" />'


STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --page: #ffffff; --band: #f4f6f8; --line: #c9d1d9;
  --grid: #dfe4e9; --agrees: #0b6bb5; --parts: #c2410c; --parts-fill: #fff1e8; --budget: #6b7280; --first: #fde3d0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --quiet: #9aa4af; --page: #0d1117; --band: #161b22; --line: #3d444d;
    --grid: #262c35; --agrees: #58a6ff; --parts: #ff9857; --parts-fill: #2e1d12; --budget: #9aa4af; --first: #4a2a14; }
}
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
a { color: inherit; }
code { font: 0.95em ui-monospace, monospace; overflow-wrap: anywhere; }
.verdict, .diagnosis { margin: 0 0 0.75rem; padding: 0.6rem 0.9rem; border-left: 4px solid var(--line); background: var(--band); }
.verdict.agrees { border-color: var(--agrees); }
.verdict.parts { border-color: var(--parts); background: var(--parts-fill); }
.diagnosis, .notes li { white-space: pre-line; overflow-wrap: anywhere; }
figure { margin: 0; }
figcaption { margin-top: 0.5rem; color: var(--quiet); font-size: 0.87rem; max-width: 60rem; }
.legend { display: flex; gap: 1.5rem; margin: 0 0 0.5rem; }
.legend svg { vertical-align: -2px; }
.chart { display: flex; }
.chart svg { display: block; flex: none; font: 11px ui-monospace, monospace; fill: var(--text); }
.box { overflow-x: auto; min-width: 0; }
.axis text { text-anchor: end; dominant-baseline: central; }
.grid { stroke: var(--grid); }
.boundary { stroke: var(--line); }
.part-name { text-anchor: middle; font-weight: 600; }
.column { fill: transparent; }
.mark { scroll-margin: 8rem; }
.first .column { fill: var(--first); }
.mark:hover .column { fill: var(--line); fill-opacity: 0.5; }
.shape.agrees { fill: var(--agrees); }
.shape.parts { fill: var(--parts); }
.name { text-anchor: end; fill: var(--quiet); }
.parts .name { fill: var(--parts); }
.first .name { font-weight: 700; }
.budget { fill: none; stroke: var(--budget); stroke-width: 2; }
table { border-collapse: collapse; width: 100%; font-size: 0.87rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.6rem; text-align: right; white-space: nowrap; font-weight: 400; }
th:first-child { text-align: left; font-family: ui-monospace, monospace; }
thead th { font-weight: 600; border-bottom: 2px solid var(--line); }
thead th:first-child { font-family: inherit; }
tbody { border-bottom: 1px solid var(--line); }
tr.parts { background: var(--parts-fill); }
tr.parts td:last-child { color: var(--parts); font-weight: 700; }
tr:target { outline: 2px solid var(--parts); }
.missing { columns: 18rem; padding-left: 1.2rem; font: 0.87rem ui-monospace, monospace; overflow-wrap: anywhere; }
"""
