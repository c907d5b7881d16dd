"""Questions of SQuAD's form: versions 1.1 and 2.0, and what each broken entry is told."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minibert.training.data.squad as squad
from minibert import InputError
from minibert.training.data import Answer, Question, read_questions

CONTEXT = "Ann met Ben. Then Ben met Ann in 漢字 🚀 town."
WHERE = "data[0].paragraphs[0].qas[0]"


def entry(**changes: Any) -> dict[str, Any]:
    return {"id": "q1", "question": "Who met Ben?", "answers": [{"text": "Ann", "answer_start": 0}]} | changes


def document(*entries: dict[str, Any], context: Any = CONTEXT) -> dict[str, Any]:
    return {"version": "1.1", "data": [{"title": "People", "paragraphs": [{"context": context, "qas": list(entries)}]}]}


def read(path: Path, value: Any) -> list[Question]:
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return read_questions(path)


def refusal(path: Path, value: Any) -> str:
    with pytest.raises(InputError) as problem:
        read(path, value)
    message = str(problem.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_questions_of_version_1_1_have_all_their_answers(tmp_path: Path):
    path = tmp_path / "dev.json"
    answers = [{"text": "Ann", "answer_start": 26}, {"text": "🚀 town", "answer_start": 36}, {"text": "Ann", "answer_start": 26}]
    assert read(path, document(entry(answers=answers))) == [
        Question(
            f"{path}, question q1", "q1", "Who met Ben?", CONTEXT, (Answer("Ann", 26), Answer("🚀 town", 36), Answer("Ann", 26))
        )
    ]


def test_questions_of_version_2_0_may_have_no_answer(tmp_path: Path):
    plausible = {"is_impossible": True, "answers": [], "plausible_answers": [{"text": "Zoe", "answer_start": 99}]}
    entries = [
        entry(is_impossible=False),
        entry(id="q2", **plausible),
        entry(id="q3", answers=[]),
        {"id": "q4", "question": "?", "is_impossible": True},
    ]
    questions = read(tmp_path / "a.json", document(*entries))
    assert [each.answers for each in questions] == [(Answer("Ann", 0),), (), (), ()]


def test_questions_to_predict_have_no_key_for_answers(tmp_path: Path):
    without = [{"id": "q1", "question": "?"}, {"id": "q2", "question": "?", "is_impossible": False}]
    assert [each.answers for each in read(tmp_path / "a.json", document(*without))] == [None, None]


def test_questions_of_several_articles_come_in_their_order(tmp_path: Path):
    paragraphs = [{"context": name, "qas": [{"id": name, "question": "?"}]} for name in "abcd"]
    value = {"data": [{"paragraphs": paragraphs[:3]}, {"paragraphs": []}, {"paragraphs": paragraphs[3:]}]}
    assert [(each.id, each.context) for each in read(tmp_path / "a.json", value)] == [(name, name) for name in "abcd"]


def test_a_byte_order_mark_is_left_out(tmp_path: Path):
    assert len(read(tmp_path / "a.json", b"\xef\xbb\xbf" + json.dumps(document(entry())).encode())) == 1


@given(context=st.text("ab \u0301é漢🚀", min_size=1, max_size=30).filter(str.strip), data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_piece_of_a_context_is_an_answer_and_moved_by_one_it_is_told_where_it_is(context, data, tmp_path: Path):
    start = data.draw(st.integers(0, len(context) - 1))
    text = context[start : data.draw(st.integers(start + 1, len(context)))]
    if not text.strip():
        return

    def made(place: int) -> dict[str, Any]:
        return document(entry(answers=[{"text": text, "answer_start": place}]), context=context)

    assert read(tmp_path / "a.json", made(start))[0].answers == (Answer(text, start),)
    if not context.startswith(text, start + 1):
        message = refusal(tmp_path / "a.json", made(start + 1))
        told = int(message.split("which is at ")[1].split(";")[0])
        assert context.startswith(text, told)
        # As near as any.
        places = [place for place in range(len(context)) if context.startswith(text, place)]
        assert min(abs(place - start - 1) for place in places) == abs(told - start - 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"text": "Ben", "answer_start": 9},
            "the context has 'en.' at answer_start 9, not the answer 'Ben', which is at 8; expected that number of characters",
        ),
        ({"text": "Ben", "answer_start": 17}, "the context has ' Be' at answer_start 17, not the answer 'Ben', which is at 18;"),
        (
            {"text": "Ben", "answer_start": 900},
            "the context has no character at answer_start 900, not the answer 'Ben', which is at 18",
        ),
        (
            {"text": "Ben", "answer_start": -1},
            "the context has no character at answer_start -1, not the answer 'Ben', which is at 8",
        ),
        (
            {"text": ".", "answer_start": -1},
            "the context has no character at answer_start -1, not the answer '.', which is at 11",
        ),
        (
            {"text": "ann", "answer_start": 0},
            "the context has 'Ann' at answer_start 0, not the answer 'ann', which it does not have",
        ),
        ({"text": "", "answer_start": 0}, "text is empty; expected a text"),
        ({"text": "Ann", "answer_start": "0"}, "answer_start is '0'; expected a whole number"),
        ({"text": "Ann", "answer_start": True}, "answer_start is True; expected a whole number"),
        ({"text": "Ann", "answer_start": 0.0}, "answer_start is 0.0; expected a whole number"),
        ({"text": 5, "answer_start": 0}, "text is 5; expected a string"),
        ({"text": "Ann"}, "the key answer_start is missing; expected a whole number there"),
        ({"answer_start": 0}, "the key text is missing; expected a string there"),
        ("Ann", "it is 'Ann'; expected an object with the key text"),
    ],
)
def test_an_answer_that_is_not_in_its_place_is_told_by_id_and_path(answer, said, tmp_path: Path):
    answers = [{"text": "Ann", "answer_start": 0}, answer]
    message = refusal(tmp_path / "a.json", document(entry(answers=answers)))
    assert message.startswith(f", question q1 ({WHERE}), answers[1]: {said}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": " "}, f", question q1 ({WHERE}): question is empty; expected a text"),
        ({"question": None}, f", question q1 ({WHERE}): question is None; expected a string"),
        ({"id": 7}, f", {WHERE}: id is 7; expected a string"),
        ({"id": ""}, f", {WHERE}: id is empty"),
        ({"answers": {"text": "Ann"}}, f", question q1 ({WHERE}): answers is {{'text': 'Ann'}}; expected a list"),
        ({"answers": None}, f", question q1 ({WHERE}): answers is None; expected a list"),
        ({"is_impossible": "false"}, f", question q1 ({WHERE}): is_impossible is 'false'; expected true or false"),
        ({"is_impossible": True}, f", question q1 ({WHERE}): is_impossible is true, but it has the answer 'Ann'; expected none"),
        ({"is_impossible": False, "answers": []}, f", question q1 ({WHERE}): is_impossible is false and answers is empty"),
    ],
)
def test_a_broken_entry_is_told_by_id_and_path(changes, said, tmp_path: Path):
    assert refusal(tmp_path / "a.json", document(entry(**changes))).startswith(said)


@pytest.mark.parametrize("key", ["data", "paragraphs", "context", "qas", "id", "question"])
def test_a_missing_key_is_told_by_its_path(key, tmp_path: Path):
    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(each) for each in value]
        return {name: without(inner) for name, inner in value.items() if name != key} if isinstance(value, dict) else value

    where = {
        "data": ": ",
        "paragraphs": ", data[0]: ",
        "context": ", data[0].paragraphs[0]: ",
        "qas": ", data[0].paragraphs[0]: ",
        "id": f", {WHERE}: ",
        "question": f", question q1 ({WHERE}): ",
    }
    message = refusal(tmp_path / "a.json", without(document(entry())))
    assert message.startswith(f"{where[key]}the key {key} is missing; expected a")


def test_an_id_given_twice_is_told_both_places(tmp_path: Path):
    message = refusal(tmp_path / "a.json", document(entry(), entry(id="q2"), entry(question="Again?")))
    assert message == f", question q1 (data[0].paragraphs[0].qas[2]): the id is that of {WHERE} as well; expected one of its own"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], " is not valid JSON for minibert: expected an object, found list"),
        ({"data": {}}, ": data is {}; expected a list"),
        ({"data": ["a"]}, ", data[0]: it is 'a'; expected an object with the key paragraphs"),
        ({"data": [{"paragraphs": [7]}]}, ", data[0].paragraphs[0]: it is 7; expected an object"),
        ({"data": []}, " has no question; expected some in data"),
        (document(), " has no question; expected some in data"),
        (document(entry(), context=""), ", data[0].paragraphs[0]: context is empty; expected a text"),
        (document(entry(), context=["a"]), ", data[0].paragraphs[0]: context is ['a']; expected a string"),
        (document("why?"), f", {WHERE}: it is 'why?'; expected an object with the key id"),
        (b'{"data": [], "data": []}', " is not valid JSON for minibert: the key 'data' is given twice"),
        (b'{"data": [NaN]}', " is not valid JSON for minibert: the value NaN"),
        (b'{"data": "\xff"}', " is not valid JSON for minibert: byte 10 is not UTF-8"),
        (b'{"data": \n [}', " is not valid JSON for minibert: Expecting value at line 2, column 3"),
        (b"", " is empty; expected questions in SQuAD's form"),
    ],
)
def test_what_is_no_file_of_questions_is_told(value, said, tmp_path: Path):
    assert refusal(tmp_path / "a.json", value).startswith(said)


def paths_of(value: Any) -> list[tuple[Any, ...]]:
    """The way to every value within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, *rest) for key, below in inner for rest in [(), *paths_of(below)]]


