"""The remembered ids are those of the definition: for any text, in any order, from any thread, however full the memory."""

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer import remembered_ids
from minibert.tokenizer.remembered_ids import DELETED_WHITESPACE, LONGEST_KEPT, RememberedIds
from minibert.tokenizer.settings import TokenizerSettings
from minibert.tokenizer.text_ids import TextIds
from minibert.tokenizer.vocabulary import Vocabulary

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = Vocabulary(
    [*SPECIAL_TOKENS, "a", "##a", "b", "##b", "ab", "[", "]", "mask", "漢", "é", "e", "##e", ".", "two words"]
)

PARTS = st.sampled_from(
    ["a", "b", "ab", "É", "e\u0301", ".", "漢", "[MASK]", "[mask]", " ", "\n", "\u2003", *DELETED_WHITESPACE, "\0"]
)
TEXTS = st.lists(PARTS | st.characters(exclude_categories=["Cs"])).map("".join)


def text_ids(**settings: object) -> TextIds:
    return TextIds(VOCABULARY, TokenizerSettings(**settings))


@pytest.mark.parametrize(
    "settings",
    [{}, {"do_lower_case": False}, {"special_tokens_in_text": False}, {"mask_token": "two words"}, {"longest_word": 1}],
    ids=str,
)
@given(texts=st.lists(TEXTS, max_size=4))
def test_they_are_those_of_the_definition(settings: dict, texts: list[str]):
    definition = text_ids(**settings)
    remembered = RememberedIds(definition)
    for text in texts * 2:
        assert remembered(text) == definition(text)


@pytest.mark.parametrize("character", DELETED_WHITESPACE)
def test_what_python_takes_for_whitespace_and_bert_deletes_joins_words(character: str):
    remembered = RememberedIds(text_ids())
    assert remembered(f"a{character}b") == [VOCABULARY.ids["ab"]]
    # Only the raw text can hold a special token: deleting the character does not make one.
    assert remembered(f"[MA{character}SK]") == [VOCABULARY.ids[token] for token in ("[", "mask", "]")]


def test_every_code_point_that_splits_a_string_is_whitespace_or_deleted():
    definition = text_ids()
    splitting = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and len(f"a{chr(code)}b".split()) == 2]
    assert len(splitting) > len(DELETED_WHITESPACE)
    joined = [character for character in splitting if definition(f"a{character}b") == [VOCABULARY.ids["ab"]]]
    assert sorted(joined) == sorted(DELETED_WHITESPACE)


def test_a_special_token_with_a_space_inside_is_found():
    remembered = RememberedIds(text_ids(mask_token="two words"))
    assert remembered("a two words b") == [VOCABULARY.ids[token] for token in ("a", "two words", "b")]


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remembered_ids, "CHUNKS_KEPT", 10)
    definition = text_ids()
    remembered = RememberedIds(definition)
    sizes = []
    for number in range(35):
        text = "a" * (number + 1) + " b"
        assert remembered(text) == definition(text)
        sizes.append(len(remembered._chunks))
    assert max(sizes) <= 10
    assert min(sizes[5:]) < max(sizes)


def test_a_long_chunk_is_not_kept():
    remembered = RememberedIds(text_ids())
    remembered("a" * LONGEST_KEPT + " " + "b" * (LONGEST_KEPT + 1))
    assert list(remembered._chunks) == ["a" * LONGEST_KEPT]


def test_threads_may_share_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remembered_ids, "CHUNKS_KEPT", 7)
    definition = text_ids()
    remembered = RememberedIds(definition)
    texts = [" ".join("ab"[: 1 + number % 2] * (1 + number % 5) for number in range(start, start + 9)) for start in range(20)]
    expected = [definition(text) for text in texts]
    wrong: list[str] = []

    def work(seed: int) -> None:
        source = random.Random(seed)
        for _ in range(300):
            place = source.randrange(len(texts))
            if remembered(texts[place]) != expected[place]:
                wrong.append(texts[place])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
