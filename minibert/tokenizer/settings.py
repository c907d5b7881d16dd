"""What a checkpoint says about its tokenizer, and the readers of tokenizer_config.json and special_tokens_map.json.

Files written by transformers hold far more than BERT needs. What has no influence on ids is passed over; what has,
and is not what minibert does, is an error that names the field, since other ids would make every later number
silently wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.errors import TokenizerError, shown
from minibert.strict_json import MAX_SETTINGS_BYTES, MAX_VOCABULARY_BYTES, read_json_object
from minibert.tokenizer.flavors import FLAVORS, flavor_named
from minibert.tokenizer.word_piece import CONTINUATION

SPECIAL_TOKEN_FIELDS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
CONFIG_FIELDS = (
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "longest_word",
    "flavor",
)
SIDES = ("right", "left")
TOKENIZER_CLASSES = ("BertTokenizer", "BertTokenizerFast")

# Classes of transformers for any tokenizer.json; that file, whose every part is checked, says which tokenizer it is.
GENERAL_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")

# transformers writes 1e30 where a model has no maximum, and takes anything above 1e20 for that.
NO_MAXIMUM, WRITTEN_NO_MAXIMUM = 10**20, int(1e30)

# `tokenizers` keeps it in 64 bits; no word is as long as this.
LONGEST_WORD_LIMIT = 2**31 - 1

# Fields of tokenizer_config.json that change ids, with the only value that minibert implements.
FIXED_FIELDS: dict[str, object] = {
    "pad_token_type_id": 0,
    "clean_text": True,
    "do_basic_tokenize": True,
    "wordpieces_prefix": CONTINUATION,
}

# Fields that list further special tokens.
TOKEN_LISTS = ("additional_special_tokens", "extra_special_tokens")

# Ways in which the `tokenizers` library can be told to look for a token other than by its exact characters.
TOKEN_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


@dataclass(frozen=True)
class TokenizerSettings:
    """The settings of one tokenizer, under the names of transformers' tokenizer_config.json where it has one.

    - `flavor`: "hf" or "google" (`flavors`).
    - `strip_accents=None` means: the same as `do_lower_case`. `model_max_length=None` means: no maximum.
    - A word of more than `longest_word` characters, after normalisation, becomes [UNK]; None means the flavor's own
      limit, 100 or 200.
    - With `special_tokens_in_text=False`, "[MASK]" in a text is a bracket, a word and a bracket; with True it becomes
      the special token's id; None means the flavor's own way, which is True for "hf" and False for "google".
    - `additional_special_tokens` are found in texts like BERT's five.
    - A token of `never_split` that stands by itself between whitespace keeps its case, accents and punctuation.
    - `padding_side` and `truncation_side`, "right" or "left": where rows are filled up and where texts are cut.

    Raises TokenizerError for a value of the wrong kind.
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    unk_token: str = "[UNK]"
    sep_token: str = "[SEP]"
    pad_token: str = "[PAD]"
    cls_token: str = "[CLS]"
    mask_token: str = "[MASK]"
    model_max_length: int | None = None
    longest_word: int | None = None
    special_tokens_in_text: bool | None = None
    additional_special_tokens: tuple[str, ...] = ()
    never_split: tuple[str, ...] = ()
    padding_side: str = "right"
    truncation_side: str = "right"
    flavor: str = "hf"

    def __post_init__(self) -> None:
        for name, value in checked_settings(vars(self), "the tokenizer's settings").items():
            # How a field of a frozen dataclass is set.
            object.__setattr__(self, name, value)

    @property
    def special_tokens(self) -> dict[str, str]:
        """The special tokens under the names of their fields, such as "cls_token": "[CLS]"."""
        return {name: getattr(self, name) for name in SPECIAL_TOKEN_FIELDS}

    @property
    def whole_tokens(self) -> tuple[str, ...]:
        """Every special token once: BERT's five and the additional ones."""
        return tuple(dict.fromkeys([*self.special_tokens.values(), *self.additional_special_tokens]))

    @property
    def finds_special_tokens(self) -> bool:
        """Whether special tokens are looked for in texts, once `special_tokens_in_text=None` is resolved."""
        found = self.special_tokens_in_text
        return flavor_named(self.flavor).special_tokens_in_text if found is None else found

    @property
    def word_limit(self) -> int:
        """The most characters of a word that is no [UNK], once `longest_word=None` is resolved."""
        return flavor_named(self.flavor).longest_word if self.longest_word is None else self.longest_word

    @property
    def removes_accents(self) -> bool:
        """Whether accents are stripped, once `strip_accents=None` is resolved."""
        return self.do_lower_case if self.strip_accents is None else self.strip_accents


