from pathlib import Path

import numpy as np
import pytest

import minibert.checkpoints.registry
from minibert.errors import TokenizerError
from minibert.tokenizer import Tokenizer, TokenizerSettings

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "[", "]", "mask", ".", "漢"]
TOKENIZER = Tokenizer(TOKENS)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("The cats sat.", ["the", "cat", "##s", "sat", "."]),
        ("the dog", ["the", "[UNK]"]),
        ("cat漢sat", ["cat", "漢", "sat"]),
        ("the [MASK] sat", ["the", "[MASK]", "sat"]),
        ("cat[MASK]s", ["cat", "[MASK]", "[UNK]"]),
        ("[mask]", ["[", "mask", "]"]),
        ("[[MASK]]", ["[", "[MASK]", "]"]),
        ("[MA\u200bSK]", ["[", "mask", "]"]),
    ],
)
def test_tokenize(text: str, tokens: list[str]):
    assert TOKENIZER.tokenize(text) == tokens


def test_special_tokens_in_text_can_be_ordinary_text():
    tokenizer = Tokenizer(TOKENS, TokenizerSettings(special_tokens_in_text=False))
    assert tokenizer.tokenize("the [MASK]") == ["the", "[", "mask", "]"]


def test_of_two_special_tokens_the_longer_one_is_found():
    tokenizer = Tokenizer([*TOKENS, "[MASK]]"], TokenizerSettings(cls_token="[MASK]]"))
    assert tokenizer.tokenize("[MASK]] [MASK]") == ["[MASK]]", "[MASK]"]


def test_a_special_token_is_looked_for_literally_and_not_as_an_expression():
    tokenizer = Tokenizer([*TOKENS, "(a+)+$"], TokenizerSettings(mask_token="(a+)+$"))
    assert tokenizer.tokenize("the(a+)+$cat") == ["the", "(a+)+$", "cat"]


def test_a_text_becomes_a_batch_of_one():
    batch = TOKENIZER("the cats")
    assert {name: array.tolist() for name, array in batch.items()} == {
        "input_ids": [[2, 5, 6, 7, 3]],
        "token_type_ids": [[0, 0, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 1]],
    }


def test_arrays_are_int32():
    assert {array.dtype for array in TOKENIZER(["the", "cat"]).values()} == {np.dtype(np.int32)}


def test_rows_are_padded_to_the_longest():
    assert TOKENIZER(["the cats", "sat"])["input_ids"].tolist() == [[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]]


def test_pairs_may_come_as_two_sequences_or_as_tuples():
    two, tuples = TOKENIZER(["the"], ["cats"]), TOKENIZER([("the", "cats")])
    assert all(np.array_equal(two[name], tuples[name]) for name in two)


def test_the_second_text_has_token_type_1():
    batch = TOKENIZER("the", "cats")
    assert batch["input_ids"].tolist() == [[2, 5, 3, 6, 7, 3]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1]]


def test_an_empty_second_text_is_a_pair_all_the_same():
    batch = TOKENIZER("the", "")
    assert batch["input_ids"].tolist() == [[2, 5, 3, 3]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 1]]


def test_without_special_tokens_the_texts_stand_alone():
    batch = TOKENIZER("the", "cats", add_special_tokens=False)
    assert batch["input_ids"].tolist() == [[5, 6, 7]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 1]]


def test_truncation_counts_the_special_tokens():
    assert TOKENIZER("the cats sat", truncation=True, max_length=4)["input_ids"].tolist() == [[2, 5, 6, 3]]


def test_truncation_without_special_tokens_uses_the_whole_length():
    batch = TOKENIZER("the cats sat", truncation=True, max_length=3, add_special_tokens=False)
    assert batch["input_ids"].tolist() == [[5, 6, 7]]


def test_the_model_maximum_is_the_default_length():
    tokenizer = Tokenizer(TOKENS, TokenizerSettings(model_max_length=4))
    assert tokenizer("the cats sat", truncation=True)["input_ids"].shape == (1, 4)
    assert tokenizer("the", padding="max_length")["input_ids"].shape == (1, 4)
    assert tokenizer("the cats sat")["input_ids"].shape == (1, 6)


def test_padding_to_a_multiple():
    assert TOKENIZER(["the cats sat"], pad_to_multiple_of=4)["input_ids"].shape == (1, 8)


def test_equal_rows_need_no_padding():
    assert TOKENIZER(["the", "cat"], padding=False)["input_ids"].shape == (2, 3)


@pytest.mark.parametrize("texts", [None, b"the", 3, ["the", None], [], "\ud800"])
def test_what_is_no_text_is_our_error(texts):
    with pytest.raises(TokenizerError):
        TOKENIZER(texts)


