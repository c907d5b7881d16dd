import json
from pathlib import Path

import pytest

from minibert import Tokenizer
from minibert.errors import TokenizerError
from minibert.tokenizer.folder import read_folder
from minibert.tokenizer.settings import TokenizerSettings

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
TOKENIZER_JSON = {
    "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "model": {
        "type": "WordPiece",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 50,
        "vocab": {token: token_id for token_id, token in enumerate(TOKENS)},
    },
}


def write(folder: Path, *, vocab: bool = True, **files: dict) -> Path:
    if vocab:
        (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def settings(folder: Path, **overrides: object) -> TokenizerSettings:
    return read_folder(folder, overrides)[1]


def test_vocab_txt_alone_gives_the_settings_of_the_uncased_original(tmp_path: Path):
    assert settings(write(tmp_path)) == TokenizerSettings()


CASED = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "the", "The", "##s", "É"]


@pytest.mark.parametrize("config", [None, {"model_max_length": 128}])
def test_a_vocabulary_with_capitals_keeps_case_where_no_file_says_it(tmp_path: Path, config: dict | None):
    folder = write(tmp_path, **({} if config is None else {"tokenizer_config": config}))
    (folder / "vocab.txt").write_text("\n".join(CASED), encoding="utf-8")
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer.tokenize("The É the") == ["The", "É", "the"]
    assert tokenizer.settings.removes_accents is False


@pytest.mark.parametrize("said", [True, False])
def test_what_a_file_or_the_caller_says_on_case_counts_before_the_vocabulary(tmp_path: Path, said: bool):
    (tmp_path / "vocab.txt").write_text("\n".join(CASED), encoding="utf-8")
    assert settings(tmp_path, do_lower_case=said).do_lower_case is said
    assert settings(write(tmp_path, vocab=False, tokenizer_config={"do_lower_case": said})).do_lower_case is said


@pytest.mark.parametrize("capitals", [["[Name]", "[MASK]"], ["Name"]])
def test_a_few_tokens_with_capitals_make_no_cased_vocabulary(tmp_path: Path, capitals: list[str]):
    tokens = dict.fromkeys([*TOKENS, *(f"a{number}" for number in range(100)), *capitals])
    (tmp_path / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    assert settings(tmp_path).do_lower_case is True


def test_special_tokens_of_other_names_make_no_cased_vocabulary(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join([*TOKENS, "<X>"]), encoding="utf-8")
    assert settings(write(tmp_path, vocab=False, special_tokens_map={"mask_token": "<X>"})).do_lower_case is True


def test_tokenizer_json_alone_gives_the_vocabulary_and_its_settings(tmp_path: Path):
    vocabulary, found = read_folder(write(tmp_path, vocab=False, tokenizer=TOKENIZER_JSON), {})
    assert vocabulary.tokens == tuple(TOKENS)
    assert found == TokenizerSettings(do_lower_case=False, strip_accents=True, longest_word=50)


def test_tokenizer_config_counts_before_tokenizer_json(tmp_path: Path):
    folder = write(tmp_path, tokenizer=TOKENIZER_JSON, tokenizer_config={"do_lower_case": True})
    assert (settings(folder).do_lower_case, settings(folder).strip_accents) == (True, True)


def test_overrides_count_before_all_files(tmp_path: Path):
    folder = write(tmp_path, tokenizer_config={"do_lower_case": True, "model_max_length": 512})
    found = settings(folder, do_lower_case=False, model_max_length=64)
    assert (found.do_lower_case, found.model_max_length) == (False, 64)


@pytest.mark.parametrize(
    ("stated", "positions", "maximum"),
    [(512, 128, 128), (128, 512, 128), (int(1e30), 512, 512), (int(1e30), None, None)],
)
def test_the_model_maximum_is_the_smaller_of_the_two_that_are_stated(tmp_path: Path, stated, positions, maximum):
    folder = write(tmp_path, tokenizer_config={"model_max_length": stated}, config={"max_position_embeddings": positions})
    assert settings(folder).model_max_length == maximum


def test_a_vocabulary_larger_than_the_models_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match="vocab_size is 6, but the vocabulary has 7 tokens"):
        settings(write(tmp_path, config={"vocab_size": 6}))


