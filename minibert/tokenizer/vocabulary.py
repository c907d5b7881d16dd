"""The vocabulary: tokens in the order of their ids, and the reader of vocab.txt, which has one token on each line."""

import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from minibert.errors import TokenizerError, shown
from minibert.strict_json import MAX_VOCABULARY_BYTES, read_regular_file
from minibert.tokenizer.flavors import flavor_named

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_WHITESPACE_CHARACTERS = "".join(
    chr(code) for first, last in flavor_named("hf").whitespace.ranges for code in range(first, last + 1)
)
_WHITESPACE_AT_AN_END = re.compile("[{}](?:\n|\\Z)".format(_WHITESPACE_CHARACTERS.replace("\n", "")))


class Vocabulary:
    """Tokens in the order of their ids: `tokens[id]` is a token, `ids[token]` its id, `len()` counts them.

    `tokens` may also be a mapping of tokens to ids, which have to be 0 to n − 1. Raises TokenizerError when a token comes
    twice (its id would depend on the reader), when there is none, and for anything that is no string or that UTF-8 cannot
    hold. `origin` names the source in that error.
    """

    def __init__(self, tokens: Iterable[str] | Mapping[str, int], origin: str = "the vocabulary") -> None:
        if isinstance(tokens, Mapping):
            tokens = tokens_in_order(tokens, origin)
        if isinstance(tokens, str | bytes | Set) or not isinstance(tokens, Iterable):
            raise TokenizerError(f"{origin} is of the type {type(tokens).__name__}; expected a sequence of tokens")
        self.tokens = tuple(tokens)
        if not {str}.issuperset(map(type, self.tokens)):
            for token_id, token in enumerate(self.tokens):
                if not isinstance(token, str):
                    raise TokenizerError(
                        f"{origin} has something of the type {type(token).__name__} for the id {token_id}; expected a string"
                    )
            self.tokens = tuple(map(str.__str__, self.tokens))
        try:
            "".join(self.tokens).encode()
        except UnicodeEncodeError as problem:
            token_id = next(token_id for token_id, token in enumerate(self.tokens) if problem.object[problem.start] in token)
            raise TokenizerError(
                f"{origin} has half of a surrogate pair in the token {shown(self.tokens[token_id])} (id {token_id}), which no "
                "file and no text can hold; take it out"
            ) from None
        self.ids = {token: token_id for token_id, token in enumerate(self.tokens)}
        first_ids: dict[str, int] = {}
        for token_id, token in enumerate(self.tokens) if len(self.ids) < len(self.tokens) else ():
            first = first_ids.setdefault(token, token_id)
            if first != token_id:
                raise TokenizerError(
                    f"{origin} holds the token {shown(token)} twice, on lines {first + 1} and {token_id + 1}, but each "
                    "token needs one id; restore the published file, since dropping a line shifts every id after it"
                )
        if not self.tokens:
            raise TokenizerError(f"{origin} holds no tokens; expected one on each line")

    def __len__(self) -> int:
        return len(self.tokens)


def tokens_in_order(ids: Mapping[str, Any], origin: str) -> tuple[str, ...]:
    """The tokens of a mapping in the order of their ids; TokenizerError unless those are 0 to n − 1, each once."""
    if {int}.issuperset(map(type, ids.values())) and list(ids.values()) == list(range(len(ids))):
        return tuple(ids)
    tokens: dict[int, str] = {}
    for token, token_id in ids.items():
        if type(token_id) is not int or not 0 <= token_id < len(ids) or token_id in tokens:
            raise TokenizerError(
                f"{origin} gives {shown(token)} the id {shown(token_id)}; expected each id from 0 to {len(ids) - 1} once"
            )
        tokens[token_id] = token
    return tuple(tokens[token_id] for token_id in range(len(tokens)))


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary in a vocab.txt; raises TokenizerError as `read_tokens` and `Vocabulary` do, and where memory is short."""
    try:
        return Vocabulary(read_tokens(path), origin=str(path))
    except MemoryError:
        raise TokenizerError(f"{path} needs more memory than is left; free some, or give another file") from None


def read_tokens(path: Path) -> list[str]:
    r"""The tokens in a vocab.txt: the one on line n (from 0) has the id n.

    Lines end in "\n" alone or in "\r\n". No other character ends one: some published vocabularies have U+2028 as a
    token, and a reader that breaks the line there shifts every id that follows. Whitespace at a line's end is cut
    off, as the `tokenizers` library does; a line of nothing else keeps it, so that two such tokens stay different.

    Raises TokenizerError for a missing file, a file that is not UTF-8 or begins with a byte order mark.
    """
    data = read_regular_file(path, error=TokenizerError, max_bytes=MAX_VOCABULARY_BYTES)
    if data.startswith(BYTE_ORDER_MARK):
        raise TokenizerError(
            f"{path} begins with a byte order mark, which would become part of its first token; save it as UTF-8 without one"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise TokenizerError(f"{path} is not UTF-8 at byte {problem.start}; expected one token on each line, in UTF-8") from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [trim_end(line) for line in lines] if _WHITESPACE_AT_AN_END.search(text) else lines


def trim_end(line: str) -> str:
    """`line` without the whitespace at its end, unless it is nothing but whitespace: then without "\\r" only."""
    return line.rstrip(_WHITESPACE_CHARACTERS) or line.removesuffix("\r")
