"""A test for each row of the two tables in minibert/tokenizer/__init__.py: where flavors and references differ."""

import json
from pathlib import Path

import numpy as np
import pytest

import minibert.tokenizer
from minibert.errors import TokenizerError
from minibert.tokenizer import Tokenizer, TokenizerSettings, Vocabulary
from minibert.tokenizer.vocabulary import read_vocabulary

CHARACTERS = "abmskσς.'[]\U0002b820\ue000\u0300\u1dfb\u2e43漢"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "mask", *CHARACTERS, *(f"##{character}" for character in CHARACTERS)]
HF, GOOGLE = Tokenizer(TOKENS), Tokenizer(TOKENS, TokenizerSettings(flavor="google"))


@pytest.mark.parametrize(
    ("topic", "text", "google", "hf"),
    [
        ("special tokens in a text", "[MASK]", "[ mask ]", "[MASK]"),
        ("longest word", "a" * 101, "a" + " ##a" * 100, "[UNK]"),
        ("longest word", "a" * 201, "[UNK]", "[UNK]"),
        ("deleted", "a\ue000b", "a ##\ue000 ##b", "a ##b"),
        ("deleted", "a\u200bb", "a ##b", "a ##b"),
        ("ideographs", "a\U0002b820b", "a \U0002b820 b", "a ##\U0002b820 ##b"),
        ("capital sigma", "ΣΣ", "σ ##ς", "σ ##σ"),
        # U+1DFB is a mark since Unicode 9.0, U+2E43 punctuation since 9.0.
        ("marks, punctuation", "a\u1dfbb", "a ##b", "a ##\u1dfb ##b"),
        ("marks, punctuation", "a\u2e43b", "a \u2e43 b", "a ##\u2e43 ##b"),
    ],
)
def test_the_flavors_differ(topic: str, text: str, google: str, hf: str):
    assert topic in minibert.tokenizer.__doc__
    assert (GOOGLE.tokenize(text), HF.tokenize(text)) == (google.split(), hf.split())


def test_an_odd_length_goes_to_the_first_text_or_by_length():
    options = {"truncation": True, "max_length": 8, "add_special_tokens": True}
    for first, second, google, hf in (("a a a a", "b b b b b", 3, 2), ("a a a a a", "b b b b", 3, 3)):
        kept = [int((each(first, second, **options)["input_ids"] == TOKENS.index("a")).sum()) for each in (GOOGLE, HF)]
        assert kept == [google, hf]


@pytest.mark.parametrize("tokenizer", [HF, GOOGLE])
@pytest.mark.parametrize("text", ["a\ud800", b"a"])
def test_half_of_a_surrogate_pair_and_bytes_are_errors(tokenizer: Tokenizer, text):
    with pytest.raises(TokenizerError):
        tokenizer(text)


def test_a_token_twice_and_a_byte_order_mark_are_errors(tmp_path: Path):
    with pytest.raises(TokenizerError, match="twice, on lines 1 and 3"):
        Vocabulary(["a", "b", "a"])
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbfa\n")
    with pytest.raises(TokenizerError, match="byte order mark"):
        read_vocabulary(tmp_path / "vocab.txt")


@pytest.mark.parametrize("flavor", ["hf", "google"])
def test_what_is_never_split_is_kept_whole_where_it_stands_by_itself(flavor: str):
    tokenizer = Tokenizer([*TOKENS, "A.b"], TokenizerSettings(flavor=flavor, never_split=("A.b",)))
    assert tokenizer.tokenize("A.b a.b A.b.") == ["A.b", "a", ".", "b", "a", ".", "b", "."]


def test_truncation_and_padding_in_tokenizer_json_are_left_to_the_call(tmp_path: Path):
    HF.save(tmp_path)
    parts = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    parts["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    parts["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts), encoding="utf-8")
    assert Tokenizer.load(tmp_path)("a a a a")["input_ids"].shape == (1, 6)


