"""Writes minibert/tokenizer/unicode_tables.py by asking the `tokenizers` library about every code point.

The library that the published BERT models are used with has its character classes compiled in, from several old
versions of Unicode at once. Python's `unicodedata` follows the interpreter instead, so that ids would change with the
Python version. Asking the library for its answer, and keeping the answer, gives the same ids everywhere.

Run it from the repository root, with the extra `reference` installed, and look at the difference before keeping it:

    python tools/make_unicode_tables.py
"""

import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

TARGET = Path(__file__).parent.parent / "minibert" / "tokenizer" / "unicode_tables.py"

# Code points that are no characters by themselves; the library cannot take them.
SURROGATES = range(0xD800, 0xE000)

HEADER = '''"""The character classes of BERT's tokenizer, frozen: written by tools/make_unicode_tables.py, not by hand.

Each table is what version {version} of the `tokenizers` library (BertNormalizer, BertPreTokenizer, NFD) did with every
code point. A class is a list of ranges, `first-last` or a single code point, in hexadecimal. LOWER_CASE has rows
`first-last:step:difference`: every step-th code point of the range becomes itself plus the (signed) difference.
"""
'''

COMMENTS = {
    "DROPPED": "Deleted before anything else: U+0000, U+FFFD; Cc, Cf, Co of Unicode 8.0 but for tab and line ends.",
    "WHITESPACE": "White_Space; those that are not dropped become a space.",
    "CJK": "Surrounded by spaces. (One range starts at 2B920, where the original has 2B820.)",
    "DECOMPOSED": "Changed by NFD, of Unicode 9.0.",
    "ORDERED": "With a canonical combining class other than zero in Unicode 9.0: NFD puts runs of these in order.",
    "NONSPACING_MARKS": "Deleted with the accents: Mn of Unicode 8.0.",
    "PUNCTUATION": "Always a word of its own: P of Unicode 8.0 and the ASCII symbols, such as $ and +.",
    "LOWER_CASE": "Lower-casing one character at a time.",
}


def main() -> None:
    """Probes the library and writes the tables."""
    characters = [chr(code_point) for code_point in range(0x110000) if code_point not in SURROGATES]
    clean, cjk, accents, lower = (
        bert_normalizer(step) for step in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    )
    decompose = normalizers.NFD().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    pieces = {character: len(split(f"a{character}a")) for character in characters}
    lower_case = {ord(c): lower(c) for c in characters if lower(c) != c}
    check_decompositions(characters)
    classes = {
        "DROPPED": [c for c in characters if clean(f"a{c}a") == "aa"],
        "WHITESPACE": [c for c in characters if pieces[c] == 2],
        "CJK": [c for c in characters if cjk(f"a{c}a") == f"a {c} a"],
        "DECOMPOSED": [c for c in characters if decompose(c) != c],
        "ORDERED": [c for c in characters if decompose(c) == c and is_ordered(c)],
        "NONSPACING_MARKS": [c for c in characters if accents(f"a{c}a") == "aa"],
        "PUNCTUATION": [c for c in characters if pieces[c] == 3],
    }
    tables = {name: [range_text(*ends) for ends in ranges(map(ord, members))] for name, members in classes.items()}
    single = {source: ord(target) for source, target in lower_case.items() if len(target) == 1}
    tables["LOWER_CASE"] = lower_case_rows(single)
    sequences = {source: target for source, target in lower_case.items() if len(target) > 1}

    lines = [HEADER.format(version=tokenizers.__version__)]
    for name, rows in tables.items():
        lines += [f"# {COMMENTS[name]}", f'{name} = """', *textwrap.wrap(" ".join(rows), 118), '"""', ""]
    lines += ["# Lower-casing that gives more than one character."]
    lines += [f"LOWER_CASE_SEQUENCES = {{{', '.join(f'0x{s:X}: {t!a}' for s, t in sequences.items())}}}"]
    TARGET.write_text("\n".join(lines) + "\n", encoding="ascii")


def bert_normalizer(step: str) -> Callable[[str], str]:
    """The library's BertNormalizer with a single one of its four steps switched on."""
    steps = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    return normalizers.BertNormalizer(**{**steps, step: True}).normalize_str


def is_ordered(character: str) -> bool:
    """Whether NFD moves the character: before a mark of class 230 if its own is 1, behind one of class 1 otherwise."""
    decompose = normalizers.NFD().normalize_str
    return any(decompose(text) != text for text in (f"a\u0301{character}", f"a{character}\u0334"))


def check_decompositions(characters: list[str]) -> None:
    """Stops unless `unicodedata` agrees with the library on all that the library decomposes."""
    decompose = normalizers.NFD().normalize_str
    for character in characters:
        found = decompose(character)
        if found not in (character, unicodedata.normalize("NFD", character)):
            raise SystemExit(f"U+{ord(character):04X}: {found!a} is not unicodedata's decomposition")


def ranges(code_points: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending code points as the first and last of each run."""
    result: list[tuple[int, int]] = []
    for code_point in code_points:
        if result and result[-1][1] == code_point - 1:
            result[-1] = (result[-1][0], code_point)
        else:
            result.append((code_point, code_point))
    return result


def range_text(first: int, last: int) -> str:
    """One range as the tables write it."""
    return f"{first:X}" if first == last else f"{first:X}-{last:X}"


def lower_case_rows(mapping: dict[int, int]) -> list[str]:
    """The mapping as rows `first-last:step:difference`; steps of two are where upper and lower case alternate."""
    rows: list[tuple[int, int, int, int]] = []
    for source, target in sorted(mapping.items()):
        difference = target - source
        if rows and rows[-1][3] == difference:
            first, last, step, _ = rows[-1]
            gap = source - last
            if gap in (1, 2) and (first == last or step == gap):
                rows[-1] = (first, source, gap, difference)
                continue
        rows.append((source, source, 1, difference))
    return [
        f"{range_text(first, last)}:{step}:{'-' if difference < 0 else ''}{abs(difference):X}"
        for first, last, step, difference in rows
    ]


if __name__ == "__main__":
    main()