@pytest.mark.parametrize("text", [None, b"the", ["the"], "a\udfff"])
def test_tokenize_takes_one_text(text):
    with pytest.raises(TokenizerError, match="the text"):
        TOKENIZER.tokenize(text)


def test_an_error_of_one_text_names_its_place():
    with pytest.raises(TokenizerError, match=r"texts\[1\]: .*may cut only a text of 1"):
        TOKENIZER(["the cats", "the"], ["the", "the cats sat"], truncation="only_first", max_length=6)


@pytest.mark.parametrize("name", ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token"])
def test_a_vocabulary_without_a_special_token_is_an_error_that_names_it(name: str):
    token = getattr(TokenizerSettings(), name)
    with pytest.raises(TokenizerError, match=f"lacks {name} '\\{token[:-1]}\\]'"):
        Tokenizer([other for other in TOKENS if other != token])


def test_tokens_and_ids_convert_into_each_other():
    assert TOKENIZER.convert_tokens_to_ids("cat") == 6
    assert TOKENIZER.convert_tokens_to_ids(["cat", "##s"]) == [6, 7]
    assert TOKENIZER.convert_ids_to_tokens(6) == "cat"
    assert TOKENIZER.convert_ids_to_tokens([6, 7]) == ["cat", "##s"]
    assert TOKENIZER.convert_ids_to_tokens(np.array([6, 7], np.int32)) == ["cat", "##s"]
    assert TOKENIZER.convert_ids_to_tokens(np.int32(6)) == "cat"


def test_a_string_that_is_no_token_has_the_unknown_id():
    assert TOKENIZER.convert_tokens_to_ids(["dog", "cat"]) == [1, 6]


@pytest.mark.parametrize("token", [None, 6, ["the", None], b"the"])
def test_what_is_no_string_has_no_id(token):
    with pytest.raises(TokenizerError, match="expected a string"):
        TOKENIZER.convert_tokens_to_ids(token)


@pytest.mark.parametrize("token_id", [-1, len(TOKENS), [0, 10**12], np.array([-1])])
def test_an_id_outside_the_vocabulary_is_an_error(token_id):
    with pytest.raises(TokenizerError, match="outside the vocabulary; expected 0 to 13"):
        TOKENIZER.convert_ids_to_tokens(token_id)


@pytest.mark.parametrize("token_id", [None, "6", 6.0, True, [[6]], np.array([[6]]), np.array([6.0])])
def test_what_is_no_whole_number_is_no_id(token_id):
    with pytest.raises(TokenizerError, match="is no id"):
        TOKENIZER.convert_ids_to_tokens(token_id)


def test_decoding_joins_the_pieces_of_a_word():
    assert TOKENIZER.decode([2, 5, 6, 7, 12, 3]) == "[CLS] the cats . [SEP]"


def test_decoding_can_leave_special_tokens_out():
    assert TOKENIZER.decode(TOKENIZER("the cats", padding=True)["input_ids"][0], skip_special_tokens=True) == "the cats"


def test_special_ids_are_those_of_the_vocabulary():
    ids = (TOKENIZER.pad_token_id, TOKENIZER.unk_token_id, TOKENIZER.cls_token_id, TOKENIZER.sep_token_id)
    assert (*ids, TOKENIZER.mask_token_id, TOKENIZER.vocab_size) == (0, 1, 2, 3, 4, 14)


def test_load_resolves_the_name_and_passes_the_overrides_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS), encoding="utf-8")
    monkeypatch.setattr(minibert.checkpoints.registry, "resolve", lambda name: {"small": tmp_path}[name])
    assert Tokenizer.load("small", do_lower_case=False).tokenize("The the") == ["[UNK]", "the"]


def test_load_takes_a_file_of_weights_for_its_folder(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert Tokenizer.load(tmp_path / "model.safetensors").vocab_size == len(TOKENS)


def test_the_official_folder_gives_its_own_settings(minilm_folder: Path):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    assert (tokenizer.vocab_size, tokenizer.model_max_length, tokenizer.mask_token_id) == (30_522, 512, 103)


def test_every_plain_whole_word_of_the_vocabulary_is_its_own_token(minilm_folder: Path):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    words = {token: token_id for token, token_id in tokenizer.vocabulary.ids.items() if token.isalnum()}
    assert len(words) > 23_000
    assert np.array_equal(tokenizer(list(words))["input_ids"], [[101, token_id, 102] for token_id in words.values()])


def test_every_token_comes_back_from_its_id(minilm_folder: Path):
    tokenizer = Tokenizer.from_folder(minilm_folder)
    tokens = tokenizer.convert_ids_to_tokens(np.arange(30_522))
    assert tokenizer.convert_tokens_to_ids(tokens) == list(range(30_522))
