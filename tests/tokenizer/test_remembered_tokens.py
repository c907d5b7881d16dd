"""The remembered tokens are those of the definition: for any text, in any order, from any thread, however full the memory."""

import random
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hostile_texts import SPECIAL_TOKENS
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer import chunk_spelling, remembered_tokens
from minibert.tokenizer.bounded_memory import LONGEST_KEPT, BoundedMemory, TextMemory
from minibert.tokenizer.flavors import FLAVORS
from minibert.tokenizer.int32_bytes import int32_list
from minibert.tokenizer.remembered_tokens import DELETED_WHITESPACE, RememberedTokens
from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.text_tokens import TextTokens, Token
from minibert.tokenizer.vocabulary import Vocabulary

WORDS = ["a", "##a", "b", "##b", "ab", "[", "]", "mask", "漢", "é", "e", "##e", ".", "two words", "##aab", "##ς", "σ", "baaab"]
MARKS = ["\u302e", "##\u302e", "e.G", "\u1100\u1161", "##\u1100\u1161", "x" * 120]
VOCABULARY = Vocabulary([*SPECIAL_TOKENS, *WORDS, *MARKS])

# Besides what is ordinary: what is deleted, spaced, decomposed, moved by sorting, lower-cased by its neighbours.
ORDINARY = ["a", "b", "ab", ".", "漢", "[MASK]", "[mask]", " ", "\n", "\u2003", "'", "e.G", "aab", "two words"]
ODD = ["É", "e\u0301", "\0", "\u302e", "\u0323", "\u0334", "Σ", "α", "가", "\u200d", "\U0001d15e", "\ue000"]
PARTS = st.sampled_from([*ORDINARY, *ODD, *DELETED_WHITESPACE])
TEXTS = st.lists(PARTS | st.characters(exclude_categories=["Cs"])).map("".join)

SETTINGS = [
    {},
    {"do_lower_case": False},
    {"do_lower_case": False, "strip_accents": True},
    {"strip_accents": False, "tokenize_chinese_chars": False},
    {"special_tokens_in_text": False},
    {"mask_token": "two words"},
    {"longest_word": 1},
    {"never_split": ("e.G", "É")},
    {"additional_special_tokens": ("ab",)},
    {"flavor": "google"},
    {"flavor": "google", "do_lower_case": False, "special_tokens_in_text": True},
    {"flavor": "google", "strip_accents": False, "never_split": ("αΣ",)},
]


def text_tokens(**settings: object) -> TextTokens:
    return TextTokens(VOCABULARY, TokenizerSettings(**settings))


def with_places(remembered: RememberedTokens, texts: list[str]) -> list[list[Token]]:
    edges, columns = remembered.table_with_places(texts)
    ids, offsets, words = (columns[key].tolist() for key in ("input_ids", "offset_mapping", "word_ids"))
    tokens = [Token(token_id, *ends, word) for token_id, ends, word in zip(ids, offsets, words, strict=True)]
    return [tokens[start:end] for start, end in pairwise(edges.tolist())]


def ids_of(remembered: RememberedTokens, text: str) -> list[int]:
    return int32_list(remembered.ids(text))


@pytest.mark.parametrize(
    "settings", [*SETTINGS[:3], *(pytest.param(each, marks=pytest.mark.long) for each in SETTINGS[3:])], ids=str
)
@given(texts=st.lists(TEXTS, max_size=4))
def test_they_are_those_of_the_definition(settings: dict, texts: list[str]):
    definition = text_tokens(**settings)
    remembered = RememberedTokens(definition)
    expected = [definition(text) for text in texts]
    expected_ids = [[token.id for token in tokens] for tokens in expected]
    for _ in range(2):
        assert [ids_of(remembered, text) for text in texts] == expected_ids
        assert list(map(int32_list, remembered.ids_of_all(texts))) == expected_ids
        assert with_places(remembered, texts) == expected


