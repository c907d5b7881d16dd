"""A checkpoint's folder -> its vocabulary and tokenizer settings, from whichever of the published files are there.

    vocab.txt                 the vocabulary                        the original's file; TensorFlow Hub has it in assets/
    tokenizer.json            the vocabulary and settings           the `tokenizers` library's
    special_tokens_map.json   the special tokens                    older transformers'
    added_tokens.json         ids of tokens behind the vocabulary   older transformers'
    tokenizer_config.json     settings                              transformers'
    config.json               the model's maximum and vocabulary    transformers'; the original has it in bert_config.json

Where two files give the same setting, the later one in this list counts, and what the caller gives counts before all.
Where none says whether texts become lower case, the vocabulary does: they keep their case if its tokens have capitals.
Files that contradict each other about ids are an error: nobody can know which of them the model was trained with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minibert.errors import TokenizerError, shown
from minibert.printable import listed
from minibert.strict_json import MAX_SETTINGS_BYTES, read_json_object
from minibert.tokenizer.casing import has_capitals
from minibert.tokenizer.settings import (
    TokenizerSettings,
    WholeToken,
    checked_settings,
    read_added_tokens,
    read_special_tokens_map,
    read_tokenizer_config,
)
from minibert.tokenizer.tokenizer_json import read_tokenizer_json
from minibert.tokenizer.vocabulary import Vocabulary, read_tokens, read_vocabulary, trim_end

MODEL_CONFIGS = ("config.json", "bert_config.json")
"""The first of them that is there counts, as for the model."""
PADDED_TO = (8, 64, 128)
"""Tables of embeddings are padded to multiples of these, for the sake of accelerators."""


def has_vocabulary(folder: Path) -> bool:
    """Whether there is a file in it that `read_folder` takes the vocabulary from."""
    return _lines_of(folder) is not None or (folder / "tokenizer.json").exists()


def _lines_of(folder: Path) -> Path | None:
    """The vocabulary's file with a token a line, if there is one."""
    return next((path for path in (folder / "vocab.txt", folder / "assets" / "vocab.txt") if path.exists()), None)


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
    lines = _lines_of(folder)
    if (folder / "tokenizer.json").exists():
        vocabulary, found, tokens = read_tokenizer_json(folder / "tokenizer.json")
        if lines is not None:
            _check_same_tokens(read_tokens(lines), vocabulary, folder)
        values |= found
        whole_tokens += tokens
    elif lines is not None:
        vocabulary = read_vocabulary(lines)
    else:
        raise TokenizerError(f"{folder} has neither vocab.txt nor tokenizer.json; expected one of them beside the weights")
    for name, read in (
        ("special_tokens_map.json", read_special_tokens_map),
        ("tokenizer_config.json", read_tokenizer_config),
    ):
        if (folder / name).exists():
            found, tokens = read(folder / name)
            values |= found
            whole_tokens += tokens
    if own.get("flavor") == "google" and values.get("flavor") != "google":
        # What files for the other flavor say on these is that flavor's way, not the checkpoint's.
        values = {name: value for name, value in values.items() if name not in ("longest_word", "special_tokens_in_text")}
    settings = TokenizerSettings(**(values | own))
    if (folder / "added_tokens.json").exists():
        whole_tokens += read_added_tokens(folder / "added_tokens.json")
    vocabulary = _with_added_tokens(vocabulary, whole_tokens)
    if "additional_special_tokens" not in own:
        additional = [token.content for token in whole_tokens if token.content not in settings.special_tokens.values()]
        settings = replace(settings, additional_special_tokens=tuple(dict.fromkeys(additional)))
    if "do_lower_case" not in values | own:
        # BERT's own default is lower case, which turns a cased model's names into other words or [UNK] without a sign of it.
        settings = replace(settings, do_lower_case=not has_capitals(vocabulary.tokens, settings.whole_tokens))
    model_config = next((folder / name for name in MODEL_CONFIGS if (folder / name).exists()), None)
    if model_config is not None:
        settings = _within_model(settings, vocabulary, model_config)
    return vocabulary, settings