@pytest.mark.parametrize("path_within", paths_of(document(entry(is_impossible=False))), ids=str)
@pytest.mark.parametrize("other", [None, 3, "", [], {}, "text"], ids=str)
def test_any_value_replaced_is_questions_or_one_sentence(path_within, other, tmp_path: Path):
    value = copy.deepcopy(document(entry(is_impossible=False)))
    within: Any = value
    for key in path_within[:-1]:
        within = within[key]
    within[path_within[-1]] = other
    try:
        assert read(tmp_path / "a.json", value)
    except InputError as problem:
        assert "\n" not in str(problem)


def test_an_id_of_odd_characters_does_not_break_the_message(tmp_path: Path):
    message = refusal(tmp_path / "a.json", document(entry(id="a\nb" + "c" * 500, question="")))
    assert message.startswith(", question 'a\\nbccc")
    assert len(message) < 500


def test_pipes_and_files_over_the_limit_are_refused(tmp_path: Path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="pipe.json is not a regular file"):
        read_questions(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="absent.json does not exist"):
        read_questions(tmp_path / "absent.json")
    monkeypatch.setattr(squad, "MAX_SQUAD_BYTES", 20)
    assert "over the limit of 20" in refusal(tmp_path / "a.json", document(entry()))


def test_where_a_file_has_lines_a_question_is_named_by_its_line_too(tmp_path: Path):
    bad = entry(id="q2", answers=[{"text": "Ann", "answer_start": 1}])
    text = json.dumps(document(entry(), bad), indent=1)
    line = text[: text.index('"q2"')].count("\n") + 1
    assert refusal(tmp_path / "dev.json", text.encode()).startswith(f", line {line}, question q2 (data[0].paragraphs[0].qas[1])")
    # Articles with ids of their own make it unsure which is which.
    with_ids = document(entry(), bad)
    with_ids["data"][0]["id"] = "article"
    assert refusal(tmp_path / "dev.json", json.dumps(with_ids, indent=1).encode()).startswith(", question q2 (")


def test_answers_that_nobody_asks_for_are_not_looked_at(tmp_path: Path):
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(document(entry(answers=[{"text": "Zoe", "answer_start": 0}]))))
    (question,) = read_questions(path, has_answers=False)
    assert question.answers is None


def test_an_empty_file_and_a_table_are_no_questions(tmp_path: Path):
    assert refusal(tmp_path / "dev.json", b" \n") == " is empty; expected questions in SQuAD's form"
    assert refusal(tmp_path / "dev.tsv", b"text\tlabel") == " is no file of questions; expected the .json of SQuAD's form"
