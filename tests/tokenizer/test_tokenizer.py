import copy
import pickle
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
    with pytest.raises(TokenizerError, match=r"text\[1\]: .*may cut only a text of 1"):
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


def test_decoding_can_leave_special_tokens_out():
    ids = TOKENIZER(["the cats", "the cats sat"])["input_ids"][0]
    assert TOKENIZER.decode(ids) == "[CLS] the cats [SEP] [PAD]"
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "the cats"
    assert TOKENIZER.batch_decode([ids, [5]], skip_special_tokens=True) == ["the cats", "the"]


def test_decoding_from_the_text_keeps_case_accents_and_spaces():
    text = "The  CATS\nsat."
    offsets = TOKENIZER(text, return_offsets_mapping=True)["offset_mapping"][0]
    assert TOKENIZER.decode_from_text(text, offsets) == text
    assert TOKENIZER.decode_from_text(text, offsets[1:4]) == "The  CATS"
    assert TOKENIZER.decode_from_text(text, offsets[:1]) == ""


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


def test_encode_gives_the_ids_of_one_row():
    assert TOKENIZER.encode("the cats") == [2, 5, 6, 7, 3]
    assert TOKENIZER.encode("the", "sat") == [2, 5, 3, 8, 3]
    assert TOKENIZER.encode("the cats sat", truncation=True, max_length=4) == [2, 5, 6, 3]
    assert TOKENIZER.encode("the cats", add_special_tokens=False) == [5, 6, 7]


def test_one_text_is_the_batch_of_one():
    one, many = TOKENIZER("the cats sat"), TOKENIZER(["the cats sat"])
    assert list(one) == list(many)
    for name, array in one.items():
        assert np.array_equal(array, many[name])
        assert array.dtype == many[name].dtype
    assert not np.shares_memory(one["token_type_ids"], one["attention_mask"])


def test_offsets_words_and_special_tokens_mask():
    batch = TOKENIZER("the cats[MASK]", "sat", return_offsets_mapping=True, return_word_ids=True, return_special_tokens_mask=True)
    assert batch["offset_mapping"].tolist() == [[[0, 0], [0, 3], [4, 7], [7, 8], [8, 14], [0, 0], [0, 3], [0, 0]]]
    assert batch["word_ids"].tolist() == [[-1, 0, 1, 1, 2, -1, 0, -1]]
    assert batch["special_tokens_mask"].tolist() == [[1, 0, 0, 0, 0, 1, 0, 1]]


