"""Texts that are easy to get wrong, the same in every run: what the live comparisons and the recorded expectations use."""

import random
from itertools import product

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Keywords of TokenizerSettings, for what is compared live.
SETTINGS: list[dict[str, bool]] = [
    {"do_lower_case": True},
    {"do_lower_case": False},
    {"do_lower_case": True, "strip_accents": False},
    {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
]
CODE_POINTS = [code_point for code_point in range(0x110000) if not 0xD800 <= code_point < 0xE000]
FORMS = ("{0}", "a{0}b", "{0}{0}")
"""Alone, between letters, doubled."""

# Blocks of Unicode begin at multiples of 16, most of them at multiples of 128. Where scripts are, under any version of it:
# not by what this interpreter knows, for the texts have to be the same everywhere. One in sixteen of the ideographs',
# of Hangul's and of the private ones is enough.
BLOCKS = [
    CODE_POINTS[place : place + 128]
    for place in range(0, len(CODE_POINTS), 128)
    if (code := CODE_POINTS[place]) < 0x3400
    or 0xA000 <= code < 0xAC00
    or 0xF900 <= code < 0x12600
    or 0x16800 <= code < 0x17000
    or 0x1B000 <= code < 0x1FC00
    or 0xE0000 <= code < 0xE0200
    or (place // 128 % 16 == 0 and code < 0x32000)
    or code in (0xE000, 0xF0000, 0x10FF80)
]
WHITESPACE = list(" \t\n\r\v\f\x1c\x1f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u200b\ufeff")
MARKS = list(
    "\u0300\u0301\u0316\u0323\u0327\u0334\u0345\u05b0\u064b\u093c\u0f71\u0f72\u302e\u302f\u1dce\u20dd\U0001d165\U0001d16d"
)
EMOJI = ["👩‍👩‍👧", "🇩🇪", "❤️", "5️⃣", "👍🏽", "🏴\U000e0067\U000e0062\U000e007f", "😀", "\u200d", "\ufe0f"]
SPECIAL = ["[MASK]", "[SEP]", "[CLS]", "[PAD]", "[UNK]", "[mask]", "[MA", "SK]", "[[MASK]]", "##s", "##"]
CASES = [*"ΣςσİıßẞǅﬁKÅÉé가각漢字ñÑ", "e\u0301", "Σ ", "ΑΣ"]
ORDINARY = ["the ", "cat", "s ", ".", "un", "affable ", "I'm ", "3.5%", "a", "e", " ", "Straße "]
HAND_PICKED = [
    "",
    " \t\n",
    "The quick brown fox's jump, isn't it?",
    "Crème BRÛLÉE naïve Ångström İstanbul",
    "ΟΔΥΣΣΕΥΣ Σίσυφος ΑΣ'Α Σ ΑΣ. straße ǅ ﬁ",
    "東京は日本の首都 \U0002b820\U0002b920\U0002f800 ㍿",
    "한국어 가각 वर्ण عَرَبِيّ עִבְרִית ไทย",
    "🙂 👩‍👩‍👧 🇩🇪 ❤️ 5️⃣",
    "a [MASK] b[MASK]c [mask] [[SEP]] [CLS]",
    "x" * 100 + " " + "x" * 101 + " " + "é" * 100 + " " + "e\u0301" * 100 + " " + "x" * 200 + " " + "x" * 201,
    "tab\tline\nreturn\rfeed\x0bform\x0cunit\x1fnext\x85zero\x00replacement\ufffdend",
    "nbsp\xa0ideographic\u3000zero\u200bwidth soft\xadhyphen bom\ufeff private\ue000 line\u2028separator",
    "$1,000.00 + 5% = x^2 `code` ~ < > | — – “quoted” …。、 \u166d \u2e43 \U0001e95e",
    "e\u0327\u0301\u0323 \u0344 \u0958 \u1e69 \u212b \u2126 \U0001d15e \U00011938 \u302e\u0334 \u1dfb \u1b34a",
]
POOLS = (WHITESPACE, MARKS, EMOJI, SPECIAL, CASES, ORDINARY)


def random_texts(count: int, seed: int = 2018) -> list[str]:
    """Texts mixed from one to six of the pools above and blocks of Unicode, of up to 130 parts."""
    source = random.Random(seed)
    texts = []
    for _ in range(count):
        chosen = [
            source.choice(POOLS) if source.random() < 0.6 else list(map(chr, source.choice(BLOCKS)))
            for _ in range(source.randint(1, 6))
        ]
        length = source.choice((1, 2, 5, 12, 30, 130))
        texts.append("".join(source.choice(source.choice(chosen)) for _ in range(length)))
    return texts


def code_point_texts(code_points: list[int], size: int = 64) -> list[str]:
    """Every code point in every form, with spaces between: few long texts take less time than millions of short ones."""
    parts = [form.format(chr(code_point)) for code_point, form in product(code_points, FORMS)]
    return [" ".join(parts[start : start + size]) for start in range(0, len(parts), size)]


def hostile_vocabulary() -> list[str]:
    """A vocabulary that spells most scripts letter by letter, so that no difference hides behind [UNK]."""
    characters = [chr(code_point) for code_point in range(0x21, 0x3100) if chr(code_point).strip()]
    words = ["the", "cat", "##able", "un", "aff", "##aff", "unaff", "##ing", "東", "京", "가", "##가", "ไทย"]
    tokens = [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters), *words]
    return list(dict.fromkeys(tokens))
