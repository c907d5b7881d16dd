"""`Report`: the outcome of a comparison, a row for each intermediate, in every form that it is shown or kept in."""

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.atomic_write import write_atomically
from minibert.errors import TraceError
from minibert.printable import listed, printable_json
from minibert.verification.measures import largest

if TYPE_CHECKING:
    from rich.table import Table

BUDGET = 1.5
"""How many times the reference's own float32 error ours may be: rounding differs between orders of summation."""


@dataclass(frozen=True)
class Row:
    """One intermediate against the float64 truth, over real (unpadded) positions of all texts."""

    name: str
    max_abs_error: float
    """The largest error over all texts."""
    ratio: float
    """Of the text where it is largest: its max abs error in units of its floor, which is the max abs error of the
    reference's own float32, the largest over its own ways of computing that text."""
    error_over_rms: float
    """The max abs error in units of the truth's root mean square."""
    cosine: float
    max_ulps: float = 0.0
    """The most floating-point numbers, of the dtype of the trace, that lie between a value and the truth."""
    worst: tuple[int, ...] = ()
    """Where the error is largest, an index into the intermediate: the text first."""
    worst_token: int | None = None
    """The id of the token there; None of the pooler, which has no tokens."""

    @property
    def agrees(self) -> bool:
        """Whether every text's error is within the budget; NaN never is."""
        return self.ratio <= BUDGET


@dataclass(frozen=True)
class Report:
    """The comparison, a row for each intermediate in data-flow order; `print(report)` shows a table."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    """Intermediates that the reference has and the trace has not."""
    notes: tuple[str, ...] = ()
    """What else is to be said, a sentence each."""
    diagnosis: str | None = None
    """Why it parts, as `diagnose` says it."""
    compared: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What was held against what: "trace", "reference" and "inputs", in words."""

    @property
    def agrees(self) -> bool:
        """Whether every intermediate is within the budget."""
        return all(row.agrees for row in self.rows)

    @property
    def first_disagreement(self) -> Row | None:
        """The first intermediate, in data-flow order, that leaves the budget."""
        return next((row for row in self.rows if not row.agrees), None)

    @property
    def verdict(self) -> str:
        """One sentence."""
        first = self.first_disagreement
        if first is None:
            return f"all {len(self.rows)} intermediates agree"
        if not math.isfinite(first.max_abs_error):
            return f"parts first at {first.name}, where the error is {first.max_abs_error}"
        if math.isinf(first.ratio):
            return f"parts first at {first.name}, by {first.max_abs_error:.2e} where the reference is exact"
        return f"parts first at {first.name}, where the error is {first.ratio:.3g} times the floor"

    def __str__(self) -> str:
        lines = [f"{'intermediate':36} {'max abs error':>13} {'ratio':>6} {'over RMS':>9} {'ULPs':>8} {'cosine':>13}"]
        for row in self.rows:
            verdict = "agrees" if row.agrees else "PARTS"
            lines.append(
                f"{row.name:36} {row.max_abs_error:13.2e} {row.ratio:6.2f} {row.error_over_rms:9.1e} {row.max_ulps:8.2g} "
                f"{row.cosine:13.10f} {verdict}"
            )
        if self.missing:
            lines.append(f"not in the trace: {listed(self.missing)}")
        return "\n".join([*lines, *self.notes])

    def __rich__(self) -> "Table":
        from rich.table import Table

        table = Table()
        table.add_column("intermediate", no_wrap=True)
        for title in ("max abs error", "error / RMS", "ULPs", "1 − cosine", "worst at", "worst ratio", "verdict"):
            table.add_column(title, justify="right")
        for row in self.rows:
            verdict = "[green]agrees[/]" if row.agrees else "[bold red]PARTS[/]"
            table.add_row(
                row.name,
                f"{row.max_abs_error:.2e}",
                f"{row.error_over_rms:.1e}",
                f"{row.max_ulps:.2g}",
                f"{max(1.0 - row.cosine, 0.0):.0e}",
                place_of(row),
                f"{row.ratio:.2f}",
                verdict,
            )
        return table

    def save(self, path: Path | str) -> None:
        """Write the report as JSON, CSV or a self-contained HTML page, by the ending of `path`: .json, .csv or .html.

        Raises TraceError for another ending and where nothing can be written.
        """
        from minibert.verification.report.page import page

        path = Path(path)
        forms = {".json": self.to_json, ".csv": self.to_csv, ".html": lambda: page(self, diagnosis=self.diagnosis)}
        ending = path.suffix.lower()
        if ending not in forms:
            found = f"ends in {path.suffix}" if ending else "has no ending"
            raise TraceError(
                f"{path} {found}, and a report is written as {', '.join(forms)}; give a name that ends in one of these"
            )
        content = forms[ending]().encode()
        with write_atomically(path, error=TraceError) as file:
            file.write(content)

    def to_json(self) -> str:
        """Everything in the report, as strict JSON: the numbers that it has not, infinity and NaN, are null."""
        rows = [dataclasses.asdict(row) | {"agrees": row.agrees} for row in self.rows]
        whole = {"verdict": self.verdict, "agrees": self.agrees, "budget": BUDGET, "rows": rows}
        whole |= {"missing": self.missing, "notes": self.notes, "diagnosis": self.diagnosis, "compared": self.compared}
        return printable_json(whole)

    def to_csv(self) -> str:
        """The rows under a line of names, for the module csv: numbers as Python's `float` reads them, nan and inf too.

        `worst` is the indices with spaces between them; `worst_token` is empty where there is none.
        """
        text = io.StringIO()
        fields = [field.name for field in dataclasses.fields(Row)]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*fields, "agrees"])
        for row in self.rows:
            worst = " ".join(map(str, row.worst))
            writer.writerow([worst if name == "worst" else getattr(row, name) for name in fields] + [row.agrees])
        return text.getvalue()


def place_of(row: Row) -> str:
    """The place of the largest error in words: the text and, where the intermediate has tokens, the token's position."""
    if not row.worst:
        return ""
    return f"text {row.worst[0]}" + (f", token {row.worst[1 if len(row.worst) == 3 else 2]}" if len(row.worst) > 2 else "")


def worst_of(reports: Sequence[Report]) -> Report:
    """One report over several inputs: at each name the worst of every measure."""
    by_name: dict[str, list[Row]] = {}
    for report in reports:
        for row in report.rows:
            by_name.setdefault(row.name, []).append(row)
    rows = []
    for name, rows_of_name in by_name.items():
        # The place is that of the worst ratio, which decides; of which input, a single report says.
        worst = max(rows_of_name, key=lambda row: math.inf if math.isnan(row.max_abs_error) else row.ratio)
        rows.append(
            Row(
                name,
                max_abs_error=largest(row.max_abs_error for row in rows_of_name),
                ratio=largest(row.ratio for row in rows_of_name),
                error_over_rms=largest(row.error_over_rms for row in rows_of_name),
                cosine=-largest(-row.cosine for row in rows_of_name),
                max_ulps=largest(row.max_ulps for row in rows_of_name),
                worst=worst.worst,
                worst_token=worst.worst_token,
            )
        )
    missing = dict.fromkeys(name for report in reports for name in report.missing)
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    subjects = dict.fromkeys(subject for report in reports for subject in report.compared)
    compared = {
        subject: "; ".join(dict.fromkeys(report.compared[subject] for report in reports if subject in report.compared))
        for subject in subjects
    }
    return Report(tuple(rows), tuple(missing), tuple(notes), compared=compared)
