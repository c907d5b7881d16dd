"""The code in docs/lab.md runs, from top to bottom, as it stands there."""

import re
from pathlib import Path

import pytest

import minibert

DOCUMENT = Path(__file__).parents[2] / "docs" / "lab.md"


@pytest.mark.long
def test_the_code_of_the_document_runs(minilm_folder: Path):
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    report = names["report"]
    assert isinstance(report, minibert.Report) and report.first_disagreement is None, str(report)
