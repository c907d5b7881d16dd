"""The tokens against those of transformers' BertTokenizer, which is the compiled `tokenizers` library, live."""

import subprocess
import sys
from pathlib import Path

import pytest
from hostile_texts import BLOCKS, CODE_POINTS, SETTINGS

from minibert.tokenizer import Tokenizer

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def both(request: pytest.FixtureRequest, minilm_folder: Path):
    from transformers import BertTokenizer

    reference = BertTokenizer(str(minilm_folder / "vocab.txt"), **request.param)
    return reference, Tokenizer.from_folder(minilm_folder, **request.param)


def run(program: str, *arguments: str) -> str:
    """What a program of this folder prints; `arguments` are its own."""
    path = Path(__file__).parent / program
    return subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("count", [8_000, pytest.param(50_000, marks=pytest.mark.long)])
def test_random_texts_have_the_references_tokens(minilm_folder: Path, count: int):
    assert run("many_random_texts.py", str(minilm_folder), str(count)) == f"{8 * count} compared\n"


def test_the_code_points_of_scripts_have_the_references_tokens(minilm_folder: Path):
    assert run("every_code_point.py", str(minilm_folder), "blocks") == f"{6 * sum(map(len, BLOCKS))} compared\n"


@pytest.mark.long
def test_every_code_point_has_the_references_tokens(minilm_folder: Path):
    assert run("every_code_point.py", str(minilm_folder)) == f"{6 * len(CODE_POINTS)} compared\n"


@pytest.mark.parametrize(("part", "least"), [(17, 100_000), pytest.param(3, 700_000, marks=pytest.mark.long)])
def test_the_combinations_of_lengths_and_options_have_the_references_rows(part: int, least: int):
    *different, compared = run("every_combination.py", str(part)).splitlines()
    assert different == []
    assert int(compared.removesuffix(" compared")) > least


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


WINDOWS = {"truncation": True, "max_length": 12, "stride": 3, "return_overflowing_tokens": True}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"truncation": "only_second", "max_length": 18},
        {"padding": "max_length", "max_length": 40, "padding_side": "left"},
        {"return_offsets_mapping": True, "return_special_tokens_mask": True},
        {"return_offsets_mapping": True, **WINDOWS},
        {"add_special_tokens": False},
    ],
    ids=str,
)
def test_a_call_has_the_keys_and_values_of_transformers(both, options: dict):
    reference, ours = both
    texts = ["The bank raised rates.", "A river bank, ISN'T it? Crème.", "a"]
    pairs = ["They rose.", "It is [MASK] naïve 東京.", "b c d e f g h i j k l"]
    for pair in (None, pairs) if options.get("truncation") != "only_second" else (pairs,):
        expected = reference(texts, pair, **options)
        assert ours(texts, pair, return_tensors=None, **({"padding": False} | options)) == dict(expected)
        words = ours(texts, pair, return_tensors=None, return_word_ids=True, **({"padding": False} | options))["word_ids"]
        assert words == [expected.word_ids(row) for row in range(len(words))]


@pytest.mark.parametrize("options", [{}, WINDOWS])
def test_words_have_the_values_of_transformers(both, options: dict):
    reference, ours = both
    texts = [["The", "bank's", "", "raised", "\u200b", "rates."], ["Crème", "BRÛLÉE", "東京", "[MASK]!", "two words"]]
    pairs = [["They", "rose."], ["unaffable"]]
    for pair in (None, pairs):
        given = {"is_split_into_words": True, "return_offsets_mapping": True, **options}
        expected = reference(texts, pair, **given)
        found = ours(texts, pair, padding=False, return_tensors=None, return_word_ids=True, **given)
        words = found.pop("word_ids")
        assert found == dict(expected)
        assert words == [expected.word_ids(row) for row in range(len(words))]


def test_ids_are_decoded_as_by_transformers(both):
    reference, ours = both
    for text in ("Hello, world! It's John's; isn't it? I ' m . They 're", "##s a ' b do not [MASK] 3.5%", ""):
        ids = ours.encode(text)
        for skip in (True, False):
            assert ours.decode(ids, skip_special_tokens=skip) == reference.decode(ids, skip_special_tokens=skip)
            cleaned = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": True}
            assert ours.decode(ids, **cleaned) == reference.decode(ids, **cleaned)


def test_added_special_tokens_and_saved_folders_open_in_transformers(both, tmp_path: Path):
    from tokenizers import Tokenizer as Compiled
    from transformers import AutoTokenizer

    ours = both[1]
    added = Tokenizer(ours.vocabulary, ours.settings)
    added.add_special_tokens(["[E1]", "<e 2>"])
    added.save(tmp_path)
    text = "the [E1] CRÈME<e 2>x [E2] 東京 [MASK]"
    reference, compiled = AutoTokenizer.from_pretrained(str(tmp_path)), Compiled.from_file(str(tmp_path / "tokenizer.json"))
    assert reference(text)["input_ids"] == compiled.encode(text).ids == added.encode(text)
    assert Tokenizer.load(tmp_path).encode(text) == added.encode(text)
    assert reference.model_max_length == added.model_max_length


def test_batches_are_padded_as_by_the_reference(minilm_folder: Path):
    from transformers import BertTokenizer

    reference = BertTokenizer(str(minilm_folder / "vocab.txt"))
    texts = ["The bank raised rates.", "A river bank.", ""]
    for options in ({"padding": True, "pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 12}):
        expected = dict(reference(texts, **options))
        assert {
            name: array.tolist() for name, array in Tokenizer.from_folder(minilm_folder)(texts, **options).items()
        } == expected
