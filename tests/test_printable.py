"""What is sent to terminals and files: no control characters, no NaN in JSON."""

import json
import math

import pytest

from minibert.printable import printable, printable_json


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x9b", "\ud800", "\udfff", "\uffff"])
def test_what_no_terminal_and_no_file_takes_becomes_a_replacement(character: str):
    assert printable(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("text", ["two\tcolumns\nand lines", "漢字", "👩‍👧", "é"])
def test_all_other_text_stays(text: str):
    assert printable(text) == text


def test_json_is_strict_however_deep_the_number_lies():
    written = printable_json({"rows": [(1.5, math.nan), {"largest": math.inf, "name": "a\ud800"}], "none": None})
    assert json.loads(written) == {"rows": [[1.5, None], {"largest": None, "name": "a\ufffd"}], "none": None}
    assert written.encode().endswith(b"\n")
