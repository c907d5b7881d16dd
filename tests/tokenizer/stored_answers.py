"""What is stored of the references' answers, and how: for many texts a digest of the answer takes the answer's place."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from hostile_texts import CODE_POINTS, code_point_texts, random_texts

FOLDER = Path(__file__).parent.parent / "goldens"
DIGITS = 8
RANDOM_TEXTS, RANDOM_GROUP = 2000, 20
CODE_POINT_BLOCK = 256

# Keywords of TokenizerSettings.
SETTINGS = [{"do_lower_case": True}, {"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}]

Answers = Callable[[Sequence[str]], list[object]]
"""Texts to what a tokenizer makes of each, as JSON holds it."""


def random_groups() -> list[list[str]]:
    """The random texts, as many together as share a digest."""
    texts = random_texts(RANDOM_TEXTS, seed=7)
    return [texts[start : start + RANDOM_GROUP] for start in range(0, RANDOM_TEXTS, RANDOM_GROUP)]


def code_point_blocks() -> list[list[int]]:
    """All code points, as many together as share a digest."""
    return [CODE_POINTS[start : start + CODE_POINT_BLOCK] for start in range(0, len(CODE_POINTS), CODE_POINT_BLOCK)]


def digest(answers: Answers, texts: Sequence[str]) -> str:
    """A few digits of the sha256 of the answers to `texts`."""
    return hashlib.sha256(json.dumps(answers(texts)).encode()).hexdigest()[:DIGITS]


def digests_of_code_points(answers: Answers, blocks: Sequence[Sequence[int]]) -> list[str]:
    """A digest for each block of code points."""
    return [digest(answers, code_point_texts(list(block))) for block in blocks]


def all_digests(answers: Answers) -> tuple[str, str]:
    """The digests of the random texts and of all code points, each one behind the other in a string."""
    random_digests = [digest(answers, group) for group in random_groups()]
    return "".join(random_digests), "".join(digests_of_code_points(answers, code_point_blocks()))


def split_digests(digests: str) -> list[str]:
    """The digests that stand one behind the other in a string."""
    return [digests[start : start + DIGITS] for start in range(0, len(digests), DIGITS)]


def write(name: str, rows: list[dict[str, object]], **others: object) -> None:
    """Writes a file of recorded answers, a row on each line."""
    head = json.dumps(others).removesuffix("}")
    lines = ",\n".join(json.dumps(row) for row in rows)
    (FOLDER / name).write_text(f'{head},\n "rows": [\n{lines}\n]}}\n', encoding="ascii")