@pytest.mark.parametrize("size", [7, 8, 64, 128])
def test_a_models_vocabulary_may_be_padded(tmp_path: Path, size: int):
    assert settings(write(tmp_path, config={"vocab_size": size})) == TokenizerSettings()


@pytest.mark.parametrize("size", [9, 16, 72, 192, 30522])
def test_a_vocabulary_that_lacks_lines_is_an_error_that_names_both_counts(tmp_path: Path, size: int):
    with pytest.raises(TokenizerError, match=rf"config\.json: vocab_size is {size:,}, but the vocabulary has 7 tokens; expected"):
        settings(write(tmp_path, config={"vocab_size": size}))


def test_added_tokens_count_as_rows_of_the_table(tmp_path: Path):
    assert len(read_folder(write(tmp_path, added_tokens={"<c>": 7, "<d>": 8}, config={"vocab_size": 9}), {})[0]) == 9


def test_the_originals_configuration_counts_where_there_is_no_other(tmp_path: Path):
    folder = write(tmp_path, bert_config={"vocab_size": 7, "max_position_embeddings": 64})
    assert settings(folder).model_max_length == 64
    with pytest.raises(TokenizerError, match=r"bert_config\.json: vocab_size is 9"):
        settings(write(tmp_path, bert_config={"vocab_size": 9}))
    assert settings(write(tmp_path, config={"vocab_size": 8})).model_max_length is None


@pytest.mark.parametrize("name", ["vocab_size", "max_position_embeddings"])
@pytest.mark.parametrize("value", [0, -1, "7", 7.0, True])
def test_sizes_in_config_json_are_whole_numbers(tmp_path: Path, name: str, value):
    with pytest.raises(TokenizerError, match=name):
        settings(write(tmp_path, config={name: value}))


def test_a_folder_without_a_vocabulary_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match=r"neither vocab\.txt nor tokenizer\.json"):
        settings(tmp_path)


def test_a_path_that_is_no_folder_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match="is no folder"):
        settings(tmp_path / "absent")


def test_vocabularies_that_differ_are_an_error_that_names_the_id(tmp_path: Path):
    folder = write(tmp_path, tokenizer=TOKENIZER_JSON)
    (folder / "vocab.txt").write_text("\n".join([*TOKENS[:-1], "c"]), encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"the id 6 is 'c' in vocab\.txt and 'b' in tokenizer\.json"):
        settings(folder)


def test_vocabularies_of_different_sizes_are_an_error(tmp_path: Path):
    folder = write(tmp_path, tokenizer=TOKENIZER_JSON)
    (folder / "vocab.txt").write_text("\n".join([*TOKENS, "c"]), encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"vocab\.txt has 8 tokens and tokenizer\.json 7"):
        settings(folder)


def test_special_tokens_may_stand_in_special_tokens_map(tmp_path: Path):
    assert settings(write(tmp_path, special_tokens_map={"mask_token": "a"})).mask_token == "a"


@pytest.mark.parametrize(
    "config",
    [
        {"additional_special_tokens": ["b"]},
        {"added_tokens_decoder": {"6": {"content": "b"}}},
        {"extra_special_tokens": {"x": "b"}},
    ],
)
def test_a_special_token_besides_the_five_is_found_in_texts(tmp_path: Path, config: dict):
    assert settings(write(tmp_path, tokenizer_config=config)) == TokenizerSettings(additional_special_tokens=("b",))


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config": {"added_tokens_decoder": {"8": {"content": "<d>"}, "7": {"content": "<c>"}}}},
        {"added_tokens": {"<d>": 8, "<c>": 7}, "special_tokens_map": {"additional_special_tokens": ["<c>", "<d>"]}},
    ],
)
def test_tokens_can_be_added_behind_the_vocabulary(tmp_path: Path, files: dict):
    vocabulary, found = read_folder(write(tmp_path, **files), {})
    assert vocabulary.tokens == (*TOKENS, "<c>", "<d>")
    assert set(found.additional_special_tokens) == {"<c>", "<d>"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"additional_special_tokens": ["<c>"]}, "'<c>', which is not in the vocabulary, and no file gives its id"),
        ({"added_tokens_decoder": {"9": {"content": "<c>"}}}, "vocabulary of 7 under the ids 9; expected the ids that follow"),
        ({"added_tokens_decoder": {"6": {"content": "<c>"}}}, "under the ids 6"),
        ({"added_tokens_decoder": {"7": {"content": "<c>", "special": False}}}, "has special = False"),
    ],
)
def test_an_added_token_needs_the_next_id(tmp_path: Path, config: dict, message: str):
    with pytest.raises(TokenizerError, match=message):
        settings(write(tmp_path, tokenizer_config=config))


