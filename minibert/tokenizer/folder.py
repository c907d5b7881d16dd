"""A checkpoint's folder -> its vocabulary and tokenizer settings, from whichever of the published files are there.

    vocab.txt                 the vocabulary                        the original's file
    tokenizer.json            the vocabulary and settings           the `tokenizers` library's
    special_tokens_map.json   the special tokens                    older transformers'
    tokenizer_config.json     settings                              transformers'
    config.json               the model's maximum and vocabulary    transformers'

Where two files give the same setting, the later one in this list counts, and what the caller gives counts before all.
Files that contradict each other about ids are an error: nobody can know which of them the model was trained with.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from minibert.errors import TokenizerError
from minibert.strict_json import read_json_object
from minibert.tokenizer.settings import (
    TokenizerSettings,
    WholeToken,
    checked_settings,
    read_special_tokens_map,
    read_tokenizer_config,
)
from minibert.tokenizer.tokenizer_json import read_tokenizer_json
from minibert.tokenizer.vocabulary import Vocabulary, read_vocabulary, trim_end


def read_folder(folder: Path, overrides: Mapping[str, object]) -> tuple[Vocabulary, TokenizerSettings]:
    """The vocabulary and settings of the checkpoint in `folder`, with `overrides` in place of what its files say.

    Raises TokenizerError when the folder has no vocabulary, when a file is broken or asks for what minibert does not
    implement, when files contradict each other, and for an override that is no setting.
    """
    if not folder.is_dir():
        raise TokenizerError(f"{folder} is no folder; expected one with vocab.txt or tokenizer.json in it")
    own = checked_settings(overrides, "the tokenizer's keyword arguments")
    values: dict[str, Any] = {}
    whole_tokens: list[WholeToken] = []
    vocabulary = read_vocabulary(folder / "vocab.txt") if (folder / "vocab.txt").exists() else None
    if (folder / "tokenizer.json").exists():
        other, found, tokens = read_tokenizer_json(folder / "tokenizer.json")
        vocabulary = other if vocabulary is None else vocabulary
        _check_same_tokens(vocabulary, other, folder)
        values |= found
        whole_tokens += tokens
    if vocabulary is None:
        raise TokenizerError(f"{folder} has neither vocab.txt nor tokenizer.json; expected one of them beside the weights")
    for name, read in (
        ("special_tokens_map.json", read_special_tokens_map),
        ("tokenizer_config.json", read_tokenizer_config),
    ):
        if (folder / name).exists():
            found, tokens = read(folder / name)
            values |= found
            whole_tokens += tokens
    settings = TokenizerSettings(**(values | own))
    for token in whole_tokens:
        _check_whole_token(token, vocabulary, settings)
    if (folder / "config.json").exists():
        settings = _within_model(settings, vocabulary, folder / "config.json")
    return vocabulary, settings


def _check_same_tokens(vocabulary: Vocabulary, other: Vocabulary, folder: Path) -> None:
    # vocab.txt loses the whitespace at a token's end, as in "##" + U+2028 of the Chinese vocabulary.
    if len(vocabulary) != len(other):
        raise TokenizerError(
            f"{folder}: vocab.txt has {len(vocabulary):,} tokens and tokenizer.json {len(other):,}; delete the one "
            "that does not belong to the weights"
        )
    for token_id, (token, other_token) in enumerate(zip(vocabulary.tokens, other.tokens, strict=True)):
        if token != trim_end(other_token):
            raise TokenizerError(
                f"{folder}: the id {token_id} is {token!r} in vocab.txt and {other_token!r} in tokenizer.json; delete "
                "the one that does not belong to the weights"
            )


def _check_whole_token(token: WholeToken, vocabulary: Vocabulary, settings: TokenizerSettings) -> None:
    known = settings.special_tokens.values()
    if token.content not in known:
        raise TokenizerError(
            f"{token.where} has the token {token.content!r} besides BERT's five, {', '.join(known)}; minibert keeps no "
            "other token whole"
        )
    token_id = vocabulary.ids.get(token.content)
    if token.token_id is not None and token.token_id != token_id:
        raise TokenizerError(
            f"{token.where} gives {token.content!r} the id {token.token_id}, the vocabulary {token_id}; expected the same"
        )


def _within_model(settings: TokenizerSettings, vocabulary: Vocabulary, path: Path) -> TokenizerSettings:
    config = read_json_object(path, error=TokenizerError)
    vocabulary_size = _size(config, "vocab_size", path)
    # A larger embedding table is common: it was padded to a round number.
    if vocabulary_size is not None and vocabulary_size < len(vocabulary):
        raise TokenizerError(
            f"{path}: vocab_size is {vocabulary_size:,}, but the vocabulary has {len(vocabulary):,} tokens, so that "
            "some have no embedding; use the vocabulary that belongs to the weights"
        )
    maxima = [settings.model_max_length, _size(config, "max_position_embeddings", path)]
    return replace(settings, model_max_length=min((maximum for maximum in maxima if maximum is not None), default=None))


def _size(config: Mapping[str, object], name: str, path: Path) -> int | None:
    value = config.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise TokenizerError(f"{path}: {name} is {value!r}; expected a whole number from 1 upwards")
    return value if isinstance(value, int) else None
