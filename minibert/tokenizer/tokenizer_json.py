"""The reader of tokenizer.json, the file of the `tokenizers` library: BERT's known parts of it and nothing else.

The format can describe any tokenizer, with regular expressions of the file's own. None of that is run here: each part
has to be the one that BERT has, or the error names it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minibert.errors import TokenizerError, shown
from minibert.strict_json import MAX_VOCABULARY_BYTES, read_json_object
from minibert.tokenizer.settings import WholeToken, checked_settings, token_content
from minibert.tokenizer.vocabulary import Vocabulary, tokens_in_order
from minibert.tokenizer.word_piece import CONTINUATION

# Truncation and padding are the caller's; the decoder has no influence on ids.
KNOWN_PARTS = (
    "version",
    "truncation",
    "padding",
    "added_tokens",
    "normalizer",
    "pre_tokenizer",
    "post_processor",
    "decoder",
    "model",
)
POST_PROCESSORS = ("TemplateProcessing", "BertProcessing")


def read_tokenizer_json(path: Path) -> tuple[Vocabulary, dict[str, Any], list[WholeToken]]:
    """What a tokenizer.json says: the vocabulary, keyword arguments of TokenizerSettings, and tokens to be kept whole.

    Raises TokenizerError, naming the part, for anything but a BertNormalizer, a BertPreTokenizer and a WordPiece
    model with the prefix "##" whose ids are exactly 0 to n - 1.
    """
    parts = read_json_object(path, error=TokenizerError, max_bytes=MAX_VOCABULARY_BYTES)
    for name in parts:
        if name not in KNOWN_PARTS:
            raise TokenizerError(f"{path}: the part {shown(name)} is none of BERT's; expected only {', '.join(KNOWN_PARTS)}")
    normalizer = _part(parts, "normalizer", ("BertNormalizer",), path)
    _part(parts, "pre_tokenizer", ("BertPreTokenizer",), path)
    model = _part(parts, "model", ("WordPiece",), path)
    if model.get("continuing_subword_prefix") != CONTINUATION:
        found = model.get("continuing_subword_prefix")
        raise TokenizerError(f"{path}: model.continuing_subword_prefix is {shown(found)}; BERT's is {CONTINUATION!r}")
    if normalizer.get("clean_text", True) is not True:
        raise TokenizerError(f"{path}: normalizer.clean_text is {shown(normalizer['clean_text'])}; minibert implements true only")
    names = {
        "do_lower_case": (normalizer, "lowercase"),
        "strip_accents": (normalizer, "strip_accents"),
        "tokenize_chinese_chars": (normalizer, "handle_chinese_chars"),
        "unk_token": (model, "unk_token"),
        "longest_word": (model, "max_input_chars_per_word"),
    }
    values = {name: part[field] for name, (part, field) in names.items() if field in part}
    if parts.get("post_processor") is not None:
        post_processor = _part(parts, "post_processor", POST_PROCESSORS, path)
        values |= _sequence_tokens(post_processor, path)
    vocabulary, checked = _vocabulary(model, path), checked_settings(values, str(path))
    if parts.get("post_processor") is not None:
        _check_sequence_ids(post_processor, checked, vocabulary, path)
    return vocabulary, checked, _added_tokens(parts, path)


def _part(parts: Mapping[str, object], name: str, types: tuple[str, ...], path: Path) -> dict[str, Any]:
    part = parts.get(name)
    found = part.get("type") if isinstance(part, dict) else part
    if not isinstance(part, dict) or found not in types:
        raise TokenizerError(f"{path}: {name} is of the type {shown(found)}; BERT's is {' or '.join(types)}")
    return part


def _sequence_tokens(part: Mapping[str, Any], path: Path) -> dict[str, object]:
    """The tokens that stand before the first text and after each, from a part that puts them where BERT does."""
    if part["type"] == "BertProcessing":
        given = {"cls_token": part.get("cls"), "sep_token": part.get("sep")}
        return {name: token[0] if isinstance(token, list) and token else token for name, token in given.items()}
    single = part.get("single")
    ends = [single[0], single[-1]] if isinstance(single, list) and single else [None, None]
    tokens = [end.get("SpecialToken") if isinstance(end, dict) else None for end in ends]
    names = [token.get("id") if isinstance(token, dict) else None for token in tokens]
    classification, separator = ({"SpecialToken": {"id": name, "type_id": 0}} for name in names)
    first = [classification, {"Sequence": {"id": "A", "type_id": 0}}, separator]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": names[1], "type_id": 1}}]
    for name, expected in (("single", first), ("pair", first + second)):
        if part.get(name) != expected:
            raise TokenizerError(
                f"{path}: post_processor.{name} is not BERT's; expected [CLS] A [SEP], for pairs [CLS] A [SEP] B [SEP] "
                "where B and the [SEP] behind it have the type 1"
            )
    return {"cls_token": names[0], "sep_token": names[1]}


def _check_sequence_ids(part: Mapping[str, Any], values: Mapping[str, Any], vocabulary: Vocabulary, path: Path) -> None:
    """Raise TokenizerError where the part puts other ids round the texts than those that its tokens have."""
    for name, field in (("cls_token", "cls"), ("sep_token", "sep")):
        token = values[name]
        if part["type"] == "BertProcessing":
            ids = part[field][1:]
        else:
            listed = part.get("special_tokens")
            entry = listed.get(token) if isinstance(listed, Mapping) else None
            ids = entry.get("ids") if isinstance(entry, Mapping) else None
        if token in vocabulary.ids and ids != [vocabulary.ids[token]]:
            raise TokenizerError(
                f"{path}: post_processor gives {shown(token)} the ids {shown(ids)}; expected "
                f"[{vocabulary.ids[token]}], as in model.vocab"
            )


def _vocabulary(model: Mapping[str, object], path: Path) -> Vocabulary:
    ids = model.get("vocab")
    if not isinstance(ids, Mapping):
        raise TokenizerError(f"{path}: model.vocab is of the type {type(ids).__name__}; expected an object of tokens and ids")
    return Vocabulary(tokens_in_order(ids, f"{path}: model.vocab"), origin=str(path))


def _added_tokens(parts: Mapping[str, object], path: Path) -> list[WholeToken]:
    entries = parts.get("added_tokens") or []
    if not isinstance(entries, list):
        raise TokenizerError(f"{path}: added_tokens is of the type {type(entries).__name__}; expected a list")
    added: list[WholeToken] = []
    for place, entry in enumerate(entries):
        where = f"{path}: added_tokens[{place}]"
        token_id = entry.get("id") if isinstance(entry, Mapping) else None
        if type(token_id) is not int:
            raise TokenizerError(f"{where} is {shown(entry)}; expected an object with a whole number as 'id'")
        added.append(WholeToken(token_content(entry, where), token_id, where))
    return added
