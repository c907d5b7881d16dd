"""What is looked at before training: something to learn, labels that training knows, no swallowed rows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import InputError
from minibert.training.data import (
    Answer,
    Columns,
    Label,
    Question,
    TaggedSentence,
    TextExample,
    check_examples,
    check_known,
    check_training,
    labels_of,
    read_tagged,
    read_texts,
)


def texts(*labels: Label | None) -> list[TextExample]:
    return [TextExample(f"a.tsv, line {number}", "a text", None, label) for number, label in enumerate(labels, start=2)]


def tagged(*sentences: str) -> list[TaggedSentence]:
    return [
        TaggedSentence(f"a.conll, line {number}", tuple("w" * len(each.split())), tuple(each.split()))
        for number, each in enumerate(sentences, start=1)
    ]


def question(answers: tuple[Answer, ...] | None) -> Question:
    return Question("a.json, question q", "q", "?", "context", answers)


def refusal(check, *arguments) -> str:
    with pytest.raises(InputError) as problem:
        check(*arguments)
    assert "\n" not in str(problem.value)
    return str(problem.value)


@pytest.mark.parametrize(
    "examples",
    [
        texts("a", "b"),
        texts(1.0, 1.5),
        texts((), ("a",)),
        tagged("O O", "O B-X"),
        [question((Answer("context", 0),))],
        [question(()), question((Answer("context", 0),))],
    ],
)
def test_examples_that_differ_can_be_learnt(examples):
    check_training(examples)


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        (texts("a", "a", "a"), "all of its 3 rows have the label 'a'; expected two different ones at least"),
        (texts("a"), "all of its 1 row have the label 'a'"),
        (texts(2.5, 2.5), "all of its 2 rows have the label 2.5"),
        (texts(("a", "b"), ("a", "b")), "all of its 2 rows have the label ('a', 'b')"),
        (texts((), ()), "all of its 2 rows have the label ()"),
        (tagged("O O", "O"), "all of its 3 words have the tag 'O'"),
        ([question(())] * 2, "none of its 2 questions has an answer"),
    ],
)
def test_a_file_of_which_nothing_can_be_learnt_is_refused(examples, said):
    assert refusal(check_training, examples, "train.tsv").startswith(f"train.tsv: {said}")


def test_no_examples_are_refused():
    assert refusal(check_training, [], "train.tsv") == "train.tsv has no example; expected at least one"
    assert refusal(check_examples, [], "dev.tsv") == "dev.tsv has no example; expected at least one"


def test_an_example_without_a_label_is_refused_by_its_place():
    assert refusal(check_training, texts("a", "b", None)).startswith("a.tsv, line 4: it has no label")
    assert refusal(check_training, [TaggedSentence("a, line 1", ("w",), None)]).startswith("a, line 1: it has no tag")
    assert refusal(check_training, [question(None)]).startswith("a.json, question q: it has no answer")


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
def test_an_empty_text_is_refused_by_its_line(text, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(f'text,text_pair,label\na,b,0\n"{text}",b,1\n')
    assert refusal(check_examples, read_texts(path)) == f"{path}, line 3: the text is empty; expected words"
    path.write_text(f'text,text_pair,label\na,b,0\na,"{text}",1\n')
    assert (
        refusal(check_training, read_texts(path, Columns(wants_pair=True)))
        == f"{path}, line 3: the second text is empty; expected words"
    )
    check_examples(read_texts(path))


@pytest.mark.parametrize("text", ["\u200b", "\u200b \u200d\ufeff", "\x01"])
def test_a_text_that_cannot_be_seen_is_refused_by_its_line(text, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(f"text,label\na,0\n{text},1\n")
    message = refusal(check_examples, read_texts(path))
    assert message == f"{path}, line 3: the text has only characters that cannot be seen, {text!a}; expected words"


def test_a_row_that_swallowed_the_file_is_refused_by_its_first_line(tmp_path: Path, without_shape_checks):
    path = tmp_path / "a.csv"
    path.write_text('text,label\ngood,0\n"open' + "\nsome words,0" * 30_000 + '\nclosed",1\n')
    assert refusal(check_training, read_texts(path)).startswith(f"{path}, line 3: the text has over 50,000 words; expected fewer")


def test_50000_words_are_allowed_and_one_more_is_not():
    check_examples([TextExample("a", "w  \n" * 50_000, None, "a")])
    assert "over 50,000 words" in refusal(check_examples, [TextExample("a", "w " * 50_001, None, "a")])
    assert "the second text has over" in refusal(check_examples, [TextExample("a", "w", "w " * 50_001, "a")])


def test_a_sentence_that_lost_its_empty_lines_is_refused(tmp_path: Path, without_shape_checks):
    path = tmp_path / "a.conll"
    path.write_text("\n" + "w O\n" * 50_000)
    check_examples(read_tagged(path))
    path.write_text("\n" + "w O\n" * 50_001)
    assert refusal(check_examples, read_tagged(path)).startswith(
        f"{path}, line 2: the sentence has 50,001 words; expected at most"
    )


def test_labels_that_training_does_not_have_are_refused_by_their_place():
    check_known(texts("b", "a", "a"), ("a", "b"))
    check_known(texts(("b", "a"), (), None), ("a", "b"))
    check_known(texts(1.0), ())
    check_known(tagged("O B-X", "O"), ("O", "B-X"))
    check_known([question(())], ())
    assert refusal(check_known, texts("good", "Bad"), ("good", "bad")) == (
        "a.tsv, line 3: the label is 'Bad', which training does not have, but 'bad' is; expected one of 'good', 'bad'"
    )
    assert refusal(check_known, texts(("a",), ("a", "c")), ("a", "b")).startswith("a.tsv, line 3: the label is 'c', which")
    assert refusal(check_known, tagged("O", "O O B-Y"), ("O", "B-X")).startswith(
        "a.conll, line 2: the tag of word 3, 'w', is 'B-Y', which training does not have"
    )


def test_labels_are_sorted_by_number_where_all_are_whole_numbers():
    assert labels_of(texts("10", "9", "-1", "9")) == ("-1", "9", "10")
    assert labels_of(texts("10", "9", "a")) == ("10", "9", "a")
    assert labels_of(texts("b", "O", "a")) == ("O", "a", "b")
    assert labels_of(texts("z", "O", "a", "B")) == ("B", "O", "a", "z")
    assert labels_of(texts("2", "1.5")) == ("1.5", "2")
    assert labels_of(texts(("b", "a"), (), ("c",))) == ("a", "b", "c")
    assert labels_of(texts(1.0, 2.0)) == labels_of([question(())]) == labels_of([]) == ()
    # int() takes no number of thousands of digits.
    assert labels_of(texts("1" * 5_000, "2")) == ("1" * 5_000, "2")


def test_of_tags_the_one_outside_comes_first():
    assert labels_of(tagged("I-X B-X O", "B-A")) == ("O", "B-A", "B-X", "I-X")
    assert labels_of(tagged("VB ADJ")) == ("ADJ", "VB")


@given(names=st.lists(st.text(min_size=1) | st.integers().map(str), min_size=1))
def test_labels_are_all_names_once_whatever_the_order_of_the_rows(names):
    labels = labels_of(texts(*names))
    assert sorted(labels) == sorted(set(names))
    assert labels == labels_of(texts(*reversed(names)))
    check_known(texts(*names), labels)
