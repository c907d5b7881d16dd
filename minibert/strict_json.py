"""Reading JSON that someone else wrote, strictly.

Python's `json` keeps the last of two equal keys, takes UTF-16, turns `1e999` into infinity and raises RecursionError on deep
nesting. In a file that decides which bytes become which weights each of those is a way to silently wrong numbers, so
every JSON that minibert reads comes through here and ends as plain values or as one error of the caller's kind.
"""

import json
import math
import re
import stat
from pathlib import Path
from typing import Any

from minibert.errors import MinibertError, shown

MAX_DEPTH = 64
# Of files that state settings, and of those that hold a vocabulary: 10 MB of them are a tokenizer.json of 500,000 tokens.
MAX_SETTINGS_BYTES, MAX_VOCABULARY_BYTES = 1 << 20, 16 << 20
MAX_NUMBER_LENGTH = 400
# Strings are skipped possessively, so that an unterminated one costs linear time.
_ALL_BUT_BRACKETS = re.compile(r'(?:"(?:[^"\\]++|\\.)*+"?|[^"\[\]{}]++)++', re.DOTALL)
# Only then do the checks of every number and every string have something to find; both may be false alarms.
_LONG_WHOLE_NUMBER = re.compile(rf"[0-9]{{{MAX_NUMBER_LENGTH}}}")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json_object(path: Path, *, error: type[MinibertError], max_bytes: int = 64 << 20) -> dict[str, Any]:
    """The JSON object in the regular file `path` of at most `max_bytes` bytes; anything else raises `error`."""
    return parse_json_object(read_regular_file(path, error=error, max_bytes=max_bytes), str(path), error=error)


def read_regular_file(path: Path, *, error: type[MinibertError], max_bytes: int) -> bytes:
    """The bytes of a regular file; a missing file, a pipe, a device, or one over `max_bytes` bytes raises `error`."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path} is not a regular file; minibert reads neither folders, pipes nor devices in its place")
        if status.st_size > max_bytes:
            raise error(f"{path} has {status.st_size:,} bytes, over the limit of {max_bytes:,} for such a file")
        return path.read_bytes()
    except MemoryError:
        raise error(f"{path} has more bytes than memory is left for; free some, or give another file") from None
    except FileNotFoundError:
        raise error(f"{path} does not exist") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise error(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None


def parse_json_object(data: bytes, where: str, *, error: type[MinibertError]) -> dict[str, Any]:
    """The JSON object in `data`; `where` names its origin in errors, which are of the kind `error`. See `parse_json`."""
    value = parse_json(data, where, error=error)
    if not isinstance(value, dict):
        raise error(f"{where} is not valid JSON for minibert: expected an object, found {type(value).__name__}")
    return value


def parse_json(data: bytes, where: str, *, error: type[MinibertError]) -> Any:
    """The JSON value in `data`; `where` names its origin in errors, which are of the kind `error`.

    Refused: anything but UTF-8 without a byte order mark, a key given twice at any level, nesting over 64 levels, NaN,
    infinities, numbers that overflow or have over 400 characters, lone surrogates, and what needs more memory than is left.
    """
    try:
        return _parsed(data, where, error)
    except MemoryError:
        # Three bytes of brackets become an object of 64, so that a file of a few MB may not fit.
        raise error(f"{where} needs more memory than is left to be read as JSON; free some, or give another file") from None


def _parsed(data: bytes, where: str, error: type[MinibertError]) -> Any:

    def refuse(reason: str) -> MinibertError:
        return error(f"{where} is not valid JSON for minibert: {reason}")

    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise refuse(f"the key {shown(key)} is given twice")
            result[key] = value
        return result

    def whole_number(digits: str) -> int | float:
        if len(digits) > MAX_NUMBER_LENGTH:
            raise refuse(f"a number of {len(digits):,} characters")
        return int(digits) if digits != "-0" else -0.0  # which no count or offset is

    def finite_number(digits: str) -> float:
        value = float(digits)
        if len(digits) > MAX_NUMBER_LENGTH or not math.isfinite(value):
            raise refuse(f"the number {digits[:40]} is too large or too long")
        return value

    def no_constant(name: str) -> float:
        raise refuse(f"the value {name}, which JSON does not have")

    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise refuse("it starts with a byte order mark; save it as UTF-8 without one")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise refuse(f"byte {problem.start} is not UTF-8") from None
    depth = 0
    for bracket in _ALL_BUT_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise refuse(f"nesting deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(
            text,
            object_pairs_hook=unique_keys,
            parse_int=whole_number if "-0" in text or _LONG_WHOLE_NUMBER.search(text) else None,
            parse_float=finite_number,
            parse_constant=no_constant,
        )
    except json.JSONDecodeError as problem:
        raise refuse(f"{problem.msg} at line {problem.lineno}, column {problem.colno}") from None
    except RecursionError:
        raise refuse("nesting too deep") from None
    if not _ESCAPED_SURROGATE.search(text):
        return value
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise refuse("a string holds half of a surrogate pair") from None
    return value
