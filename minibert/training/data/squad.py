"""Reading questions about contexts: SQuAD v1.1 and v2.0 as published (Rajpurkar et al. 2016, 2018), XQuAD."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minibert.errors import InputError, named, shown
from minibert.features.corpus.sources.lines import BYTE_ORDER_MARK
from minibert.strict_json import parse_json_object, read_regular_file
from minibert.training.data.examples import Answer, Question
from minibert.training.data.task_files import place_of

MAX_SQUAD_BYTES = 1 << 29
"""Ten times SQuAD: its JSON is read as a whole."""
_ID = re.compile(rb'"id"\s*:')
_KINDS = {str: "a string", list: "a list", dict: "an object", bool: "true or false", int: "a whole number"}


def read_questions(path: str | Path, *, has_answers: bool = True) -> list[Question]:
    """The questions of a file of SQuAD's form, each with the answers that are accepted.

    `answers` is () for a question that the context does not answer, and None where the file has no key `answers`, as where they
    are to be predicted, or where `has_answers` is False and nobody looks at them. What v2.0 calls plausible answers is left out;
    other keys are as well.

    Raises InputError, naming the file, the question's id and where it stands (`data[3].paragraphs[0].qas[2]`), for what is not
    strict JSON of this form, an id given twice, an empty context or question, and an answer that is not where its start says.
    """
    name = str(path)
    if Path(path).suffix.lower() in (".tsv", ".csv", ".jsonl"):
        raise InputError(f"{name} is no file of questions; expected the .json of SQuAD's form")
    data = read_regular_file(Path(path), error=InputError, max_bytes=MAX_SQUAD_BYTES).removeprefix(BYTE_ORDER_MARK)
    if not data.strip():
        raise InputError(f"{name} is empty; expected questions in SQuAD's form")
    document = parse_json_object(data, name, error=InputError)
    questions: list[Question] = []
    where_ids_stand: dict[str, str] = {}
    entries = list(_entries(document, name))
    lines = _lines_of_ids(data, len(entries))
    for (where, context, entry), line in zip(entries, lines, strict=True):
        question = _question(entry, context, name if line is None else place_of(name, line), where, has_answers)
        if question.id in where_ids_stand:
            raise InputError(
                f"{question.place} ({where}): the id is that of {where_ids_stand[question.id]} as well; expected one of its own"
            )
        where_ids_stand[question.id] = where
        questions.append(question)
    if not questions:
        raise InputError(f"{name} has no question; expected some in data[…].paragraphs[…].qas")
    return questions


def _lines_of_ids(data: bytes, count: int) -> list[int | None]:
    """The line of each question's id; none where all stands on one line, or other things have ids as well."""
    found = list(_ID.finditer(data))
    if len(found) != count or b"\n" not in data.strip():
        return [None] * count
    lines: list[int | None] = []
    line, end = 1, 0
    for each in found:
        line += data.count(b"\n", end, each.start())
        end = each.start()
        lines.append(line)
    return lines


def _entries(document: dict[str, Any], name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every entry of a question: where it stands, its context, and itself."""
    for article_number, article in enumerate(_value(document, "data", list, name)):
        of_article = f"data[{article_number}]"
        for number, paragraph in enumerate(_value(article, "paragraphs", list, f"{name}, {of_article}")):
            of_paragraph = f"{of_article}.paragraphs[{number}]"
            context = _text(paragraph, "context", f"{name}, {of_paragraph}")
            for place, entry in enumerate(_value(paragraph, "qas", list, f"{name}, {of_paragraph}")):
                yield f"{of_paragraph}.qas[{place}]", context, entry


def _question(entry: Any, context: str, name: str, where: str, has_answers: bool) -> Question:
    id_ = _text(entry, "id", f"{name}, {where}")
    place = f"{name}, question {named(id_)}"
    within = f"{place} ({where})"
    question = _text(entry, "question", within)
    if not has_answers:
        return Question(place, id_, question, context, None)
    answers = _answers(entry, context, within)
    impossible = _value(entry, "is_impossible", bool, within) if "is_impossible" in entry else None
    if impossible and answers:
        raise InputError(
            f"{within}: is_impossible is true, but it has the answer {shown(answers[0].text)}; expected none, or false"
        )
    if impossible is False and answers == ():
        raise InputError(f"{within}: is_impossible is false and answers is empty; expected an answer, or true")
    return Question(place, id_, question, context, () if impossible else answers)


def _answers(entry: dict[str, Any], context: str, within: str) -> tuple[Answer, ...] | None:
    if "answers" not in entry:
        return None
    answers = []
    for number, value in enumerate(_value(entry, "answers", list, within)):
        where = f"{within}, answers[{number}]"
        answer = Answer(_text(value, "text", where), _value(value, "answer_start", int, where))
        if answer.start < 0 or not context.startswith(answer.text, answer.start):
            raise InputError(f"{where}: the context {_elsewhere(answer, context)}")
        answers.append(answer)
    return tuple(answers)


def _elsewhere(answer: Answer, context: str) -> str:
    """What stands where the answer should, and where the answer stands."""
    length = len(answer.text)
    found = shown(context[answer.start : answer.start + length]) if 0 <= answer.start < len(context) else "no character"
    said = f"has {found} at answer_start {answer.start:,}, not the answer {shown(answer.text)}"
    # As near as can be before and behind the place that the file says.
    near = min(max(answer.start, 0), len(context))
    before, behind = context.rfind(answer.text, 0, near + length), context.find(answer.text, near)
    nearest = min((place for place in (before, behind) if place >= 0), key=lambda place: abs(place - near), default=None)
    if nearest is None:
        return f"{said}, which it does not have anywhere; expected a piece of the context, letter by letter"
    return f"{said}, which is at {nearest:,}; expected that number of characters before it"


def _text(of: Any, key: str, where: str) -> str:
    text: str = _value(of, key, str, where)
    if not text.strip():
        raise InputError(f"{where}: {key} is empty; expected a text")
    return text


def _value(of: Any, key: str, kind: type, where: str) -> Any:
    """What an object has under `key`, if it is of that type."""
    if type(of) is not dict:
        raise InputError(f"{where}: it is {shown(of)}; expected an object with the key {key}")
    if key not in of:
        raise InputError(f"{where}: the key {key} is missing; expected {_KINDS[kind]} there")
    if type(of[key]) is not kind:
        raise InputError(f"{where}: {key} is {shown(of[key])}; expected {_KINDS[kind]}")
    return of[key]
