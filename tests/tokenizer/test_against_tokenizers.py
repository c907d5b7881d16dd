"""The ids against those of transformers' BertTokenizer, which is the compiled `tokenizers` library, live."""

import random
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer import Tokenizer

pytestmark = pytest.mark.reference

SETTINGS = [
    {"do_lower_case": True},
    {"do_lower_case": False},
    {"do_lower_case": True, "strip_accents": False},
    {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
]
CODE_POINTS = [code_point for code_point in range(0x110000) if not 0xD800 <= code_point < 0xE000]
ORDINARY = [chr(code_point) for code_point in (*range(0x20, 0x7F), *range(0xA0, 0x250), *range(0x300, 0x370))]
ODD = [
    " ",
    "[MASK]",
    "[SEP]",
    "[mask]",
    "##s",
    "漢",
    "가",
    "Σ",
    "İ",
    "\u302e",
    "\u0334",
    "\U0001e944",
    "\u200d",
    "\xa0",
    "\0",
]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def both(request: pytest.FixtureRequest, minilm_folder: Path):
    from transformers import BertTokenizer

    reference = BertTokenizer(str(minilm_folder / "vocab.txt"), **request.param)
    return reference, Tokenizer.from_folder(minilm_folder, **request.param)


def random_text(source: random.Random) -> str:
    kinds = [ORDINARY, ODD, ["a", "e", " "], None]
    chosen = source.sample(kinds, source.randint(1, 4))
    length = source.choice((1, 5, 30, 130))
    pools = [source.choice(chosen) for _ in range(length)]
    return "".join(chr(source.choice(CODE_POINTS)) if pool is None else source.choice(pool) for pool in pools)


def test_random_unicode_has_the_references_ids(both):
    reference, ours = both
    source = random.Random(2018)
    texts = [random_text(source) for _ in range(1000)]
    different = [text for text in texts if ours(text)["input_ids"][0].tolist() != reference(text)["input_ids"]]
    assert different == []


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("Crème BRÛLÉE, naïve!", None),
        ("東京は日本の首都", "한국어"),
        ("🙂 👩‍👩‍👧", None),
        ("a [MASK] b[MASK]c [mask]", "[SEP] [[CLS]]"),
        ("x" * 100 + " " + "x" * 101, None),
        ("a\0b\x0bc\x85d\xa0e\u2028f\u200bg", None),
        ("", None),
        ("", "b"),
    ],
)
def test_hand_picked_texts_and_pairs_have_the_references_arrays(both, text: str, second: str | None):
    reference, ours = both
    found = {name: array[0].tolist() for name, array in ours(text, second).items()}
    assert found == dict(reference(text, second))


def test_every_code_point_is_normalised_and_split_as_by_the_reference():
    program = Path(__file__).parent / "every_code_point.py"
    result = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert result.stdout == f"{12 * len(CODE_POINTS)} compared\n"


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("special", [True, False])
def test_truncation_is_the_references(minilm_folder: Path, strategy: str, special: bool):
    from transformers import BertTokenizer

    reference = BertTokenizer(str(minilm_folder / "vocab.txt"))
    ours = Tokenizer.from_folder(minilm_folder)
    # transformers drops an empty second text, which has a test of its own: here it is None or has a word.
    for first, second, max_length in product(range(6), (None, 1, 2, 3, 4, 5), range(3, 14)):
        text, pair = "a " * first, None if second is None else "b " * second
        options = {"truncation": strategy, "max_length": max_length, "add_special_tokens": special}
        try:
            expected = dict(reference(text, pair, **options))
        except Exception as problem:
            assert "Truncation error" in str(problem)
            with pytest.raises(TokenizerError):
                ours(text, pair, **options)
            continue
        assert {name: array[0].tolist() for name, array in ours(text, pair, **options).items()} == expected


def test_batches_are_padded_as_by_the_reference(minilm_folder: Path):
    from transformers import BertTokenizer

    reference = BertTokenizer(str(minilm_folder / "vocab.txt"))
    texts = ["The bank raised rates.", "A river bank.", ""]
    for options in ({"padding": True, "pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 12}):
        expected = dict(reference(texts, **options))
        assert {
            name: array.tolist() for name, array in Tokenizer.from_folder(minilm_folder)(texts, **options).items()
        } == expected
