import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer.flavors import flavor_named
from minibert.tokenizer.word_splitting import word_pattern

split_words = word_pattern(flavor_named("hf").punctuation).findall


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("   ", []),
        ("one  two ", ["one", "two"]),
        ("don't!", ["don", "'", "t", "!"]),
        ("...", [".", ".", "."]),
        ("a\u2014b\u3002", ["a", "\u2014", "b", "\u3002"]),
    ],
)
def test_words_are_runs_between_spaces_and_punctuation_stands_alone(text: str, words: list[str]):
    assert split_words(text) == words


@pytest.mark.parametrize("symbol", list("$+<=>^`|~"))
def test_ascii_symbols_count_as_punctuation(symbol: str):
    assert split_words(f"a{symbol}b") == ["a", symbol, "b"]


@pytest.mark.parametrize("symbol", ["€", "×", "™", "😀"])
def test_other_symbols_do_not(symbol: str):
    assert split_words(f"a{symbol}b") == [f"a{symbol}b"]


@given(st.text())
def test_nothing_but_spaces_is_lost(text: str):
    assert "".join(split_words(text)) == text.replace(" ", "")