@pytest.mark.parametrize(
    "settings", [SETTINGS[0], *(pytest.param(each, marks=pytest.mark.long) for each in SETTINGS[1:])], ids=str
)
@given(text=TEXTS, enough=st.integers(0, 20))
def test_enough_of_them_are_the_first(settings: dict, text: str, enough: int):
    definition = text_tokens(**settings)
    expected = [token.id for token in definition(text)]
    remembered = RememberedTokens(definition)
    for found in map(int32_list, (remembered.ids(text, enough), *remembered.ids_of_all([text], enough))):
        assert found == expected[: len(found)]
        assert len(found) >= min(enough, len(expected))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_long_texts_are_the_same_bit_by_bit(monkeypatch: pytest.MonkeyPatch, size: int):
    definition = text_tokens()
    text = " ".join(["ab a b[MASK]", "\x0b ab\x0cab", "\u2003", "É\u0301漢" * 20]) + "\n"
    monkeypatch.setattr(remembered_tokens, "SEGMENT", size)
    monkeypatch.setattr(remembered_tokens, "BLOCK", size)
    remembered = RememberedTokens(definition)
    ids = [token.id for token in definition(text)]
    assert list(map(int32_list, remembered.ids_of_all([text, ""]))) == [ids, []]
    assert with_places(remembered, [text, "", "a", text]) == [definition(text), [], definition("a"), definition(text)]


@pytest.mark.parametrize("character", DELETED_WHITESPACE)
def test_what_python_takes_for_whitespace_and_bert_deletes_joins_words(character: str):
    remembered = RememberedTokens(text_tokens())
    assert ids_of(remembered, f"a{character}b") == [VOCABULARY.ids["ab"]]
    # Only the raw text can hold a special token: deleting the character does not make one.
    assert ids_of(remembered, f"[MA{character}SK]") == [VOCABULARY.ids[token] for token in ("[", "mask", "]")]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_code_point_that_splits_a_string_is_whitespace_or_deleted(flavor: str):
    definition = text_tokens(flavor=flavor)
    splitting = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and len(f"a{chr(code)}b".split()) == 2]
    assert len(splitting) > len(DELETED_WHITESPACE)
    joined = [character for character in splitting if definition(f"a{character}b")[0].id == VOCABULARY.ids["ab"]]
    assert sorted(joined) == sorted(DELETED_WHITESPACE)


def test_a_special_token_with_a_space_inside_is_found():
    definition = text_tokens(mask_token="two words")
    remembered = RememberedTokens(definition)
    assert ids_of(remembered, "a two words b") == [VOCABULARY.ids[token] for token in ("a", "two words", "b")]
    assert with_places(remembered, ["a two words b", ""]) == [definition("a two words b"), []]
    assert definition("a two words b")[1] == (VOCABULARY.ids["two words"], 2, 11, 1)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch):
    for module, name in ((remembered_tokens, "CHUNKS_KEPT"), (remembered_tokens, "SPANS_KEPT"), (chunk_spelling, "WORDS_KEPT")):
        monkeypatch.setattr(module, name, 10)
    definition = text_tokens()
    remembered = RememberedTokens(definition)
    memories = [remembered._ids, remembered._spans, remembered._ids._compute.__self__._word_ids]
    sizes = []
    for number in range(35):
        text = "a" * (number + 1) + " b"
        assert ids_of(remembered, text) == [token.id for token in definition(text)]
        assert with_places(remembered, [text]) == [definition(text)]
        sizes.append([len(memory) for memory in memories])
    assert np.max(sizes) <= 10
    assert (np.min(sizes[15:], axis=0) < np.max(sizes, axis=0)).all()


TEXT = "ab a [MASK] É.G " * 3


def test_whole_texts_are_remembered_with_all_their_ids():
    remembered = RememberedTokens(text_tokens())
    expected = remembered.ids(TEXT)
    assert len(int32_list(remembered.ids_of_all([TEXT], enough=2)[0])) < len(int32_list(expected))
    assert not remembered._texts
    for _ in range(2):
        assert remembered.ids_of_all(["a", TEXT, "a"]) == [remembered.ids("a"), expected, remembered.ids("a")]
    assert remembered._texts == {TEXT: expected}
    assert remembered.ids_of_all([TEXT, TEXT + "b"], enough=2)[0] == expected


