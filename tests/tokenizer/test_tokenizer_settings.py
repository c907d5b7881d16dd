import dataclasses
import json
from pathlib import Path

import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer.settings import (
    TokenizerSettings,
    WholeToken,
    checked_settings,
    read_special_tokens_map,
    read_tokenizer_config,
)


def read(folder: Path, config: dict) -> tuple[dict, list[WholeToken]]:
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return read_tokenizer_config(folder / "tokenizer_config.json")


def test_accents_are_stripped_where_text_is_lower_cased_unless_the_setting_says_otherwise():
    assert TokenizerSettings(do_lower_case=True).removes_accents
    assert not TokenizerSettings(do_lower_case=False).removes_accents
    assert not TokenizerSettings(do_lower_case=True, strip_accents=False).removes_accents
    assert TokenizerSettings(do_lower_case=False, strip_accents=True).removes_accents


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"never_split": ("a b",)}, r"never_split has 'a b'; expected tokens without whitespace"),
        ({"never_split": ("",)}, r"never_split\[0\] is ''"),
        ({"mask_token": ""}, "mask_token is ''"),
        ({"flavor": "jax"}, "flavor is 'jax'; expected 'hf' or 'google'"),
        ({"padding_side": "up"}, "padding_side is 'up'"),
        ({"additional_special_tokens": "ab"}, "additional_special_tokens is 'ab'; expected a list"),
        ({"do_lower_case": "yes"}, "do_lower_case is 'yes'"),
        ({"longest_word": 10**21}, "longest_word is 1000000000000000000000; expected at most 2,147,483,647"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_settings_are_checked_wherever_they_are_made(given: dict, message: str):
    with pytest.raises(TokenizerError, match=f"the tokenizer's settings: {message}"):
        TokenizerSettings(**given)


def test_every_setting_can_be_given_by_keyword():
    defaults = dataclasses.asdict(TokenizerSettings())
    assert checked_settings(defaults, "here") == defaults


def test_the_published_fields_are_read(tmp_path: Path):
    config = {
        "do_lower_case": False,
        "strip_accents": None,
        "tokenize_chinese_chars": False,
        "model_max_length": 128,
        "mask_token": {"content": "<mask>", "lstrip": False, "normalized": False},
        "cls_token": None,
        "tokenizer_class": "BertTokenizer",
        "name_or_path": "anything",
    }
    assert read(tmp_path, config)[0] == {
        "do_lower_case": False,
        "strip_accents": None,
        "tokenize_chinese_chars": False,
        "model_max_length": 128,
        "mask_token": "<mask>",
    }


@pytest.mark.parametrize("name", ["TokenizersBackend", "PreTrainedTokenizerFast"])
def test_a_class_for_any_tokenizer_needs_the_file_that_says_which(tmp_path: Path, name: str):
    with pytest.raises(TokenizerError, match=f"tokenizer_class is '{name}'"):
        read(tmp_path, {"tokenizer_class": name})
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert read(tmp_path, {"tokenizer_class": name})[0] == {}


def test_what_is_never_split_and_the_sides_are_read(tmp_path: Path):
    config = {"never_split": ["e.g."], "padding_side": "left", "truncation_side": "right"}
    assert read(tmp_path, config)[0] == config | {"never_split": ("e.g.",)}


@pytest.mark.parametrize("huge", [int(1e30), 1e30, None])
def test_a_huge_maximum_means_none(tmp_path: Path, huge):
    assert read(tmp_path, {"model_max_length": huge})[0] == {"model_max_length": None}


def test_split_special_tokens_leaves_them_ordinary_text(tmp_path: Path):
    assert read(tmp_path, {"split_special_tokens": True})[0] == {"special_tokens_in_text": False}


def test_tokens_to_be_kept_whole_are_collected_with_their_ids_and_places(tmp_path: Path):
    config = {
        "additional_special_tokens": ["<a>"],
        "extra_special_tokens": {"b": "<b>"},
        "added_tokens_decoder": {"7": {"content": "<c>", "special": True}},
    }
    tokens = read(tmp_path, config)[1]
    assert {(token.content, token.token_id) for token in tokens} == {
        ("<a>", None),
        ("<b>", None),
        ("<c>", 7),
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"do_lower_case": "yes"}, "do_lower_case is 'yes'; expected true or false"),
        ({"do_lower_case": None}, "do_lower_case is None"),
        ({"strip_accents": 1}, "strip_accents is 1"),
        ({"tokenize_chinese_chars": 0}, "tokenize_chinese_chars is 0"),
        ({"model_max_length": 0}, "model_max_length is 0"),
        ({"model_max_length": 1.5}, "model_max_length is 1.5"),
        ({"model_max_length": True}, "model_max_length is True"),
        ({"pad_token": 0}, "pad_token is 0"),
        ({"pad_token": ""}, "pad_token is ''"),
        ({"pad_token": {"lstrip": False}}, "pad_token is None"),
        ({"mask_token": {"content": "[MASK]", "lstrip": True}}, r"'\[MASK\]' has lstrip = True"),
        ({"mask_token": {"content": "[MASK]", "normalized": True}}, "normalized = True"),
        ({"tokenizer_class": "RobertaTokenizer"}, "tokenizer_class is 'RobertaTokenizer'"),
        ({"tokenizer_class": 3}, "tokenizer_class is 3"),
        ({"padding_side": "top"}, "padding_side is 'top'; expected 'right' or 'left'"),
        ({"truncation_side": None}, "truncation_side is None"),
        ({"flavor": "bing"}, "flavor is 'bing'; expected 'hf' or 'google'"),
        ({"never_split": ["a b"]}, "never_split has 'a b'; expected tokens without whitespace"),
        ({"never_split": [3]}, r"never_split\[0\] is 3"),
        ({"pad_token_type_id": 1}, "pad_token_type_id is 1"),
        ({"clean_text": False}, "clean_text is False"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize is False"),
        ({"wordpieces_prefix": "@@"}, "wordpieces_prefix is '@@'"),
        ({"split_special_tokens": "no"}, "split_special_tokens is 'no'"),
        ({"never_split": "x"}, "never_split is 'x'; expected a list"),
        ({"added_tokens_decoder": ["x"]}, "added_tokens_decoder is"),
        ({"added_tokens_decoder": {"x": "y"}}, r"added_tokens_decoder\['x'\] is under no id"),
        ({"added_tokens_decoder": {"1": 2}}, r"added_tokens_decoder\['1'\] is 2"),
    ],
)
def test_what_is_not_implemented_or_not_valid_is_an_error_that_names_the_field(tmp_path, config, message: str):
    with pytest.raises(TokenizerError, match=message):
        read(tmp_path, config)


def test_a_key_given_twice_is_an_error(tmp_path: Path):
    path = tmp_path / "tokenizer_config.json"
    path.write_text('{"do_lower_case": true, "do_lower_case": false}', encoding="utf-8")
    with pytest.raises(TokenizerError, match="given twice"):
        read_tokenizer_config(path)


def test_a_setting_that_does_not_exist_is_an_error_that_lists_those_that_do():
    with pytest.raises(TokenizerError, match="keywords: 'lowercase' is no tokenizer setting; expected one of do_lower_case"):
        checked_settings({"lowercase": True}, "keywords")


def test_special_tokens_map_gives_the_special_tokens(tmp_path: Path):
    path = tmp_path / "special_tokens_map.json"
    path.write_text('{"mask_token": "<m>", "cls_token": {"content": "<c>"}}', encoding="utf-8")
    assert read_special_tokens_map(path) == ({"mask_token": "<m>", "cls_token": "<c>"}, [])
