"""English prose that every machine has: the docstrings of Python's standard library and of the installed packages."""

import random
import re
import sysconfig
from pathlib import Path

ENGLISH_BYTES = 6_000_000
PASSAGE_CHARACTERS = 4000
DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
PROSE = re.compile(r"[A-Z][^<>{}=\[\]|\\_`*]*[.!?]")
PARAGRAPHS = (1, 1, 1, 1, 2, 3, 5, 8)


def english_lines() -> list[str]:
    """Paragraphs of prose out of docstrings, each once."""
    lines: dict[str, None] = {}
    size = 0
    for root in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in sorted(Path(root).rglob("*.py")):
            for docstring in DOCSTRING.findall(path.read_text(encoding="utf-8", errors="ignore")):
                for paragraph in re.split(r"\n\s*\n", docstring):
                    line = " ".join(paragraph.split())
                    if len(line) > 60 and line not in lines and PROSE.fullmatch(line):
                        lines[line] = None
                        size += len(line.encode())
            if size > ENGLISH_BYTES:
                return list(lines)
    return list(lines)


def passages(lines: list[str]) -> list[str]:
    joined: list[str] = []
    passage: list[str] = []
    for line in lines:
        passage.append(line)
        if sum(map(len, passage)) > PASSAGE_CHARACTERS:
            joined.append("\n".join(passage))
            passage = []
    return joined


def mixed_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 1 to 8 paragraphs, half of them of one: mostly 15 to 300 tokens. Lines come again if need be."""
    generator = random.Random(seed)
    lines = english_lines()
    generator.shuffle(lines)
    texts, place = [], 0
    while len(texts) < count:
        paragraphs = generator.choice(PARAGRAPHS)
        texts.append(" ".join(lines[number % len(lines)] for number in range(place, place + paragraphs)))
        place += paragraphs
    return texts