def test_a_long_text_becomes_windows_that_overlap():
    batch = TOKENIZER(
        ["the cat", "the cats sat the"],
        truncation=True,
        max_length=5,
        stride=1,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert batch["overflow_to_sample_mapping"].tolist() == [0, 1, 1]
    assert batch["input_ids"].tolist() == [[2, 5, 6, 3, 0], [2, 5, 6, 7, 3], [2, 7, 8, 5, 3]]
    assert batch["offset_mapping"][2].tolist() == [[0, 0], [7, 8], [9, 12], [13, 16], [0, 0]]


def test_rows_say_their_text_also_where_nothing_is_cut():
    batch = Tokenizer(TOKENS)(["the cats", "the"], return_overflowing_tokens=True)
    assert batch["overflow_to_sample_mapping"].tolist() == [0, 1]


def test_a_stride_over_the_window_is_an_error_whether_or_not_a_text_is_cut():
    options = {"truncation": True, "max_length": 5, "return_overflowing_tokens": True}
    for text in ("the cats sat", "the"):
        with pytest.raises(TokenizerError, match="stride=4 has to be smaller than the 3 tokens that a row takes from texts"):
            TOKENIZER(text, stride=4, **options)
    with pytest.raises(
        TokenizerError, match=r"text\[0\]: stride=3 has to be smaller than the 3 tokens that a row takes of a text"
    ):
        TOKENIZER("the cats sat", stride=3, **options)


def test_a_stride_as_long_as_the_share_of_one_text_of_a_pair_is_an_error_that_names_the_text():
    options = {"truncation": "only_second", "max_length": 7, "stride": 2, "return_overflowing_tokens": True}
    with pytest.raises(
        TokenizerError, match=r"text\[1\]: stride=2 has to be smaller than the 2 tokens that a row takes of a text"
    ):
        TOKENIZER(["the", "the cat"], ["sat", "the cats sat"], **options)


def test_words_keep_the_callers_numbers_and_their_own_offsets():
    batch = TOKENIZER(
        ["The", "", "cats.", "\u0301", "sat"], is_split_into_words=True, return_offsets_mapping=True, return_word_ids=True
    )
    assert batch["input_ids"].tolist() == [[2, 5, 6, 7, 12, 8, 3]]
    assert batch["word_ids"].tolist() == [[-1, 0, 2, 2, 2, 4, -1]]
    assert batch["offset_mapping"].tolist() == [[[0, 0], [0, 3], [0, 3], [3, 4], [4, 5], [0, 3], [0, 0]]]
    assert TOKENIZER([["The"], ["cats", "sat"]], is_split_into_words=True)["input_ids"].tolist() == [
        [2, 5, 3, 0, 0],
        [2, 6, 7, 8, 3],
    ]


def test_a_text_without_words_is_a_row_of_special_tokens():
    batch = TOKENIZER([[]], is_split_into_words=True, return_offsets_mapping=True, return_word_ids=True)
    assert batch["input_ids"].tolist() == [[2, 3]]


def test_sides_can_be_set_and_overridden():
    tokenizer = Tokenizer(TOKENS, TokenizerSettings(padding_side="left", truncation_side="left", model_max_length=4))
    assert tokenizer(["the cats sat", "the"], truncation=True)["input_ids"].tolist() == [[2, 7, 8, 3], [0, 2, 5, 3]]
    batch = tokenizer(["the cats sat", "the"], truncation=True, padding_side="right", truncation_side="right")
    assert batch["input_ids"].tolist() == [[2, 5, 6, 3], [2, 5, 3, 0]]


def test_lists_may_be_unequal():
    batch = TOKENIZER(["the cats", "sat"], padding=False, return_tensors=None)
    assert batch["input_ids"] == [[2, 5, 6, 7, 3], [2, 8, 3]]
    with pytest.raises(TokenizerError, match="rows have from 3 to 5 tokens"):
        TOKENIZER(["the cats", "sat"], padding=False)


def test_a_length_below_the_special_tokens_is_an_error():
    with pytest.raises(TokenizerError, match="max_length=2 does not hold the 3 special tokens"):
        TOKENIZER("the", "cat", truncation=True, max_length=2)


def test_nothing_behind_the_cut_is_looked_at():
    tokenizer = Tokenizer(TOKENS)
    text, options = "the cats " * 20 + "sat " * 10_000, {"truncation": True, "max_length": 8}
    batch = tokenizer(text, **options)
    assert batch["input_ids"].tolist() == [[2, 5, 6, 7, 5, 6, 7, 3]]
    assert tokenizer(text, **options, return_tensors=None)["input_ids"] == batch["input_ids"].tolist()
    assert set(tokenizer._remembered._ids) == {"the", "cats"}


@pytest.mark.parametrize("text", ["cat" * 400, "\0" * 500 + " the", "the " + "\u200b" * 500 + " sat", " " * 500 + "sat", ""])
def test_texts_are_cut_where_the_tokens_are_wherever_they_stand(text: str):
    expected = TOKENIZER.encode(text, add_special_tokens=False)[:6]
    assert TOKENIZER(text, truncation=True, max_length=8)["input_ids"][0].tolist() == [2, *expected, 3]


def test_special_tokens_can_be_added():
    tokenizer = Tokenizer(TOKENS)
    assert tokenizer.add_special_tokens(["<e>", "cat"]) == 1
    assert tokenizer.encode("the<e>CAT cat<E>", add_special_tokens=False) == [5, 14, 6, 6, 1, 1, 1]
    assert tokenizer.decode([5, 14, 6], skip_special_tokens=True) == "the"
    assert tokenizer.add_special_tokens({"mask_token": "<m>", "additional_special_tokens": ["<e>"]}) == 1
    assert (tokenizer.mask_token_id, tokenizer.vocab_size) == (15, 16)


def test_a_special_token_that_another_takes_the_place_of_is_still_found():
    tokenizer = Tokenizer(TOKENS)
    tokenizer.add_special_tokens({"mask_token": "<m>", "unk_token": "<u>"})
    assert tokenizer.tokenize("[MASK]<m>zzz") == ["[MASK]", "<m>", "<u>"]


def test_both_names_for_further_special_tokens_count():
    tokenizer = Tokenizer(TOKENS)
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<x>"], "extra_special_tokens": ["<y>"]}) == 2
    assert tokenizer.tokenize("<x><y>") == ["<x>", "<y>"]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("<e>", "expected a list of tokens"),
        ([""], r"additional_special_tokens\[0\] is ''"),
        ([None], r"additional_special_tokens\[0\] is None"),
        ({"do_lower_case": True}, "'do_lower_case' names no special token"),
        ({"eos_token": "</s>"}, "'eos_token' is no tokenizer setting"),
    ],
)
def test_what_is_no_special_token_is_an_error_and_changes_nothing(tokens, message: str):
    tokenizer = Tokenizer(TOKENS)
    with pytest.raises(TokenizerError, match=message):
        tokenizer.add_special_tokens(tokens)
    assert tokenizer.vocab_size == len(TOKENS)


