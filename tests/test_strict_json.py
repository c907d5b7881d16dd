import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.errors import ConfigError, MinibertError
from minibert.strict_json import parse_json, parse_json_object, read_json_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)

REFUSED = {
    "deep lists": (b'{"a":' + b"[" * 2_000 + b"]" * 2_000 + b"}", "nesting deeper than 64"),
    "deep lists without an end": (b'{"a":' + b"[" * 2_000, "nesting deeper than 64"),
    "deep objects": (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, "nesting deeper than 64"),
    "65 levels": (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "nesting deeper than 64"),
    "a whole number of 5,000 digits": (b'{"a":' + b"7" * 5_000 + b"}", "5,000 characters"),
    "a fraction of 5,000 digits": (b'{"a":0.' + b"7" * 5_000 + b"}", "too long"),
    "a float that overflows": (b'{"a":1e999}', "1e999"),
    "a float that overflows downwards": (b'{"a":-1e999}', "-1e999"),
    "NaN": (b'{"a":NaN}', "NaN"),
    "Infinity": (b'{"a":Infinity}', "Infinity"),
    "-Infinity": (b'{"a":[-Infinity]}', "-Infinity"),
    "a lone high surrogate": (rb'{"a":"\ud83d"}', "surrogate"),
    "a lone low surrogate": (rb'{"a":["\ude00"]}', "surrogate"),
    "a lone surrogate in a key": (rb'{"\ud83d":1}', "surrogate"),
    "a key given twice": (b'{"a":1,"a":1}', "'a' is given twice"),
    "a key given twice under two spellings": (rb'{"a":1,"\u0061":2}', "'a' is given twice"),
    "a key given twice further down": (b'{"a":[{"b":{"c":1,"c":2}}]}', "'c' is given twice"),
    "UTF-16 with a byte order mark": ('{"a":1}'.encode("utf-16"), "byte order mark"),
    "UTF-16 without one": ('{"a":1}'.encode("utf-16-le"), "line 1, column 2"),
    "UTF-32": ('{"a":1}'.encode("utf-32"), "byte order mark"),
    "UTF-8 with a byte order mark": ('{"a":1}'.encode("utf-8-sig"), "byte order mark"),
    "latin-1": ('{"a":"é"}'.encode("latin-1"), "byte 6 is not UTF-8"),
    "a surrogate encoded as UTF-8": (b'{"a":"\xed\xa0\xbd"}', "byte 6 is not UTF-8"),
    "nothing": (b"", "line 1, column 1"),
    "spaces": (b"  \n", "line 2, column 1"),
    "a second value": (b"{} {}", "Extra data"),
    "a comma before the end": (b'{"a":1,}', "line 1"),
    "a comment": (b'{"a":1} // one', "Extra data"),
    "a raw newline in a string": (b'{"a":"\n"}', "control character"),
    "a string without an end": (b'{"a":"', "Unterminated string"),
    "a list at the top": (b"[1]", "expected an object, found list"),
    "a number at the top": (b"3", "expected an object, found int"),
    "null": (b"null", "expected an object, found NoneType"),
}


def parse(data: bytes) -> dict[str, Any]:
    return parse_json_object(data, "notes.json", error=ConfigError)