@pytest.mark.parametrize("content", [{"<c>": "7"}, {"<c>": -1}, {"": 7}, {"<c>": True}])
def test_added_tokens_are_names_with_ids(tmp_path: Path, content: dict):
    with pytest.raises(TokenizerError, match=r"added_tokens\.json gives"):
        settings(write(tmp_path, added_tokens=content))


def test_the_google_flavor_has_its_own_limits_whatever_files_for_the_other_say(tmp_path: Path):
    folder = write(tmp_path, tokenizer=TOKENIZER_JSON, tokenizer_config={"split_special_tokens": False})
    found = settings(folder, flavor="google")
    assert (found.word_limit, found.finds_special_tokens) == (200, False)
    assert settings(folder, flavor="google", longest_word=7).word_limit == 7
    assert (settings(folder).word_limit, settings(folder).finds_special_tokens) == (50, True)


def test_the_five_special_tokens_may_be_listed_anywhere(tmp_path: Path):
    config = {"additional_special_tokens": ["[MASK]"], "added_tokens_decoder": {"4": {"content": "[MASK]", "lstrip": False}}}
    assert settings(write(tmp_path, tokenizer_config=config)) == TokenizerSettings()


def test_an_unknown_override_is_an_error(tmp_path: Path):
    with pytest.raises(TokenizerError, match="'lowercase' is no tokenizer setting"):
        settings(write(tmp_path), lowercase=False)


def test_a_broken_config_is_an_error_of_the_tokenizer(tmp_path: Path):
    (write(tmp_path) / "config.json").write_bytes(b"[" * 2000)
    with pytest.raises(TokenizerError, match="nesting"):
        settings(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map", "config", "bert_config"])
def test_settings_have_at_most_a_mebibyte(tmp_path: Path, name: str):
    (write(tmp_path) / f"{name}.json").write_bytes(b"{" + b" " * (1 << 20) + b"}")
    with pytest.raises(TokenizerError, match=rf"{name}\.json has 1,048,578 bytes, over the limit of 1,048,576"):
        settings(tmp_path)


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "added_tokens.json"])
def test_files_of_tokens_have_at_most_16_mebibytes(tmp_path: Path, name: str):
    with (write(tmp_path) / name).open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(TokenizerError, match=rf"{name} has 16,777,217 bytes, over the limit of 16,777,216"):
        settings(tmp_path)


@pytest.mark.long
def test_a_tokenizer_json_of_half_a_million_tokens_is_read(tmp_path: Path):
    tokens = {token: token_id for token_id, token in enumerate([*TOKENS, *(f"token{number}" for number in range(500_000))])}
    described = TOKENIZER_JSON | {"model": TOKENIZER_JSON["model"] | {"vocab": tokens}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
    assert len(read_folder(tmp_path, {})[0]) == 500_007


@pytest.mark.parametrize(
    "files",
    [
        {"added_tokens": {f"token{number}": 10**6 + number for number in range(10_000)}},
        {"tokenizer_config": {"unk_token": "x" * 900_000}},
        {"tokenizer_config": {"model_max_length": "x" * 900_000}},
        {"tokenizer_config": {"tokenizer_class": "x" * 900_000}},
        {"config": {"vocab_size": "x" * 900_000}},
        {"tokenizer": {"x" * 900_000: 1}},
    ],
)
def test_messages_stay_short_whatever_files_hold(tmp_path: Path, files: dict):
    with pytest.raises(TokenizerError) as problem:
        Tokenizer.from_folder(write(tmp_path, **files))
    assert len(str(problem.value)) < 2000


def test_a_vocabulary_without_a_special_token_is_named_by_its_folder(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join(token for token in TOKENS if token != "[MASK]"), encoding="utf-8")
    with pytest.raises(TokenizerError, match=rf"{tmp_path}: the vocabulary of 6 tokens lacks mask_token '\[MASK\]'"):
        Tokenizer.from_folder(tmp_path)
