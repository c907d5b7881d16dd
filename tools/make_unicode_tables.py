"""Writes minibert/tokenizer/unicode_tables/hf.py and google.py: what each tokenizer does with every code point.

The `tokenizers` library, with which the published BERT models are used, has its character classes compiled in, from
several old versions of Unicode at once. Google's original takes them from Python's `unicodedata`, which follows the
interpreter, so that ids would change with the Python version. Asking each for its answers, and keeping the answers,
gives the same ids everywhere.

Run it from the repository root under Python 3.11, whose Unicode 14.0 the google tables are frozen to, with the extra
`reference` installed, and look at the difference before keeping it:

    python tools/make_unicode_tables.py
"""

import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

FOLDER = Path(__file__).parent.parent / "minibert" / "tokenizer" / "unicode_tables"
UNICODE_VERSION = "14.0.0"

# Code points that are no characters by themselves; the library cannot take them.
SURROGATES = range(0xD800, 0xE000)

# The ideographs of `_is_chinese_char` in google-research/bert, tokenization.py.
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)

FORM = """A class is a list of ranges, `first-last` or a single code point, in hexadecimal. LOWER_CASE has rows
`first-last:step:difference`: every step-th code point of the range becomes itself plus the (signed) difference.
"""

HF_HEADER = f'''"""The character classes of the hf flavor, frozen: written by tools/make_unicode_tables.py, not by hand.

Each table is what version {tokenizers.__version__} of the `tokenizers` library (BertNormalizer, BertPreTokenizer, NFD) did with
every code point. {FORM}"""
'''

GOOGLE_HEADER = f'''"""The character classes of the google flavor, frozen: written by tools/make_unicode_tables.py, not by hand.

They are the rules of google-research/bert, tokenization.py, under Unicode {UNICODE_VERSION}.

{FORM}"""
'''

HF_COMMENTS = {
    "DROPPED": "Deleted before anything else: U+0000, U+FFFD; Cc, Cf, Co of Unicode 8.0 but for tab and line ends.",
    "WHITESPACE": "White_Space; those that are not dropped become a space.",
    "CJK": "Surrounded by spaces. (One range starts at 2B920, where the original has 2B820.)",
    "DECOMPOSED": "Changed by NFD, of Unicode 9.0.",
    "ORDERED": "With a canonical combining class other than zero in Unicode 9.0: NFD puts runs of these in order.",
    "NONSPACING_MARKS": "Deleted with the accents: Mn of Unicode 8.0.",
    "PUNCTUATION": "Always a word of its own: P of Unicode 8.0 and the ASCII symbols, such as $ and +.",
    "LOWER_CASE": "Lower-casing one character at a time.",
}

GOOGLE_COMMENTS = {
    "DROPPED": "Deleted before anything else: U+0000, U+FFFD, Cc and Cf but for tab and line ends.",
    "WHITESPACE": "Tab, line ends and Zs, and what str.split() cuts at besides: U+2028, U+2029.",
    "CJK": "Surrounded by spaces.",
    "DECOMPOSED": "Changed by NFD.",
    "ORDERED": "With a canonical combining class other than zero: NFD puts runs of these in order.",
    "NONSPACING_MARKS": "Deleted with the accents: Mn.",
    "PUNCTUATION": "Always a word of its own: P and the ASCII symbols, such as $ and +.",
    "CASED": "Before a capital sigma at a word's end, with nothing but CASE_IGNORABLE between.",
    "CASE_IGNORABLE": "Looked past on both sides of a capital sigma.",
    "LOWER_CASE": "Lower-casing one character at a time.",
}


def main() -> None:
    """Writes both files."""
    if unicodedata.unidata_version != UNICODE_VERSION:
        raise SystemExit(
            f"this interpreter has Unicode {unicodedata.unidata_version}; run it under Python 3.11, which has 14.0.0"
        )
    characters = [chr(code_point) for code_point in range(0x110000) if code_point not in SURROGATES]
    check_decompositions(characters)
    write("hf", HF_HEADER, HF_COMMENTS, *library_tables(characters))
    write("google", GOOGLE_HEADER, GOOGLE_COMMENTS, *original_tables(characters))


def library_tables(characters: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The classes and the lower-casing of the `tokenizers` library, asked about every character."""
    clean, cjk, accents, lower = (
        bert_normalizer(step) for step in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    )
    decompose = normalizers.NFD().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    pieces = {character: len(split(f"a{character}a")) for character in characters}
    classes = {
        "DROPPED": [c for c in characters if clean(f"a{c}a") == "aa"],
        "WHITESPACE": [c for c in characters if pieces[c] == 2],
        "CJK": [c for c in characters if cjk(f"a{c}a") == f"a {c} a"],
        "DECOMPOSED": [c for c in characters if decompose(c) != c],
        "ORDERED": [c for c in characters if decompose(c) == c and is_ordered(c)],
        "NONSPACING_MARKS": [c for c in characters if accents(f"a{c}a") == "aa"],
        "PUNCTUATION": [c for c in characters if pieces[c] == 3],
    }
    return classes, {c: lower(c) for c in characters if lower(c) != c}


def original_tables(characters: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The classes and the lower-casing of google-research/bert under this interpreter's Unicode."""
    category = {c: unicodedata.category(c) for c in characters}
    dropped = {c for c in characters if c in "\0\ufffd" or (category[c] in ("Cc", "Cf") and c not in "\t\n\r")}
    ignorable = [c for c in characters if f"A{c}Σ".lower().endswith("ς") and not f"{c}Σ".lower().endswith("ς")]
    classes = {
        "DROPPED": [c for c in characters if c in dropped],
        "WHITESPACE": [c for c in characters if c not in dropped and (c.isspace() or category[c] == "Zs")],
        "CJK": [c for c in characters if any(first <= ord(c) <= last for first, last in IDEOGRAPHS)],
        "DECOMPOSED": [c for c in characters if unicodedata.normalize("NFD", c) != c],
        "ORDERED": [c for c in characters if unicodedata.combining(c)],
        "NONSPACING_MARKS": [c for c in characters if category[c] == "Mn"],
        "PUNCTUATION": [
            c
            for c in characters
            if category[c].startswith("P") or (c.isascii() and c.isprintable() and not c.isalnum() and c != " ")
        ],
        "CASED": [c for c in characters if f"{c}Σ".lower().endswith("ς")],
        "CASE_IGNORABLE": ignorable,
    }
    return classes, {c: c.lower() for c in characters if c.lower() != c}


def write(name: str, header: str, comments: dict[str, str], classes: dict[str, list[str]], lower_case: dict[str, str]) -> None:
    """Writes one of the two files."""
    tables = {table: [range_text(*ends) for ends in ranges(map(ord, members))] for table, members in classes.items()}
    tables["LOWER_CASE"] = lower_case_rows({ord(c): ord(lower) for c, lower in lower_case.items() if len(lower) == 1})
    sequences = {ord(c): lower for c, lower in lower_case.items() if len(lower) > 1}
    lines = [header]
    for table, rows in tables.items():
        lines += [f"# {comments[table]}", f'{table} = """', *textwrap.wrap(" ".join(rows), 118), '"""', ""]
    lines += ["# Lower-casing that gives more than one character."]
    lines += [f"LOWER_CASE_SEQUENCES = {{{', '.join(f'0x{s:X}: {t!a}' for s, t in sequences.items())}}}"]
    (FOLDER / f"{name}.py").write_text("\n".join(lines) + "\n", encoding="ascii")


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
