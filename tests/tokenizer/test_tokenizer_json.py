import copy
import json
from pathlib import Path

import pytest

from minibert.errors import TokenizerError
from minibert.tokenizer.settings import WholeToken
from minibert.tokenizer.tokenizer_json import read_tokenizer_json
from minibert.tokenizer.vocabulary import Vocabulary


def special(name: str, token_type: int) -> dict:
    return {"SpecialToken": {"id": name, "type_id": token_type}}


def sequence(name: str, token_type: int) -> dict:
    return {"Sequence": {"id": name, "type_id": token_type}}


SINGLE = [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]
PARTS = {
    "version": "1.0",
    "truncation": {"max_length": 128, "strategy": "LongestFirst", "stride": 0},
    "padding": {"strategy": {"Fixed": 128}, "direction": "Left"},
    "added_tokens": [{"id": 4, "content": "[MASK]", "special": True, "normalized": False, "lstrip": False}],
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": False,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": SINGLE,
        "pair": [*SINGLE, sequence("B", 1), special("[SEP]", 1)],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
        },
    },
    "decoder": {"type": "WordPiece", "prefix": "##"},
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        # Ids and not the order of the keys count.
        "vocab": {"a": 5, "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
    },
}


def read(folder: Path, parts: dict) -> tuple[Vocabulary, dict, list[WholeToken]]:
    (folder / "tokenizer.json").write_text(json.dumps(parts), encoding="utf-8")
    return read_tokenizer_json(folder / "tokenizer.json")


def changed(path: str, value) -> dict:
    parts = copy.deepcopy(PARTS)
    *folders, name = path.split(".")
    part = parts
    for folder in folders:
        part = part[folder]
    part[name] = value
    return parts


def test_the_vocabulary_is_in_the_order_of_the_ids(tmp_path: Path):
    assert read(tmp_path, PARTS)[0].tokens == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a")


def test_the_settings_are_those_of_its_parts(tmp_path: Path):
    assert read(tmp_path, PARTS)[1] == {
        "do_lower_case": False,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "longest_word": 100,
    }


def test_bert_processing_is_the_same_as_the_template(tmp_path: Path):
    part = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    assert read(tmp_path, changed("post_processor", part))[1] == read(tmp_path, PARTS)[1]


def test_its_added_tokens_are_collected_with_their_ids(tmp_path: Path):
    (token,) = read(tmp_path, PARTS)[2]
    assert (token.content, token.token_id) == ("[MASK]", 4)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("normalizer", None, "normalizer is of the type None; BERT's is BertNormalizer"),
        (
            "normalizer",
            {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""},
            "normalizer is of the type 'Replace'",
        ),
        ("normalizer.clean_text", False, "normalizer.clean_text is False"),
        ("normalizer.lowercase", "no", "do_lower_case is 'no'"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer is of the type 'Whitespace'"),
        ("pre_tokenizer", {"type": ["BertPreTokenizer"]}, "pre_tokenizer is of the type"),
        ("post_processor", {"type": "RobertaProcessing"}, "post_processor is of the type 'RobertaProcessing'"),
        ("post_processor.single", [], "post_processor.single is not BERT's"),
        ("post_processor.single", [3, 4, 5], "post_processor.single is not BERT's"),
        ("post_processor.single", [{"SpecialToken": ["[CLS]"]}], "post_processor.single is not BERT's"),
        ("post_processor.pair", SINGLE, "post_processor.pair is not BERT's"),
        ("post_processor.special_tokens", {}, r"post_processor gives '\[CLS\]' the ids None; expected \[2\]"),
        ("post_processor", {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 5]}, r"'\[SEP\]' the ids \[5\]"),
        ("model", {"type": "BPE"}, "model is of the type 'BPE'"),
        ("model.continuing_subword_prefix", "@@", "continuing_subword_prefix is '@@'"),
        ("model.max_input_chars_per_word", 0, "longest_word is 0"),
        ("model.unk_token", 1, "unk_token is 1"),
        ("model.vocab", [["a", 0]], "model.vocab is of the type list"),
        ("model.vocab", {"a": 0, "b": 2}, "gives 'b' the id 2; expected each id from 0 to 1 once"),
        ("model.vocab", {"a": 0, "b": 0}, "gives 'b' the id 0"),
        ("model.vocab", {"a": 0, "b": -1}, "gives 'b' the id -1"),
        ("model.vocab", {"a": 0, "b": True}, "gives 'b' the id True"),
        ("model.vocab", {"a": 0.0}, "gives 'a' the id 0.0"),
        ("model.vocab", {}, "holds no tokens"),
        ("added_tokens", {"a": 1}, "added_tokens is of the type dict"),
        ("added_tokens", ["a"], r"added_tokens\[0\] is 'a'"),
        ("added_tokens", [{"id": 4, "content": "[MASK]", "lstrip": True}], "lstrip = True"),
        ("extras", {}, "the part 'extras' is none of BERT's"),
    ],
)
def test_any_part_that_is_not_berts_is_an_error_that_names_it(tmp_path: Path, path: str, value, message: str):
    with pytest.raises(TokenizerError, match=message):
        read(tmp_path, changed(path, value))


def test_it_holds_the_same_vocabulary_as_vocab_txt(minilm_folder: Path):
    lines = (minilm_folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert read_tokenizer_json(minilm_folder / "tokenizer.json")[0].tokens == tuple(lines)