def is_padded(rows: int, tokens: int) -> bool:
    """Whether a table with `rows` is what padding makes of one for `tokens`."""
    return rows in [-(-tokens // unit) * unit for unit in PADDED_TO]


def _check_same_tokens(lines: Sequence[str], vocabulary: Vocabulary, folder: Path) -> None:
    # vocab.txt loses the whitespace at a token's end, as in "##" + U+2028 of the Chinese vocabulary; tokenizer.json counts.
    if len(lines) != len(vocabulary):
        raise TokenizerError(
            f"{folder}: vocab.txt has {len(lines):,} tokens and tokenizer.json {len(vocabulary):,}; delete the one "
            "that does not belong to the weights"
        )
    for token_id, (line, token) in enumerate(zip(lines, vocabulary.tokens, strict=True)):
        if line != token and line != trim_end(token):
            raise TokenizerError(
                f"{folder}: the id {token_id} is {shown(line)} in vocab.txt and {shown(token)} in tokenizer.json; delete "
                "the one that does not belong to the weights"
            )


def _with_added_tokens(vocabulary: Vocabulary, tokens: Sequence[WholeToken]) -> Vocabulary:
    """The vocabulary with the tokens that files add behind its end.

    Raises TokenizerError for a token without an id, for one with another id than in the vocabulary, and for a gap.
    """
    new: dict[str, int] = {}
    for token in tokens:
        known = vocabulary.ids.get(token.content, new.get(token.content))
        if known is None and token.token_id is not None:
            new[token.content] = token.token_id
        elif token.token_id is not None and token.token_id != known:
            raise TokenizerError(
                f"{token.where} gives {shown(token.content)} the id {token.token_id}, the vocabulary {known}; expected the same"
            )
    for token in tokens:
        if token.content not in vocabulary.ids and token.content not in new:
            raise TokenizerError(
                f"{token.where} has the token {shown(token.content)}, which is not in the vocabulary, and no file gives its id; "
                "expected it under its id in added_tokens_decoder of tokenizer_config.json"
            )
    if sorted(new.values()) != list(range(len(vocabulary), len(vocabulary) + len(new))):
        raise TokenizerError(
            f"the tokens {listed([shown(token) for token in new])} are added to a vocabulary of {len(vocabulary):,} under the "
            f"ids {listed([shown(token_id) for token_id in new.values()])}; expected the ids that follow it, each once"
        )
    return Vocabulary([*vocabulary.tokens, *sorted(new, key=new.__getitem__)]) if new else vocabulary


def _within_model(settings: TokenizerSettings, vocabulary: Vocabulary, path: Path) -> TokenizerSettings:
    config = read_json_object(path, error=TokenizerError, max_bytes=MAX_SETTINGS_BYTES)
    rows, tokens = _size(config, "vocab_size", path), len(vocabulary)
    if rows is not None and rows < tokens:
        raise TokenizerError(
            f"{path}: vocab_size is {rows:,}, but the vocabulary has {tokens:,} tokens, so that "
            "some have no embedding; use the vocabulary that belongs to the weights"
        )
    # One line lost on the way shifts every id behind it, and nothing else shows it.
    if rows is not None and rows != tokens and not is_padded(rows, tokens):
        raise TokenizerError(
            f"{path}: vocab_size is {rows:,}, but the vocabulary has {tokens:,} tokens; expected as many, or a table padded to "
            f"the next multiple of {', '.join(map(str, PADDED_TO[:-1]))} or {PADDED_TO[-1]}: use the vocabulary that belongs to "
            "the weights, whole"
        )
    maxima = [settings.model_max_length, _size(config, "max_position_embeddings", path)]
    return replace(settings, model_max_length=min((maximum for maximum in maxima if maximum is not None), default=None))


def _size(config: Mapping[str, object], name: str, path: Path) -> int | None:
    value = config.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise TokenizerError(f"{path}: {name} is {shown(value)}; expected a whole number from 1 upwards")
    return value if isinstance(value, int) else None
