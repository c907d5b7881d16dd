import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.tokenizer.flavors import flavor_named
from minibert.tokenizer.normalization import AlignedText, Normalizer


def normalizer(flavor: str = "hf", *, space_cjk: bool = True, strip_accents: bool, lower_case: bool) -> Normalizer:
    return Normalizer(flavor_named(flavor), space_cjk=space_cjk, strip_accents=strip_accents, lower_case=lower_case)


UNCASED = normalizer(strip_accents=True, lower_case=True)
CASED = normalizer(strip_accents=False, lower_case=False)
GOOGLE = normalizer("google", strip_accents=True, lower_case=True)
# Letters and marks that Unicode 9.0 has, where the frozen tables and every interpreter agree.
OLD_TEXT = st.text(st.sampled_from("aZé한ǖḯͅ 漢\u0300\u0301\u0316\u0323\u0327\u0334\u0345\u05b0\u064b\u302e\u0f71\u0f72"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Élan vital", "elan vital"),
        ("ÅNGSTRÖM", "angstrom"),
        ("Straße", "straße"),
        ("İstanbul", "istanbul"),
        ("\u1e9e", "ß"),
        ("가", "\u1100\u1161"),
    ],
)
def test_uncased_text_loses_accents_and_capitals(text: str, expected: str):
    assert UNCASED(text) == expected


def test_a_final_sigma_becomes_the_ordinary_one():
    assert UNCASED("ΟΔΟΣ") == "οδοσ"


def test_cased_text_keeps_accents_and_capitals():
    assert CASED("Élan ÅNG\u0301") == "Élan ÅNG\u0301"


def test_accents_can_be_stripped_without_lower_casing():
    assert normalizer(strip_accents=True, lower_case=False)("Élan") == "Elan"


def test_lower_casing_without_stripping_keeps_the_dot_of_a_turkish_capital():
    assert normalizer(strip_accents=False, lower_case=True)("İ") == "i\u0307"


@pytest.mark.parametrize("control", ["\0", "\x0b", "\x0c", "\x1f", "\x85", "\xad", "\u200b", "\u200d", "\ufeff", "\ufffd"])
def test_controls_vanish_and_join_what_stood_beside_them(control: str):
    assert CASED(f"a{control}b") == "ab"


@pytest.mark.parametrize("space", ["\t", "\n", "\r", "\xa0", "\u1680", "\u2003", "\u2028", "\u202f", "\u3000"])
def test_whitespace_becomes_a_space(space: str):
    assert CASED(f"a{space}b") == "a b"


@pytest.mark.parametrize("ideograph", ["漢", "\u3400", "\uf900", "\U00020000", "\U0002ceaf", "\U0002fa1f"])
def test_ideographs_get_spaces_on_both_sides(ideograph: str):
    assert CASED(f"a{ideograph}b") == f"a {ideograph} b"


def test_the_first_ideographs_of_extension_e_get_no_spaces_as_in_the_library():
    assert CASED("a\U0002b820b\U0002b920c") == "a\U0002b820b \U0002b920 c"


def test_ideographs_can_be_left_without_spaces():
    assert normalizer(space_cjk=False, strip_accents=False, lower_case=False)("a漢b") == "a漢b"


def test_kana_and_hangul_get_no_spaces():
    assert CASED("カナ한글") == "カナ한글"


def decompose(text: str) -> str:
    return UNCASED.decompose(AlignedText(text, range(len(text)))).text


def test_a_character_newer_than_the_frozen_tables_is_not_decomposed():
    assert decompose("\U00011938") == "\U00011938"


@given(OLD_TEXT)
def test_decomposition_is_normalisation_form_d(text: str):
    assert decompose(text) == unicodedata.normalize("NFD", text)


def test_a_long_run_of_marks_is_ordered_without_quadratic_work():
    # unicodedata.normalize needs several seconds for a tenth of this, and minutes for all of it.
    text = "a" + "\u0300\u0316" * 400_000
    assert decompose(text) == "a" + "\u0316" * 400_000 + "\u0300" * 400_000


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_normalised_text_has_no_whitespace_but_the_space(text: str):
    assert not set(UNCASED(text)) & set("\t\n\r\x0b\x0c\x85\xa0\u2028\u3000")


@pytest.mark.parametrize(
    ("text", "normalised", "sources"),
    [
        ("a\0\0b", "ab", [0, 3]),
        ("x漢y", "x 漢 y", [0, 1, 1, 1, 2]),
        ("É\u0301z", "ez", [0, 2]),
        ("가b", "\u1100\u1161b", [0, 0, 1]),
        ("\u0301a", "a", [1]),
        # What sorting marks does to sources: the n-th stays with the n-th.
        ("é\u302e\u0334z", "e\u302ez", [0, 2, 3]),
        ("\U0001d165\U0001d16d\u302ez", "\U0001d165\u302e\U0001d16dz", [0, 1, 2, 3]),
    ],
)
def test_every_character_knows_where_it_comes_from(text: str, normalised: str, sources: list[int]):
    found = UNCASED.fold(UNCASED.clean(AlignedText(text, range(len(text)))))
    assert (found.text, list(found.sources)) == (normalised, sources)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_sources_never_go_back(text: str):
    for each in (UNCASED, CASED, GOOGLE):
        found = each.fold(each.clean(AlignedText(text, range(len(text)))))
        assert len(found.text) == len(found.sources)
        assert list(found.sources) == sorted(found.sources)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ΟΔΟΣ", "οδος"),
        ("ΟΔΟΣ ΟΔΟΣ.", "οδος οδος."),
        ("Σ", "σ"),
        ("ΑΣΑ", "ασα"),
        ("Α'Σ'", "α'ς'"),
        ("ΑΣ'Α", "ασ'α"),
        ("ΑΣΣ", "ασς"),
        ("İ", "i"),
    ],
)
def test_the_original_gives_a_sigma_at_a_words_end_its_own_form(text: str, expected: str):
    assert GOOGLE(text) == expected


@pytest.mark.parametrize("private", ["\ue000", "\U000f0000", "\U0010fffd"])
def test_the_original_keeps_private_characters(private: str):
    assert (GOOGLE(f"a{private}b"), UNCASED(f"a{private}b")) == (f"a{private}b", "ab")