def test_an_additional_special_token_needs_an_id():
    with pytest.raises(TokenizerError, match=r"lacks the additional special token '<e>'; add_special_tokens gives it an id"):
        Tokenizer(TOKENS, TokenizerSettings(additional_special_tokens=("<e>",)))


def test_a_token_that_is_never_split_has_to_stand_alone():
    settings = TokenizerSettings(never_split=("The.", "cat漢"))
    tokenizer = Tokenizer([*TOKENS, "The."], settings)
    assert tokenizer.tokenize("The. sat") == ["The.", "sat"]
    assert tokenizer.tokenize("The\u200b. the.") == ["The.", "the", "."]
    assert tokenizer.tokenize("The.. aThe.") == ["the", ".", ".", "[UNK]", "."]
    # Between ideographs are spaces, on which the text is split before.
    assert tokenizer.tokenize("漢The.漢") == ["漢", "The.", "漢"]
    assert tokenizer.tokenize("cat漢") == ["cat", "漢"]
    unspaced = Tokenizer([*TOKENS, "The."], TokenizerSettings(never_split=("cat漢",), tokenize_chinese_chars=False))
    assert unspaced.tokenize("cat漢 sat") == ["[UNK]", "sat"]


def test_ten_megabytes_on_one_line_are_a_text_like_any_other():
    text = "The cats sat. " * 750_000
    batch = TOKENIZER(text, return_offsets_mapping=True, return_word_ids=True)
    assert batch["input_ids"].shape == (1, 5 * 750_000 + 2)
    assert TOKENIZER.encode(text) == batch["input_ids"][0].tolist()
    assert batch["offset_mapping"][0, -2].tolist() == [len(text) - 2, len(text) - 1]
    assert batch["word_ids"][0, -2] == 4 * 750_000 - 1


@pytest.mark.parametrize(
    ("character", "tokens"),
    [("c", ["[UNK]"]), ("漢", ["漢"] * 300_000), (".", ["."] * 300_000), ("\0", []), ("\u0301", [])],
)
def test_very_long_texts_without_a_space_take_time_in_proportion(character: str, tokens: list[str]):
    text = character * 300_000
    assert TOKENIZER.tokenize(text) == tokens
    offsets = TOKENIZER(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"][0]
    assert len(offsets) == len(tokens)
    assert not tokens or offsets[-1].tolist() == ([0, len(text)] if tokens == ["[UNK]"] else [len(text) - 1, len(text)])


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))], ids=["copy", "pickle"]
)
def test_a_tokenizer_can_be_copied_into_another_process(copied):
    tokenizer = Tokenizer(TOKENS, TokenizerSettings(model_max_length=7))
    tokenizer.add_special_tokens(["[E1]"])
    found = copied(tokenizer)
    assert (found.vocabulary.tokens, found.settings) == (tokenizer.vocabulary.tokens, tokenizer.settings)
    assert found.encode("the [E1] cats") == tokenizer.encode("the [E1] cats")
