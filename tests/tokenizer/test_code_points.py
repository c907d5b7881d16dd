import unicodedata
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer.code_points import CharacterTable, CodePoints, read_case_table
from minibert.tokenizer.unicode_tables import google, hf


def test_ranges_hold_both_ends_and_nothing_beside_them():
    table = CodePoints("41-43 61")
    assert [code_point for code_point in range(0x100) if code_point in table] == [0x41, 0x42, 0x43, 0x61]


def test_a_code_point_below_the_first_range_is_not_in_it():
    assert 0 not in CodePoints("41-43")


def test_case_rows_step_and_may_go_downwards():
    assert read_case_table("100-104:2:1 1E9E:1:-1DBF") == {0x100: "ā", 0x102: "ă", 0x104: "ą", 0x1E9E: "ß"}


@pytest.mark.parametrize("unicode_tables", [hf, google])
def test_every_table_is_sorted_without_overlap(unicode_tables: ModuleType):
    for name in ("DROPPED", "WHITESPACE", "CJK", "DECOMPOSED", "ORDERED", "NONSPACING_MARKS", "PUNCTUATION"):
        ends = [end for ends in CodePoints(getattr(unicode_tables, name)).ranges for end in ends]
        assert ends == sorted(ends), name


@pytest.mark.parametrize("unicode_tables", [hf, google])
def test_the_interpreter_knows_every_decomposition_that_is_asked_of_it(unicode_tables: ModuleType):
    decomposed = CodePoints(unicode_tables.DECOMPOSED)
    for first, last in decomposed.ranges:
        for code_point in range(first, last + 1):
            assert unicodedata.normalize("NFD", chr(code_point)) != chr(code_point), hex(code_point)


@pytest.mark.parametrize("unicode_tables", [hf, google])
def test_the_interpreter_knows_every_combining_class_that_is_asked_of_it(unicode_tables: ModuleType):
    for first, last in CodePoints(unicode_tables.ORDERED).ranges:
        for code_point in range(first, last + 1):
            assert unicodedata.combining(chr(code_point)), hex(code_point)


@given(st.text())
def test_a_character_table_translates_as_its_function_does(text: str):
    table = CharacterTable(lambda character: character * 2)
    assert text.translate(table) == "".join(character * 2 for character in text)


def test_characters_from_the_bound_on_are_not_kept_in_memory():
    table = CharacterTable(lambda character: character, keep_below=0x100)
    assert "aā😀".translate(table) == "aā😀"
    assert list(table) == [ord("a")]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
def test_a_union_holds_what_its_parts_hold(spans: list[tuple[int, int]]):
    parts = [CodePoints(f"{first:X}-{first + length:X}") for first, length in spans]
    union = CodePoints.union(*parts)
    assert [code for code in range(80) if code in union] == [code for code in range(80) if any(code in part for part in parts)]
    ends = [end for ends in union.ranges for end in ends]
    assert ends == sorted(ends)