@dataclass(frozen=True)
class WholeToken:
    """A token that a file wants found in raw text, before words are split; `where` says which file, at which place.

    `token_id` is None where the file gives none.
    """

    content: str
    token_id: int | None
    where: str


def checked_settings(values: Mapping[str, object], where: str) -> dict[str, Any]:
    """`values` as keyword arguments of TokenizerSettings; `where` names their origin in errors.

    Raises TokenizerError for a name that is no setting and for a value of the wrong kind.
    """
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _CHECKS:
            raise TokenizerError(f"{where}: {shown(name)} is no tokenizer setting; expected one of {', '.join(_CHECKS)}")
        checked[name] = _CHECKS[name](value, f"{where}: {name}")
    return checked


def read_tokenizer_config(path: Path) -> tuple[dict[str, Any], list[WholeToken]]:
    """What a tokenizer_config.json says: keyword arguments of TokenizerSettings, and tokens to be kept whole.

    Raises TokenizerError, naming the field, for a value of the wrong kind and for anything that minibert does not
    implement: another tokenizer class, padding or truncation on the left, another continuation prefix.
    """
    config = read_json_object(path, error=TokenizerError, max_bytes=MAX_SETTINGS_BYTES)
    tokenizer_class = config.get("tokenizer_class")
    is_described = tokenizer_class in GENERAL_CLASSES and (path.parent / "tokenizer.json").exists()
    if tokenizer_class is not None and tokenizer_class not in TOKENIZER_CLASSES and not is_described:
        raise TokenizerError(
            f"{path}: tokenizer_class is {shown(tokenizer_class)}; minibert has BERT's tokenizer only, "
            f"{' or '.join(TOKENIZER_CLASSES)}"
        )
    for name, expected in FIXED_FIELDS.items():
        # Types are compared as well, since 0 equals False in Python.
        if name in config and (config[name] != expected or type(config[name]) is not type(expected)):
            raise TokenizerError(f"{path}: {name} is {shown(config[name])}; minibert implements {expected!r} only")
    values = {name: config[name] for name in CONFIG_FIELDS if name in config} | _special_tokens(config)
    if config.get("never_split") is not None:
        values["never_split"] = config["never_split"]
    if "split_special_tokens" in config:
        split = _boolean(config["split_special_tokens"], f"{path}: split_special_tokens")
        values["special_tokens_in_text"] = not split
    return checked_settings(values, str(path)), _listed_tokens(config, path) + _added_tokens(config, path)


def read_special_tokens_map(path: Path) -> tuple[dict[str, Any], list[WholeToken]]:
    """What an older checkpoint's special_tokens_map.json says, in the form of `read_tokenizer_config`."""
    config = read_json_object(path, error=TokenizerError, max_bytes=MAX_SETTINGS_BYTES)
    return checked_settings(_special_tokens(config), str(path)), _listed_tokens(config, path)


def read_added_tokens(path: Path) -> list[WholeToken]:
    """The tokens of an older checkpoint's added_tokens.json, which gives their ids."""
    tokens: list[WholeToken] = []
    for token, token_id in read_json_object(path, error=TokenizerError, max_bytes=MAX_VOCABULARY_BYTES).items():
        if type(token_id) is not int or token_id < 0 or not token:
            raise TokenizerError(f"{path} gives {shown(token)} the id {shown(token_id)}; expected a token with a whole number")
        tokens.append(WholeToken(token, token_id, str(path)))
    return tokens