def test_the_memory_of_texts_is_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remembered_tokens, "TEXT_BYTES_KEPT", 10_000)
    remembered = RememberedTokens(text_tokens())
    sizes = []
    for number in range(200):
        text = f"{TEXT} {number}"
        assert remembered.ids_of_all([text, TEXT]) == [remembered.ids(text), remembered.ids(TEXT)]
        sizes.append(sum(sys.getsizeof(text) + sys.getsizeof(ids) for text, ids in remembered._texts.items()))
    assert 2_000 < max(sizes) <= 10_000
    assert min(sizes[50:]) < 1_000


def test_a_text_is_not_waited_for():
    memory = TextMemory(100)
    with memory._lock:
        memory.keep({"a": b""})
    assert not memory
    memory.keep({"a": b""})
    assert memory == {"a": b""}


def test_a_long_string_is_not_kept():
    memory = BoundedMemory(len, 10)
    assert (memory["a" * LONGEST_KEPT], memory["b" * (LONGEST_KEPT + 1)]) == (LONGEST_KEPT, LONGEST_KEPT + 1)
    assert list(memory) == ["a" * LONGEST_KEPT]


def test_threads_may_share_it(monkeypatch: pytest.MonkeyPatch):
    for module, name in ((remembered_tokens, "CHUNKS_KEPT"), (remembered_tokens, "SPANS_KEPT"), (chunk_spelling, "WORDS_KEPT")):
        monkeypatch.setattr(module, name, 7)
    definition = text_tokens()
    remembered = RememberedTokens(definition)
    texts = [" ".join("ab"[: 1 + number % 2] * (1 + number % 5) for number in range(start, start + 9)) for start in range(20)]
    expected = [definition(text) for text in texts]
    wrong: list[str] = []

    def work(seed: int) -> None:
        source = random.Random(seed)
        for _ in range(300):
            place = source.randrange(len(texts))
            ids = int32_list(remembered.ids_of_all([texts[place]])[0])
            if ids != [token.id for token in expected[place]] or with_places(remembered, [texts[place]]) != [expected[place]]:
                wrong.append(texts[place])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.long
def test_different_words_without_end_do_not_fill_the_memory():
    # The memory is full after the first hundred thousand of these words.
    program = """
import gc
from minibert.tokenizer import Tokenizer

def resident():
    gc.collect()
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"0123456789abcdefw", *("##" + c for c in "0123456789abcdef")]
tokenizer = Tokenizer(tokens)
before = resident()
for start in range(0, 400_000, 1000):
    text = " ".join(f"w{number:x}" for number in range(start, start + 1000))
    tokenizer.encode(text)
    tokenizer(text, return_offsets_mapping=True) if start % 4000 == 0 else None
print(resident() - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say how much memory a process takes")
    grown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 100_000


@pytest.mark.parametrize("settings", [{"additional_special_tokens": ("\0",)}, {"never_split": ("\0x",)}], ids=str)
def test_a_token_that_begins_with_nul_is_found_in_every_call(settings: dict):
    definition = TextTokens(Vocabulary([*SPECIAL_TOKENS, "a", "##a", "\0", "\0x"]), TokenizerSettings(**settings))
    remembered = RememberedTokens(definition)
    for text in ("a\0a", "a\0\0a", "\0\0", "\0x", "\0a"):
        assert ids_of(remembered, text) == [token.id for token in definition(text)]
        assert with_places(remembered, [text]) == [definition(text)]


def test_a_token_longer_than_any_code_point_is_no_obstacle():
    definition = TextTokens(Vocabulary([*SPECIAL_TOKENS, "a", "##a", "y" * 1_200_000]), TokenizerSettings())
    assert ids_of(RememberedTokens(definition), "aa") == [token.id for token in definition("aa")]
