"""Files of words with tags: their sentences, their schemes, and what each broken one is told."""

import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import InputError
from minibert.training.data import TaggedSentence, read_tagged
from minibert.training.data.tag_schemes import TagLine, to_iob2

CONLL_2003 = """-DOCSTART- -X- -X- O

U.N. NNP I-NP I-ORG
official NN I-NP O
Ekeus NNP I-NP I-PER
heads VBZ I-VP O
. . O O

-DOCSTART- -X- O O

Baghdad NNP I-NP I-LOC
Basra NNP B-NP B-LOC
"""


def read(path: Path, content: str | bytes, **options) -> list[TaggedSentence]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_tagged(path, **options)


def refusal(path: Path, content: str | bytes, **options) -> str:
    with pytest.raises(InputError) as problem:
        read(path, content, **options)
    message = str(problem.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def converted(*sentences: str) -> list[str]:
    """Sentences of tags, parted by spaces, in IOB2."""
    numbered = [[TagLine(line, tag) for line, tag in enumerate(each.split(), start=1)] for each in sentences]
    return [" ".join(each) for each in to_iob2(numbered, "a.conll")]


def scheme_refusal(*sentences: str) -> str:
    with pytest.raises(InputError) as problem:
        converted(*sentences)
    return str(problem.value).removeprefix("a.conll, ")


def test_conll_2003_as_published_becomes_iob2(tmp_path: Path):
    path = tmp_path / "eng.train"
    assert read(path, CONLL_2003) == [
        TaggedSentence(f"{path}, line 3", ("U.N.", "official", "Ekeus", "heads", "."), ("B-ORG", "O", "B-PER", "O", "O")),
        TaggedSentence(f"{path}, line 11", ("Baghdad", "Basra"), ("B-LOC", "B-LOC")),
    ]


def test_columns_are_chosen_from_the_front_or_the_back(tmp_path: Path):
    assert read(tmp_path / "a", CONLL_2003, tag_column=1)[1].tags == ("NNP", "NNP")
    assert read(tmp_path / "a", CONLL_2003, tag_column=-2)[1].tags == ("B-NP", "B-NP")
    swapped = "O a\nB-X b\n"
    assert read(tmp_path / "a", swapped, token_column=1, tag_column=0)[0][1:] == (("a", "b"), ("O", "B-X"))


def test_a_file_to_predict_needs_no_tags(tmp_path: Path):
    assert [each[1:] for each in read(tmp_path / "a", "a\nb\n\nc\n", has_tags=False)] == [(("a", "b"), None), (("c",), None)]
    assert read(tmp_path / "a", "a X-Y\nb I-B\n", has_tags=False)[0][1:] == (("a", "b"), None)


def test_tabs_and_spaces_part_columns_and_no_other_space_does(tmp_path: Path):
    content = "\ufeffa\tO\nb  \t O \n\u00a0 O\nc\u3000d O\n\u2028 O\n \t\n\n\ne O"
    sentences = read(tmp_path / "a", content)
    assert [each.words for each in sentences] == [("a", "b", "\u00a0", "c\u3000d", "\u2028"), ("e",)]
    assert sentences[1].place.endswith(", line 9")


@pytest.mark.parametrize("content", ["a O\nb O\n\nc O", "a O\r\nb O\r\n\r\nc O\r\n", "\n\na O\nb O\n\n\n\nc O\n\n"])
def test_line_ends_and_empty_lines_change_no_sentence(content, tmp_path: Path):
    assert [each.words for each in read(tmp_path / "a", content)] == [("a", "b"), ("c",)]


@pytest.mark.parametrize(
    "tags",
    ["O O", "B-X I-X O B-X", "B-X B-X I-X B-Y I-Y", "O B-X", "B-x-y I-x-y", "NN VBZ .", "B I O", "X-PER O", "E-X S-X", "-LRB- O"],
)
def test_iob2_and_tags_of_no_entities_pass_untouched(tags):
    assert converted(tags) == [tags]


@pytest.mark.parametrize(
    ("iob1", "iob2"),
    [
        ("I-X I-X O I-X", "B-X I-X O B-X"),
        ("I-X I-Y I-Y", "B-X B-Y I-Y"),
        ("I-X B-X I-X", "B-X B-X I-X"),
        ("O I-X B-X I-Y O", "O B-X B-X B-Y O"),
    ],
)
def test_iob1_becomes_iob2(iob1, iob2):
    assert converted(iob1) == [iob2]


def test_an_entity_ends_with_its_sentence():
    assert converted("O I-X", "I-X I-X") == ["O B-X", "B-X I-X"]


@pytest.mark.parametrize(
    ("sentences", "said"),
    [
        (
            ("B-X O I-X", "B-X"),
            "line 3: the tag is 'I-X' after 'O', but 2 entities of this file begin by IOB2, as 'B-X' in line 1;",
        ),
        (("B-PER I-LOC",), "line 2: the tag is 'I-LOC' after 'B-PER', but 1 entities"),
        (
            ("I-X O I-X O B-Y",),
            "line 5: the tag is 'B-Y' after 'O', but 2 entities of this file begin by IOB1, as 'I-X' in line 1;",
        ),
        (("B-X O X-PER",), "line 3: the tag is 'X-PER'; expected O, B-TYPE or I-TYPE"),
        (("B-X I-X B-",), "line 3: the tag is 'B-'; expected"),
        (("B-",), "line 1: the tag is 'B-'; expected"),
        (("O I-",), "line 2: the tag is 'I-'; expected"),
        (("b-per i-per O",), "line 1: the tag is 'b-per'; expected"),
        (("B-X o",), "line 2: the tag is 'o'; expected"),
        (("B-X E-X S-X",), "line 2: the tag is 'E-X'; expected O, B-TYPE or I-TYPE (IOB2 or IOB1)"),
        (("B-X NN",), "line 2: the tag is 'NN'; expected"),
        (("B-X B",), "line 2: the tag is 'B'; expected"),
    ],
)
def test_tags_of_no_scheme_are_told_the_first_line(sentences, said):
    assert scheme_refusal(*sentences).startswith(said)


def test_the_message_says_what_tag_was_expected():
    assert scheme_refusal("B-PER I-LOC", "B-X").endswith("; expected 'B-LOC' here, or one scheme in the whole file")
    assert scheme_refusal("I-X O I-X O B-Y").endswith("; expected 'I-Y' here, or one scheme in the whole file")


Entity = tuple[str, int, int]


@st.composite
def sentences_of_entities(draw) -> tuple[int, list[Entity]]:
    """The length of a sentence, and its entities: type, first word, and the word behind the last."""
    entities, place = [], 0
    for _ in range(draw(st.integers(0, 5))):
        place += draw(st.integers(0, 2))
        length = draw(st.integers(1, 3))
        entities.append((draw(st.sampled_from("XY")), place, place + length))
        place += length
    return place + draw(st.integers(1, 2)), entities


def written(length: int, entities: list[Entity], scheme: str) -> str:
    tags = ["O"] * length
    for number, (kind, first, end) in enumerate(entities):
        tags[first:end] = [f"I-{kind}"] * (end - first)
        next_to_its_kind = number > 0 and entities[number - 1][::2] == (kind, first)
        if scheme == "IOB2" or next_to_its_kind:
            tags[first] = f"B-{kind}"
    return " ".join(tags)


@given(sentences=st.lists(sentences_of_entities(), min_size=1, max_size=4))
def test_the_same_entities_are_the_same_tags_in_both_schemes(sentences):
    iob2 = [written(*each, "IOB2") for each in sentences]
    assert converted(*iob2) == iob2
    assert converted(*(written(*each, "IOB1") for each in sentences)) == iob2


@given(tags=st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), min_size=1, max_size=8))
def test_any_tags_come_out_as_iob2_or_are_refused(tags):
    try:
        (result,) = converted(" ".join(tags))
    except InputError:
        return
    before = "O"
    for old, new in zip(tags, result.split(), strict=True):
        assert old[1:] == new[1:] or old == new
        assert not new.startswith("I-") or before[1:] == new[1:]
        before = new


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a O\nb O O\n", ", line 2: it has 3 columns, line 1 has 2; expected as many"),
        ("a O\n\nb\n", ", line 3: it has 1 column, line 1 has 2"),
        ("a O\n\tO\n", ", line 2: it has 1 column, line 1 has 2"),
        (
            "-DOCSTART- O\n\na\nb\n",
            ", line 3: it has 1 column; expected a word and its tag",
        ),
        ("a B-X\nb I-Y\n", ", line 2: the tag is 'I-Y' after 'B-X'"),
        ("a O\rb O\n", ", line 1: it holds a carriage return"),
        ("a O\rb O\r", ", line 1: it holds a carriage return"),
        (b"a O\n\xe9 O\n", " is not UTF-8 at byte 4, in line 2"),
        (b"a O\n\0 O\n", " holds a NUL at byte 4, in line 2"),
        ("", " has no sentence; expected a word a line"),
        ("\n \n-DOCSTART- O\n", " has no sentence; expected a word a line"),
    ],
)
def test_a_broken_file_is_told_its_line(content, said, tmp_path: Path):
    assert refusal(tmp_path / "a.conll", content).startswith(said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tag_column": 2}, ", line 1: it has 2 columns and tag_column is 2; expected one of 0 to 1, or of -2 to -1"),
        ({"token_column": -3}, ", line 1: it has 2 columns and token_column is -3; expected"),
        ({"token_column": 1}, ", line 1: token_column and tag_column are both column 1 of 2"),
        ({"token_column": 5, "has_tags": False}, ", line 1: it has 2 columns and token_column is 5"),
    ],
)
def test_a_column_that_is_not_there_is_refused(options, said, tmp_path: Path):
    assert refusal(tmp_path / "a.conll", "a O\n", **options).startswith(said)


def test_a_column_is_a_whole_number(tmp_path: Path, without_shape_checks):
    (tmp_path / "a").write_text("a O\n")
    for column in (True, "1", 0.0):
        with pytest.raises(InputError, match="tag_column is .*; expected a whole number"):
            read_tagged(tmp_path / "a", tag_column=column)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="absent does not exist"):
        read_tagged(tmp_path / "absent")
