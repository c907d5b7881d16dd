import dataclasses
import json
from pathlib import Path

import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer import Tokenizer, TokenizerSettings

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "é", "##\u2028", "e.g.", "<e>"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False, "tokenize_chinese_chars": False, "model_max_length": 17},
        {"strip_accents": False, "longest_word": 3, "special_tokens_in_text": False},
        {"padding_side": "left", "truncation_side": "left", "never_split": ("e.g.",)},
        {"additional_special_tokens": ("<e>",), "mask_token": "a"},
    ],
    ids=str,
)
def test_what_is_saved_is_read_back(tmp_path: Path, settings: dict):
    saved = Tokenizer(TOKENS, TokenizerSettings(**settings))
    saved.save(tmp_path / "new" / "folder")
    read = Tokenizer.load(tmp_path / "new" / "folder")
    assert read.vocabulary.tokens == saved.vocabulary.tokens
    resolved = {"longest_word": saved.settings.word_limit, "special_tokens_in_text": saved.settings.finds_special_tokens}
    assert read.settings == dataclasses.replace(saved.settings, **resolved)


def test_the_google_flavor_is_read_back(tmp_path: Path):
    tokens = [token for token in TOKENS if not token.endswith("\u2028")]
    saved = Tokenizer(tokens, TokenizerSettings(flavor="google"))
    saved.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer_config.json", "vocab.txt"]
    read = Tokenizer.load(tmp_path)
    assert (read.settings.flavor, read.settings.word_limit, read.settings.finds_special_tokens) == ("google", 200, False)


def test_older_files_in_the_folder_are_brought_into_line(tmp_path: Path):
    (tmp_path / "special_tokens_map.json").write_text('{"additional_special_tokens": ["a"]}', encoding="utf-8")
    (tmp_path / "added_tokens.json").write_text('{"old": 10}', encoding="utf-8")
    saved = Tokenizer(TOKENS, TokenizerSettings(additional_special_tokens=("<e>",)))
    saved.save(tmp_path)
    read = Tokenizer.load(tmp_path)
    assert (read.encode("éa <e>"), read.vocab_size) == (saved.encode("éa <e>"), saved.vocab_size)
    assert read.settings.additional_special_tokens == ("<e>",)


def test_no_maximum_is_written_as_transformers_writes_it(tmp_path: Path):
    Tokenizer(TOKENS).save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["model_max_length"] == int(1e30)


def test_saving_over_a_saved_folder_replaces_it(tmp_path: Path):
    tokenizer = Tokenizer(TOKENS)
    tokenizer.save(tmp_path)
    tokenizer.add_special_tokens(["<new>"])
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).convert_tokens_to_ids("<new>") == len(TOKENS)


@pytest.mark.parametrize("token", ["two\nlines", "[MASK]\u2003", " "])
def test_a_token_that_no_line_can_hold_is_an_error_and_nothing_is_written(tmp_path: Path, token: str):
    tokens = [*TOKENS, token, ""] if token == " " else [*TOKENS, token]
    if token == " ":
        tokens.append("\u2003")
    with pytest.raises(TokenizerError, match="cannot be saved"):
        Tokenizer(tokens, TokenizerSettings(flavor="google")).save(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("here", encoding="utf-8")
    with pytest.raises(TokenizerError, match="cannot be made"):
        Tokenizer(TOKENS).save(tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "here"


def test_the_google_flavor_is_not_saved_beside_a_file_of_the_other(tmp_path: Path):
    Tokenizer(TOKENS).save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TokenizerError, match=r"has a tokenizer\.json"):
        Tokenizer(TOKENS[:7], TokenizerSettings(flavor="google")).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_files_are_json_that_says_which_tokenizer_it_is(tmp_path: Path):
    Tokenizer(TOKENS).save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "BertTokenizer"
    assert config["added_tokens_decoder"]["4"]["content"] == "[MASK]"