def test_strides():
    windows = {"truncation": True, "return_overflowing_tokens": True}
    with pytest.raises(TokenizerError, match="stride=2 has to be smaller"):
        HF("a a a", max_length=4, stride=2, **windows)
    # Without special tokens none are counted.
    assert HF("a a a a", max_length=3, stride=2, add_special_tokens=False, **windows)["input_ids"].shape == (2, 3)
    with pytest.raises(TokenizerError, match="a row takes no tokens of this text besides the special ones"):
        HF("a a a", max_length=2, **windows)


def test_an_empty_second_text_is_a_text():
    assert HF("a", "")["input_ids"].tolist() == [[2, 6, 3, 3]]


def test_lengths_that_say_nothing_or_too_little_are_errors():
    with pytest.raises(TokenizerError, match="over the 3 that are padded to"):
        HF("a a a", padding="max_length", max_length=3)
    with pytest.raises(TokenizerError, match="max_length=3 has no effect by itself"):
        HF("a a a", max_length=3)
    with pytest.raises(TokenizerError, match="max_length=1 does not hold the 2 special tokens"):
        HF("", truncation=True, max_length=1)
    for options in ({"return_overflowing_tokens": True}, {"truncation": True, "max_length": 9}):
        with pytest.raises(TokenizerError, match="stride=1 has no effect by itself"):
            HF("a a a", stride=1, **options)
    with pytest.raises(TokenizerError, match="pad_to_multiple_of has no effect without padding"):
        HF("a a a", pad_to_multiple_of=4, padding=False)
    with pytest.raises(TokenizerError, match="no length to cut or pad to is known"):
        HF("a a a", truncation=True)


def test_no_words_are_no_text_but_a_text_without_words_is_one():
    with pytest.raises(TokenizerError, match="an empty batch"):
        HF([], is_split_into_words=True)
    assert HF([[]], is_split_into_words=True)["input_ids"].tolist() == [[2, 3]]


def test_pairs_are_tuples():
    assert HF([("a", "b")])["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]
    with pytest.raises(TokenizerError, match=r"text\[0\] is of the type list"):
        HF([["a", "b"]])


def test_decoding():
    ids = [TOKENS.index("a"), TOKENS.index(".")]
    assert (HF.decode(ids), HF.decode(ids, clean_up_tokenization_spaces=False)) == ("a.", "a .")
    for wrong in ([len(TOKENS)], [ids]):
        with pytest.raises(TokenizerError):
            HF.decode(wrong)
    assert HF.batch_decode([ids, ids]) == ["a.", "a."]


def test_special_tokens_given_anew_are_used():
    tokenizer = Tokenizer(TOKENS)
    tokenizer.add_special_tokens({"cls_token": "<s>", "unk_token": "<u>"})
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("z")) == ["<s>", "<u>", "[SEP]"]


def test_the_longest_word_is_kept_in_saved_files(tmp_path: Path):
    Tokenizer(TOKENS, TokenizerSettings(longest_word=2)).save(tmp_path)
    assert Tokenizer.load(tmp_path).tokenize("ab abm") == ["a", "##b", "[UNK]"]


@pytest.mark.parametrize("missing", ["post_processor", "added_tokens"])
def test_a_tokenizer_json_without_special_tokens_is_read_as_bert_tokenizer_reads_it(tmp_path: Path, missing: str):
    HF.save(tmp_path)
    parts = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    parts[missing] = None if missing == "post_processor" else []
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts), encoding="utf-8")
    assert Tokenizer.load(tmp_path).encode("a [MASK]") == HF.encode("a [MASK]") == [2, 6, 4, 3]


def test_whitespace_before_a_token_is_part_of_it(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join([*TOKENS[:5], " a"]), encoding="utf-8")
    assert Tokenizer.from_folder(tmp_path, flavor="google").tokenize("a") == ["[UNK]"]


def test_the_default_is_padded_arrays():
    assert isinstance(HF(["a", "a a"])["input_ids"], np.ndarray)
