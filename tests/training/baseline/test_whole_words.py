"""The tokenizer of whole words: which words it knows, the table of their vectors, and what is unknown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert import InputError, Tokenizer
from minibert.training.baseline import WordVectors, out_of_vocabulary, table_for, word_tokenizer, words_of

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vectors_of(*words: str, width: int = 3) -> WordVectors:
    return WordVectors(words, np.random.default_rng(0).normal(size=(len(words), width)).astype(np.float32))


def test_special_tokens_come_first_then_the_words_in_their_order():
    tokenizer = word_tokenizer(vectors_of("the", ",", "café", "bank"))
    assert list(tokenizer.vocabulary.tokens) == [*SPECIAL, "the", ",", "café", "bank"]
    assert tokenizer.pad_token_id == 0


def test_a_word_is_found_whole_or_is_unknown():
    tokenizer = word_tokenizer(vectors_of("bank", "banks", "the", "."))
    # "banking" begins with a word that is known; its rest would have to be a piece.
    assert tokenizer.tokenize("The banks, banking. Bank") == ["the", "banks", "[UNK]", "[UNK]", ".", "bank"]


def test_accents_stay_and_case_does_as_told():
    assert word_tokenizer(vectors_of("café", "cafe")).tokenize("CAFÉ cafe") == ["café", "cafe"]
    assert word_tokenizer(vectors_of("Café", "café"), lower_case=False).tokenize("Café CAFÉ") == ["Café", "[UNK]"]


def test_words_that_no_text_becomes_are_left_out():
    words = ("a", "don't", "U.S.", "##s", "new york", "東京", "東", "Bank", "<unk>", "[MASK]", "a\u0085b", "x" * 101, "\u2028")
    assert list(word_tokenizer(vectors_of(*words)).vocabulary.tokens) == [*SPECIAL, "a", "東"]
    with pytest.raises(InputError, match="of the 2 words with vectors, Bank, U.S., no text holds one .* in lower case"):
        word_tokenizer(vectors_of("Bank", "U.S."))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5, unique=True), st.booleans())
def test_every_word_that_is_kept_is_found_in_a_text_of_it(words: list[str], lower_case: bool):
    words = [word for word in words if not any("\ud800" <= character <= "\udfff" for character in word)] + ["a"]
    tokenizer = word_tokenizer(vectors_of(*dict.fromkeys(words)), lower_case)
    for word in tokenizer.vocabulary.tokens[5:]:
        assert tokenizer.tokenize(f"… {word}, x")[1:2] in ([word], ["[UNK]"])
        assert word in tokenizer.tokenize(f"… {word}, x")


def test_a_pair_of_texts_is_one_row():
    batch = word_tokenizer(vectors_of("a", "b"))("a", "b")
    assert batch["input_ids"].tolist() == [[2, 5, 3, 6, 3]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]


def test_words_of_texts_are_those_that_the_tokenizer_looks_for():
    texts = ["The café's bank, the\u00a0Bank!", "東京 A\x0bB"]
    words = words_of(texts)
    assert words == {"the", "café", "'", "s", "bank", ",", "!", "東", "京", "ab"}
    assert words_of(texts, lower_case=False) >= {"The", "Bank", "AB"}
    assert out_of_vocabulary(word_tokenizer(vectors_of(*sorted(words))), texts) == 0.0


def test_the_table_has_every_tokens_vector_and_rules_for_special_ones():
    vectors = vectors_of("skip-this", "b", "a", width=400)
    tokenizer = word_tokenizer(vectors)
    table = table_for(tokenizer, vectors, seed=7)
    assert table.shape == (7, 400) and table.dtype == np.float32
    np.testing.assert_array_equal(table[5:], vectors.table[1:])
    assert not table[0].any()
    np.testing.assert_allclose(table[1], vectors.table.mean(axis=0), atol=1e-6)
    for row in table[2:5]:
        assert row.std() == pytest.approx(vectors.table.std(), rel=0.2)
    np.testing.assert_array_equal(table, table_for(tokenizer, vectors, seed=7))
    assert (table[2] != table_for(tokenizer, vectors, seed=8)[2]).any()


def test_special_tokens_that_have_vectors_keep_them():
    vectors = vectors_of(*SPECIAL, "play", "##ing")
    np.testing.assert_array_equal(table_for(Tokenizer(vectors.words), vectors), vectors.table)


def test_a_tokenizer_of_other_vectors_has_no_table():
    with pytest.raises(InputError, match="b, c of the tokenizer have no vectors"):
        table_for(word_tokenizer(vectors_of("a", "b", "c")), vectors_of("a"))


def test_the_share_of_unknown_words():
    tokenizer = word_tokenizer(vectors_of("a", "b"))
    assert out_of_vocabulary(tokenizer, ["a b", "c a", "", "x"]) == pytest.approx(2 / 5)
    assert out_of_vocabulary(tokenizer, (text for text in ["a"] * 3000 + ["b c"] * 500)) == pytest.approx(500 / 4000)


def test_of_word_pieces_the_share_is_of_words_too():
    tokenizer = Tokenizer([*SPECIAL, "play", "##ing", "##s"])
    assert out_of_vocabulary(tokenizer, ["playing plays football"]) == pytest.approx(1 / 3)


def test_texts_without_words_and_what_is_no_text_are_refused(without_shape_checks: None):
    tokenizer = word_tokenizer(vectors_of("a"))
    for texts in ([], [""], [" \t"]):
        with pytest.raises(InputError, match="the texts hold no words"):
            out_of_vocabulary(tokenizer, texts)
    for function in (words_of, lambda texts: out_of_vocabulary(tokenizer, texts)):
        with pytest.raises(InputError, match="the texts are the string 'abc'; expected a list"):
            function("abc")
        with pytest.raises(InputError, match=r"texts\[1\] is of the type int; expected a string"):
            function(["a", 3])
