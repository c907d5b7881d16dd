"""The outcome of checking published values, one by one and together."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minibert.printable import counted, printable
from minibert.verification.published.records import PublishedValue

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class PublishedResult:
    """One published value and how far the checkpoint is from it; both numbers are NaN where it was not checked."""

    record: PublishedValue
    difference: float = math.nan
    """The largest one; 1 − cosine where that is what the publisher asks for, the number of other tokens where they are exact."""
    tolerance: float = math.nan
    """What is allowed at the same place."""
    unchecked: str = ""
    """Why it was not checked; empty if it was."""

    @property
    def agrees(self) -> bool:
        """Whether it was checked and the difference is allowed; NaN never is."""
        return not self.unchecked and self.difference <= self.tolerance

    @property
    def parts(self) -> bool:
        """Whether it was checked and the difference is not allowed."""
        return not self.unchecked and not self.agrees

    @property
    def verdict(self) -> str:
        """In one or two words."""
        return "not checked" if self.unchecked else "agrees" if self.agrees else "PARTS"

    def __str__(self) -> str:
        record = self.record
        what = f"{record.quantity} of {record.input_in_words!r}, published by {record.publisher}"
        if self.unchecked:
            return f"{what}: not checked, {self.unchecked}"
        note = f"; its note: {record.note}" if self.parts and record.note else ""
        return f"{what}: {self.verdict}, with a difference of {self.difference:.3g} where {self.tolerance:.3g} is allowed{note}"


@dataclass(frozen=True)
class PublishedReport:
    """Everything that was published of a checkpoint, checked."""

    results: tuple[PublishedResult, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing that was checked parts."""
        return not self.parting

    @property
    def parting(self) -> list[PublishedResult]:
        """Those that were checked and part."""
        return [result for result in self.results if result.parts]

    @property
    def summary(self) -> str:
        """One line: how many hold, how many part, how many were not checked, and why."""
        holding = sum(result.agrees for result in self.results)
        said = [f"{counted(holding, 'published value')} {'holds' if holding == 1 else 'hold'}"]
        if self.parting:
            said.append(f"{len(self.parting)} PART" + ("S" if len(self.parting) == 1 else ""))
        reasons = [result.unchecked for result in self.results if result.unchecked]
        if reasons:
            said.append(f"{len(reasons)} not checked ({'; '.join(dict.fromkeys(reasons))})")
        return "; ".join(said)

    def __rich__(self) -> "Table":
        from rich.markup import escape
        from rich.table import Table

        colours = {"agrees": "[green]agrees[/]", "PARTS": "[bold red]PARTS[/]", "not checked": "not checked"}
        table = Table()
        for title in ("published", "by", "input"):
            table.add_column(title, no_wrap=title != "input")
        for title in ("difference", "allowed", "verdict"):
            table.add_column(title, justify="right", no_wrap=True)
        for result in self.results:
            numbers = ("", "") if result.unchecked else (f"{result.difference:.2e}", f"{result.tolerance:.1e}")
            record = result.record
            what = (record.quantity, record.publisher, shortened(printable(record.input_in_words)))
            table.add_row(*map(escape, what), *numbers, colours[result.verdict])
        return table


def shortened(text: str, most: int = 26) -> str:
    """The beginning of a text that is longer."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
