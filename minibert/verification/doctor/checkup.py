"""`Checkup`: all findings about a checkpoint, the one verdict, and the forms that they are shown and kept in."""

import dataclasses
import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.printable import counted, printable_json
from minibert.verification.doctor.findings import BAD, NOT_CHECKED, WARNING, Finding
from minibert.verification.report import Report
from minibert.verification.trace_file import versions

if TYPE_CHECKING:
    from rich.table import Table

LIMITS = (
    "The comparison is with the checkpoint's own parameters: it proves how they are computed, not that they are the trained "
    "ones. That only a published hash tells, or the results of a task."
)

STYLES = {"good": "green", "note": "cyan", "warning": "yellow", "bad": "bold red"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One finding, under its group and subject."""

    group: str
    subject: str
    finding: Finding


@dataclasses.dataclass(frozen=True)
class Checkup:
    """What all checks found, in their order, and the one verdict."""

    folder: Path
    rows: tuple[Row, ...]
    comparison: Report | None
    """Every intermediate against the oracle; None where it could not be computed."""

    @property
    def state(self) -> str:
        """ "healthy", "usable" or "sick"."""
        statuses = {row.finding.status for row in self.rows}
        return "sick" if BAD in statuses else "usable" if WARNING in statuses else "healthy"

    @property
    def verdict(self) -> str:
        """One sentence: "healthy", or "usable, …" or "sick: …" with the first finding that is a warning, or bad."""
        if self.state == "healthy":
            return "healthy"
        if self.state == "usable":
            first, *others = self.of_status(WARNING)
            more = f" (and {counted(len(others), 'more warning')})" if others else ""
            return f"usable, with care: {first.finding.found.rstrip('.')}{more}"
        first, *others = self.of_status(BAD)
        more = f" (and {counted(len(others), 'more bad finding')})" if others else ""
        return f"sick: {first.finding.found.rstrip('.')}{more}"

    def of_status(self, status: str) -> list[Row]:
        """The rows of one status."""
        return [row for row in self.rows if row.finding.status == status]

    def groups(self) -> list[tuple[str, list[Row]]]:
        """The rows of each group; what could not be checked, for one reason, is one row."""
        return [(group, _in_one_row(list(rows))) for group, rows in groupby(self.rows, key=lambda row: row.group)]

    def __rich__(self) -> "Table":
        from rich.table import Column, Table
        from rich.text import Text

        table = Table("check", Column("subject", max_width=16), "status", "found, and what to do")
        for group, rows in self.groups():
            table.add_section()
            for place, row in enumerate(rows):
                found = Text(row.finding.found)
                if row.finding.advice:
                    found.append(f"\n→ {row.finding.advice}", style="italic")
                status = Text(row.finding.status, style=STYLES[row.finding.status])
                table.add_row("" if place else group, row.subject, status, found)
        return table

    def to_json(self) -> str:
        """Everything, as strict JSON: the numbers that it has not, infinity and NaN, are null."""
        findings = [{"check": row.group, "subject": row.subject, **dataclasses.asdict(row.finding)} for row in self.rows]
        whole = {
            "verdict": self.verdict,
            "state": self.state,
            "folder": str(self.folder),
            "versions": json.loads(versions("minibert", "jax", "jaxlib", "flax", "numpy")),
            "findings": findings,
            "limits": LIMITS,
            "comparison": None if self.comparison is None else json.loads(self.comparison.to_json()),
        }
        return printable_json(whole)

    def to_html(self) -> str:
        """Everything, as one page that needs nothing else."""
        from minibert.verification.doctor.page import page

        return page(self)


def _in_one_row(rows: list[Row]) -> list[Row]:
    shown: list[Row] = []
    for row in rows:
        last = shown[-1] if shown else None
        if last is not None and last.finding == row.finding and row.finding.found.startswith(NOT_CHECKED):
            shown[-1] = dataclasses.replace(last, subject=f"{last.subject}, {row.subject}")
        else:
            shown.append(row)
    return shown
