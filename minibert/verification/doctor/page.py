"""A checkup as one HTML page that needs nothing else."""

from collections.abc import Sequence

from minibert.verification.doctor.checkup import LIMITS, Checkup, Row
from minibert.verification.report.page import chart, document, escaped, table

MARKS = {"good": "✓", "note": "·", "warning": "!", "bad": "✗"}
"""So that colour is not needed."""

VERDICT_CLASS = {"healthy": "verdict agrees", "usable": "verdict", "sick": "verdict parts"}

STYLE = """
.findings td, .findings th { white-space: normal; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
.findings th:first-child { width: 16%; min-width: 6.5rem; overflow-wrap: normal; font-family: inherit; }
.findings td:nth-child(2) { width: 5.5rem; white-space: nowrap; }
.findings .bad td:nth-child(2) { color: var(--parts); font-weight: 700; }
.findings .warning td:nth-child(2) { font-weight: 700; }
.findings .bad { background: var(--parts-fill); }
.findings .warning { background: var(--band); }
.found, .advice { white-space: pre-line; }
.advice { color: var(--quiet); }
"""


def page(checkup: Checkup) -> str:
    """The whole document: the verdict, the findings of each group, and every intermediate against the oracle."""
    title = f"minibert doctor: {checkup.folder.absolute().name}"
    body = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="{VERDICT_CLASS[checkup.state]}">{escaped(checkup.verdict)}</p>',
        f"<p><code>{escaped(str(checkup.folder))}</code></p>",
    ]
    for group, rows in checkup.groups():
        body.append(f"<h2>{escaped(group)}</h2>\n{_findings(rows)}")
    for row in checkup.rows:
        texts = row.finding.facts.get("in_order")
        if isinstance(texts, Sequence):
            items = "".join(f"<li>{escaped(text)}</li>\n" for text in texts)
            body.append(f'<h2>The texts, by their numbers</h2>\n<ol class="texts" start="0">\n{items}</ol>')
    body.append(f'<p class="advice">{escaped(LIMITS)}</p>')
    if checkup.comparison is not None and checkup.comparison.rows:
        body += [chart(checkup.comparison), table(checkup.comparison)]
    return document(title, "\n".join(body), STYLE)


def _findings(rows: list[Row]) -> str:
    lines = "".join(
        f'<tr class="{row.finding.status}"><th scope="row">{escaped(row.subject)}</th>'
        f"<td>{MARKS[row.finding.status]} {row.finding.status}</td><td>{_texts(row)}</td></tr>\n"
        for row in rows
    )
    return f'<table class="findings">\n<tbody>\n{lines}</tbody>\n</table>'


def _texts(row: Row) -> str:
    advice = f'<div class="advice">→ {escaped(row.finding.advice)}</div>' if row.finding.advice else ""
    return f'<div class="found">{escaped(row.finding.found)}</div>{advice}'
