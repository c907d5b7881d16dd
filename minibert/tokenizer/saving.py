"""A tokenizer -> the files that minibert, transformers and the `tokenizers` library read: the other way of `folder`."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from minibert.atomic_write import write_atomically
from minibert.errors import TokenizerError
from minibert.tokenizer.settings import WRITTEN_NO_MAXIMUM, TokenizerSettings
from minibert.tokenizer.vocabulary import Vocabulary, trim_end
from minibert.tokenizer.word_piece import CONTINUATION


def save_folder(folder: Path, vocabulary: Vocabulary, settings: TokenizerSettings) -> None:
    """Writes vocab.txt, tokenizer_config.json and, for the hf flavor, tokenizer.json into `folder`, which is made.

    special_tokens_map.json and added_tokens.json, where they are there already, are brought into line.
    Raises TokenizerError for a token that vocab.txt cannot hold, and where nothing can be written.
    """
    contents = {
        "vocab.txt": _vocabulary_text(vocabulary, keeps_ends=settings.flavor == "hf"),
        "tokenizer_config.json": _json(_tokenizer_config(vocabulary, settings)),
    }
    if settings.flavor == "hf":
        contents["tokenizer.json"] = _json(_tokenizer_json(vocabulary, settings))
    elif (folder / "tokenizer.json").exists():
        raise TokenizerError(f"{folder} has a tokenizer.json, a file that knows only the hf flavor; choose another folder")
    # Files of older versions of transformers say the same once more; those that are there must not say something else.
    if (folder / "special_tokens_map.json").exists():
        additional = {"additional_special_tokens": list(settings.additional_special_tokens)}
        contents["special_tokens_map.json"] = _json(settings.special_tokens | additional)
    if (folder / "added_tokens.json").exists():
        contents["added_tokens.json"] = _json({})
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise TokenizerError(f"{folder} cannot be made: {problem.strerror or problem}; choose another place") from None
    # All files are written before the first takes its place.
    with ExitStack() as files:
        for name, content in contents.items():
            files.enter_context(write_atomically(folder / name, error=TokenizerError)).write(content.encode())


def _vocabulary_text(vocabulary: Vocabulary, keeps_ends: bool) -> str:
    lines: set[str] = set()
    for token_id, token in enumerate(vocabulary.tokens):
        line = trim_end(token)
        if "\n" in token or line in lines or (line != token and not keeps_ends):
            raise TokenizerError(
                f"the token {token!r} (id {token_id}) cannot be saved: a line of vocab.txt holds no line feed and no whitespace "
                "at its end; rename the token"
            )
        lines.add(line)
    return "".join(token + "\n" for token in vocabulary.tokens)


def _tokenizer_config(vocabulary: Vocabulary, settings: TokenizerSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": settings.do_lower_case,
        "strip_accents": settings.strip_accents,
        "tokenize_chinese_chars": settings.tokenize_chinese_chars,
        **settings.special_tokens,
        "additional_special_tokens": list(settings.additional_special_tokens),
        "added_tokens_decoder": {str(token["id"]): _without_id(token) for token in _added_tokens(vocabulary, settings)},
        "split_special_tokens": not settings.finds_special_tokens,
        "model_max_length": WRITTEN_NO_MAXIMUM if settings.model_max_length is None else settings.model_max_length,
        "padding_side": settings.padding_side,
        "truncation_side": settings.truncation_side,
    }
    if settings.never_split:
        config["never_split"] = list(settings.never_split)
    if settings.flavor != "hf":
        config["flavor"] = settings.flavor
    if settings.longest_word is not None:
        config["longest_word"] = settings.longest_word
    return config


def _tokenizer_json(vocabulary: Vocabulary, settings: TokenizerSettings) -> dict[str, Any]:
    classification, separator = (_special(settings.cls_token, 0), _special(settings.sep_token, 0))
    ends = {token: vocabulary.ids[token] for token in (settings.cls_token, settings.sep_token)}
    single = [classification, {"Sequence": {"id": "A", "type_id": 0}}, separator]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, _special(settings.sep_token, 1)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(vocabulary, settings),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.tokenize_chinese_chars,
            "strip_accents": settings.strip_accents,
            "lowercase": settings.do_lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": single + second,
            "special_tokens": {
                token: {"id": token, "ids": [token_id], "tokens": [token]} for token, token_id in sorted(ends.items())
            },
        },
        "decoder": {"type": "WordPiece", "prefix": CONTINUATION, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": settings.unk_token,
            "continuing_subword_prefix": CONTINUATION,
            "max_input_chars_per_word": settings.word_limit,
            "vocab": vocabulary.ids,
        },
    }


def _special(token: str, type_id: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": type_id}}


def _added_tokens(vocabulary: Vocabulary, settings: TokenizerSettings) -> list[dict[str, Any]]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokens = sorted(settings.whole_tokens, key=vocabulary.ids.__getitem__)
    return [{"id": vocabulary.ids[token], "content": token, **flags, "special": True} for token in tokens]


def _without_id(token: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in token.items() if name != "id"}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