def read(path: Path, max_bytes: int = 1 << 20) -> dict[str, Any]:
    return read_json_object(path, error=ConfigError, max_bytes=max_bytes)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_sound_is_one_error_that_names_the_origin_and_the_reason(case: str):
    data, reason = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        parse(data)
    assert str(caught.value).startswith("notes.json is not valid JSON for minibert: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("cut", [b"", b'"', b"\\"])
@pytest.mark.parametrize("filling", [b"a", b"\\\\", b'\\"', b"["])
def test_a_megabyte_of_string_without_an_end_is_read_in_linear_time(filling: bytes, cut: bytes):
    with pytest.raises(ConfigError):
        parse(b'{"a":"' + filling * (1 << 19) + cut)


def test_64_levels_are_read():
    assert parse(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}")


def test_brackets_inside_strings_do_not_count_as_levels():
    assert parse(b'{"a\\"[":"' + b"[" * 2_000 + b'\\\\"}') == {'a"[': "[" * 2_000 + "\\"}


def test_a_pair_of_surrogates_is_one_character():
    assert parse(rb'{"a":"\ud83d\ude00"}') == {"a": "😀"}


def test_a_number_of_400_digits_is_read_exactly():
    assert parse(b'{"a":' + b"7" * 400 + b"}") == {"a": int("7" * 400)}


def test_minus_zero_is_no_whole_number():
    assert type(parse(b'{"a":-0}')["a"]) is float


def test_the_same_key_in_two_objects_is_sound():
    assert parse(b'{"a":{"b":1},"c":{"b":2}}') == {"a": {"b": 1}, "c": {"b": 2}}


@settings(deadline=None)
@given(value=VALUES, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 2))
def test_sound_json_is_read_as_the_standard_library_reads_it(value: Any, ascii_only: bool, indent: int | None):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse_json(text.encode(), "notes.json", error=ConfigError) == json.loads(text)


@settings(deadline=None)
@given(data=st.binary() | st.text(alphabet='{}[]":,\\ue1-.0 \ud7ff😀').map(str.encode))
def test_any_bytes_end_as_a_value_or_as_our_error(data: bytes):
    try:
        found = parse_json(data, "notes.json", error=ConfigError)
    except ConfigError:
        return
    assert found == json.loads(data)


def test_a_file_is_read(tmp_path: Path):
    (tmp_path / "notes.json").write_bytes(b'{"a": 1}')
    assert read(tmp_path / "notes.json") == {"a": 1}


def test_errors_are_of_the_kind_asked_for_and_name_the_file(tmp_path: Path):
    class OwnError(MinibertError):
        pass

    (tmp_path / "notes.json").write_bytes(b"[")
    with pytest.raises(OwnError, match=r"notes\.json"):
        read_json_object(tmp_path / "notes.json", error=OwnError)


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"notes\.json does not exist"):
        read(tmp_path / "notes.json")


def test_a_folder_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="not a regular file"):
        read(tmp_path)


def test_a_file_below_a_file_is_an_error(tmp_path: Path):
    (tmp_path / "notes.json").write_bytes(b"{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "notes.json" / "more.json")


@pytest.mark.parametrize("name", ["notes\0.json", "n" * 5_000])
def test_an_impossible_path_is_an_error(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / name)


def test_a_pipe_that_nobody_writes_to_is_an_error_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "notes.json")
    with pytest.raises(ConfigError, match="not a regular file"):
        read(tmp_path / "notes.json")


def test_an_endless_device_is_an_error_at_once():
    with pytest.raises(ConfigError, match="not a regular file"):
        read(Path("/dev/zero"))


def test_a_sparse_file_of_a_terabyte_is_an_error_before_it_is_read(tmp_path: Path):
    (tmp_path / "notes.json").touch()
    os.truncate(tmp_path / "notes.json", 1 << 40)
    with pytest.raises(ConfigError, match=r"1,099,511,627,776 bytes, over the limit"):
        read(tmp_path / "notes.json", max_bytes=64 << 20)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path):
    (tmp_path / "notes.json").write_bytes(b"{}")
    assert read(tmp_path / "notes.json", max_bytes=2) == {}


def test_too_little_memory_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    (tmp_path / "notes.json").write_bytes(b"{}")
    monkeypatch.setattr("minibert.strict_json.json.loads", full)
    with pytest.raises(ConfigError, match=r"notes\.json needs more memory than is left"):
        read(tmp_path / "notes.json")
    monkeypatch.setattr(Path, "read_bytes", full)
    with pytest.raises(ConfigError, match=r"notes\.json has more bytes than memory is left for"):
        read(tmp_path / "notes.json")