def token_content(value: object, where: str) -> str:
    """The text of a special token that a JSON file gives as a string or as an object with "content".

    Raises TokenizerError when it is neither, and when the object asks for another way of finding the token in text.
    """
    if isinstance(value, Mapping):
        for flag in TOKEN_FLAGS:
            if value.get(flag, False) is not False:
                raise TokenizerError(
                    f"{where}: the token {shown(value.get('content'))} has {flag} = {shown(value[flag])}; minibert finds special "
                    "tokens by their exact characters only (false)"
                )
        if value.get("special", True) is not True:
            raise TokenizerError(
                f"{where}: the token {shown(value.get('content'))} has special = {shown(value['special'])}; minibert adds "
                "special tokens only (true)"
            )
        value = value.get("content")
    if not isinstance(value, str) or not value:
        raise TokenizerError(f"{where} is {shown(value)}; expected the token's text, or an object that has it as 'content'")
    return value


def _special_tokens(config: Mapping[str, object]) -> dict[str, object]:
    # transformers writes null for a token that is not set.
    return {name: config[name] for name in SPECIAL_TOKEN_FIELDS if config.get(name) is not None}


def _listed_tokens(config: Mapping[str, object], path: Path) -> list[WholeToken]:
    listed: list[WholeToken] = []
    for name in TOKEN_LISTS:
        value = config.get(name) or []
        tokens = list(value.values()) if isinstance(value, Mapping) else value
        if not isinstance(tokens, list):
            raise TokenizerError(f"{path}: {name} is {shown(value)}; expected a list of tokens")
        listed += [WholeToken(token_content(token, f"{path}: {name}"), None, f"{path}: {name}") for token in tokens]
    return listed


def _added_tokens(config: Mapping[str, object], path: Path) -> list[WholeToken]:
    entries = config.get("added_tokens_decoder") or {}
    if not isinstance(entries, Mapping):
        raise TokenizerError(f"{path}: added_tokens_decoder is {shown(entries)}; expected an object with tokens under their ids")
    added: list[WholeToken] = []
    for token_id, token in entries.items():
        where = f"{path}: added_tokens_decoder[{shown(token_id)}]"
        if not (token_id.isascii() and token_id.isdigit() and len(token_id) < 20):
            raise TokenizerError(f"{where} is under no id; expected the digits of a whole number")
        added.append(WholeToken(token_content(token, where), int(token_id), where))
    return added


def _boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise TokenizerError(f"{where} is {shown(value)}; expected true or false")
    return value


def _boolean_or_none(value: object, where: str) -> bool | None:
    return None if value is None else _boolean(value, where)


def _tokens(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TokenizerError(f"{where} is {shown(value)}; expected a list of tokens")
    return tuple(token_content(token, f"{where}[{place}]") for place, token in enumerate(value))


def _unspaced_tokens(value: object, where: str) -> tuple[str, ...]:
    tokens = _tokens(value, where)
    for token in tokens:
        if token.split() != [token]:
            raise TokenizerError(
                f"{where} has {shown(token)}; expected tokens without whitespace, since texts are split there first"
            )
    return tokens


def _choice(*choices: str) -> Callable[[object, str], str]:
    def checked(value: object, where: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise TokenizerError(f"{where} is {shown(value)}; expected {' or '.join(map(repr, choices))}")
        return value

    return checked


def _positive(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TokenizerError(f"{where} is {shown(value)}; expected a whole number from 1 upwards")
    return value


def _word_limit(value: object, where: str) -> int | None:
    if isinstance(value, int) and value > LONGEST_WORD_LIMIT:
        raise TokenizerError(f"{where} is {shown(value)}; expected at most {LONGEST_WORD_LIMIT:,}")
    return None if value is None else _positive(value, where)


def _maximum(value: object, where: str) -> int | None:
    if value is None or (isinstance(value, int | float) and value >= NO_MAXIMUM):
        return None
    return _positive(value, where)


_CHECKS: dict[str, Callable[[object, str], object]] = {
    "do_lower_case": _boolean,
    "strip_accents": _boolean_or_none,
    "tokenize_chinese_chars": _boolean,
    **dict.fromkeys(SPECIAL_TOKEN_FIELDS, token_content),
    "model_max_length": _maximum,
    "longest_word": _word_limit,
    "special_tokens_in_text": _boolean_or_none,
    "additional_special_tokens": _tokens,
    "never_split": _unspaced_tokens,
    "padding_side": _choice(*SIDES),
    "truncation_side": _choice(*SIDES),
    "flavor": _choice(*FLAVORS),
}
