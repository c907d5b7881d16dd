"""Answering questions: windows over contexts, where an answer is in them, and answers, metrics and predictions from logits."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizer import TOKENIZER, tokens_of

from minibert.errors import InputError, TruncationWarning
from minibert.training.data.examples import Answer, Question
from minibert.training.losses import IGNORED
from minibert.training.rows import Rows, batch_of
from minibert.training.tasks import AnswerQuestions

TASK = AnswerQuestions(TOKENIZER, max_length=12, stride=2, max_question_length=3, n_best=3, max_answer_length=4)
CONTEXT = "The cats sat on the mat. Doggy unaffable dog!"


def question(context: str, *answers: str, text: str = "who sat?", answered: bool = True) -> Question:
    found = tuple(Answer(answer, context.index(answer)) for answer in answers)
    return Question("dev.json, question 7", "7", text, context, found if answered else None)


def right_logits(rows: Rows) -> list[np.ndarray]:
    """What a model would say that knows the rows' labels; no answer anywhere scores less than an answer somewhere."""
    logits = []
    for ids, (first, last) in zip(rows.input_ids, rows.labels, strict=True):
        of_row = np.zeros((len(ids), 2), np.float32)
        of_row[first, 0] += 5.0
        of_row[last, 1] += 5.0
        logits.append(of_row)
    return logits


def flat_logits(examples: Sequence[Question], task: AnswerQuestions = TASK) -> list[np.ndarray]:
    return [np.zeros((len(ids), 2), np.float32) for ids in task.rows(examples).input_ids]


def test_a_row_is_the_question_and_a_window_of_the_context():
    rows = TASK.rows([question(CONTEXT, "the mat")])
    assert [tokens_of(ids) for ids in rows.input_ids] == [
        "[CLS] who sat ? [SEP] the cat ##s sat on the [SEP]",
        "[CLS] who sat ? [SEP] on the mat . dog ##gy [SEP]",
        "[CLS] who sat ? [SEP] dog ##gy un ##aff ##able dog [SEP]",
        "[CLS] who sat ? [SEP] ##able dog [UNK] [SEP]",
    ]
    assert [types.tolist() for types in rows.token_type_ids] == [[0] * 5 + [1] * (len(ids) - 5) for ids in rows.input_ids]
    # The answer is in the second window as a whole; that it begins in the first counts for nothing.
    assert [label.tolist() for label in rows.labels] == [[0, 0], [6, 7], [0, 0], [0, 0]]
    assert {array.dtype for array in (*rows.input_ids, *rows.token_type_ids, *rows.labels)} == {np.dtype(np.int32)}


def test_batches_take_the_rows():
    rows = TASK.rows([question("the cats", "cats")])
    batch = batch_of(rows, [0], 2)
    assert batch["labels"].tolist() == [[6, 7], [IGNORED, IGNORED]]
    assert batch["input_ids"][0, 6:8].tolist() == TOKENIZER.convert_tokens_to_ids(["cat", "##s"])


@pytest.mark.parametrize(
    ("example", "label"),
    [
        (question("the cats sat"), (0, 0)),
        (question("the cats sat", answered=False), (IGNORED, IGNORED)),
        (question("the cats sat", "sat", "the"), (8, 8)),
        (question("the cats sat", "ats s"), (6, 8)),
        (question("the cats sat", " "), (0, 0)),
        (question("the cats sat \x01", "\x01"), (0, 0)),
        (question("\x01", "\x01"), (0, 0)),
    ],
)
def test_labels(example: Question, label: tuple[int, int]):
    assert [tuple(of_row.tolist()) for of_row in TASK.rows([example]).labels] == [label]


def test_what_is_cut_divided_or_in_no_window_is_counted():
    examples = [
        question("the cats sat", "sat", text="who sat on the mat?"),
        question(CONTEXT, "cats sat on the mat. Doggy"),
        question(CONTEXT),
        question("the mat", " "),
    ]
    assert TASK.counts(examples) == {"questions": 4, "cut": 1, "divided": 2, "answers_in_no_row": 2}
    with pytest.warns(TruncationWarning, match="1 of 4 questions were cut at max_question_length=3 tokens"):
        rows = TASK.rows(examples)
    assert tokens_of(rows.input_ids[0]) == "[CLS] who sat on [SEP] the cat ##s sat [SEP]"


def test_contexts_that_several_questions_share_and_many_questions():
    examples = [question(f"the {'cat ' * (number % 4)}sat", "sat") for number in range(600)]
    rows = TASK.rows(examples)
    assert [int(label[0]) for label in rows.labels] == [6 + number % 4 for number in range(600)]


CONTEXT_WORDS = st.lists(
    st.sampled_from(["cat", "Cats", "doggy", "unaffable", "zebra", "sat.", "mat", "the", "\x01", "é", "unaffable-cats"]),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(st.lists(st.tuples(CONTEXT_WORDS, st.data()), min_size=1, max_size=3), st.integers(12, 17))
def test_right_logits_give_the_very_answers(contexts: list[tuple[list[str], st.DataObject]], stride: int):
    # Windows share twice as much as an answer is long, as they must for every answer to be whole where it begins best.
    task = AnswerQuestions(TOKENIZER, max_length=24, stride=stride, max_question_length=3, max_answer_length=6)
    examples = []
    for words, data in contexts:
        first = data.draw(st.integers(0, len(words) - 1))
        before, answer = "".join(f"{word} " for word in words[:first]), words[first]
        answers = (Answer(answer, len(before)),) if data.draw(st.booleans()) else ()
        examples.append(Question("", "", "who?", before + " ".join(words[first:]), answers))
    rows = task.rows(examples)
    logits = right_logits(rows)
    found = task.predictions(examples, logits)
    in_a_row = [task.counts([example])["answers_in_no_row"] == 0 for example in examples]
    for example, prediction, is_known in zip(examples, found, in_a_row, strict=True):
        if example.answers and is_known:
            assert prediction["answer"] == example.answers[0].text
            assert prediction["start"] == example.answers[0].start
        if not example.answers:
            assert (prediction["answer"], prediction["start"]) == ("", None)
    if all(in_a_row):
        assert task.metrics(examples, logits)["f1"] == 1.0


@settings(deadline=None)
@given(CONTEXT_WORDS, st.integers(0, 5), st.integers(0, 2**32), st.integers(1, 7))
def test_answers_are_the_best_of_all_that_there_are(words: list[str], stride: int, seed: int, max_answer_length: int):
    task = AnswerQuestions(
        TOKENIZER, max_length=12, stride=stride, max_question_length=3, n_best=5, max_answer_length=max_answer_length
    )
    examples = [question(" ".join(words), text="who?")]
    rows = task.rows(examples)
    random = np.random.default_rng(seed)
    logits = [random.normal(size=(len(ids), 2)) for ids in rows.input_ids]
    found = task.predictions(examples, logits)[0]

    # Every span of every window, by the rules written out one by one.
    offsets = TOKENIZER(words and " ".join(words), add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"][0]
    windows, start = [], 0
    for ids in rows.input_ids:
        windows.append((start, start + len(ids) - 5))
        start += 7 - stride
    own_context = {
        token: max(
            (min(token - begin, end - 1 - token) + 0.01 * (end - begin), -number)
            for number, (begin, end) in enumerate(windows)
            if begin <= token < end
        )[1]
        for token in range(len(offsets))
    }
    best: dict[str, float] = {}
    for number, ((begin, end), of_row) in enumerate(zip(windows, logits, strict=True)):
        for first in range(begin, end):
            for last in range(first, min(end, first + max_answer_length)):
                if own_context[first] == -number:
                    text = " ".join(words)[offsets[first][0] : offsets[last][1]]
                    score = of_row[first - begin + 4, 0] + of_row[last - begin + 4, 1]
                    best[text] = max(best.get(text, -np.inf), score)
    no_answer = min(of_row[0].sum() for of_row in logits)
    assert found["no_answer_score"] == pytest.approx(no_answer)
    if best:
        top = max(best, key=best.__getitem__)
        assert found["answer"] == ("" if no_answer > best[top] else top)
        answers = [each for each in found["n_best"] if each["text"]]
        assert answers[0]["text"] == top and answers[0]["score"] == pytest.approx(best[top])
        assert [each["score"] for each in answers] == pytest.approx(sorted(best.values(), reverse=True)[:5])
        assert all(each["score"] == pytest.approx(best[each["text"]]) for each in answers)
        assert sum(each["probability"] for each in found["n_best"]) == pytest.approx(1.0)
        scores = [each["score"] for each in found["n_best"]]
        assert scores == sorted(scores, reverse=True)


def test_no_answer_is_given_where_that_scores_higher_by_more_than_the_threshold():
    examples = [question("the cats sat", "cats")]
    logits = flat_logits(examples)
    logits[0][0] = 1.0
    logits[0][6, 0] = logits[0][7, 1] = 0.5
    answers = {}
    for threshold in (0.0, 0.99, 1.0, None):
        found = dataclasses.replace(TASK, null_threshold=threshold).predictions(examples, logits)[0]
        answers[threshold] = found["answer"]
        assert found["no_answer_score"] == 2.0
        assert ("" in [each["text"] for each in found["n_best"]]) == (threshold is not None)
    assert answers == {0.0: "", 0.99: "", 1.0: "cats", None: "cats"}


def test_the_best_threshold_is_found_on_the_questions():
    examples = [question("the cats sat", "cats"), question("the dog")]
    logits = flat_logits(examples)
    logits[0][0], logits[1][0] = 1.0, 3.0
    logits[0][6, 0] = logits[0][7, 1] = 0.5
    found = TASK.metrics(examples, logits)
    assert (found["exact_match"], found["HasAns_f1"], found["NoAns_f1"]) == (0.5, 0.0, 1.0)
    assert (found["best_f1"], found["best_f1_thresh"]) == (1.0, 1.0)
    better = dataclasses.replace(TASK, null_threshold=found["best_f1_thresh"])
    assert better.metrics(examples, logits)["f1"] == 1.0


def test_an_answer_is_a_slice_of_the_original_with_its_marks():
    context = "The Cats\u0301 sat."
    task = dataclasses.replace(TASK, null_threshold=None)
    examples = [question(context, "Cats\u0301")]
    found = task.predictions(examples, right_logits(task.rows(examples)))[0]
    assert (found["answer"], found["start"]) == ("Cats\u0301", 4)


def test_answers_are_not_longer_than_they_may_be():
    task = dataclasses.replace(TASK, null_threshold=None, max_answer_length=2)
    examples = [question("the cats sat on", "the cats sat")]
    found = task.predictions(examples, right_logits(task.rows(examples)))[0]
    assert max(len(TOKENIZER.tokenize(each["text"])) for each in found["n_best"]) == 2


@pytest.mark.parametrize("threshold", [0.0, None])
def test_a_context_without_tokens_gives_no_answer(threshold: float | None):
    task = dataclasses.replace(TASK, null_threshold=threshold)
    examples = [question("\x01")]
    found = task.predictions(examples, flat_logits(examples))[0]
    assert (found["answer"], found["start"]) == ("", None)
    numbers = task.metrics([*examples, question("the cats", "cats")], flat_logits([*examples, question("the cats", "cats")]))
    assert all(np.isfinite(value) for value in numbers.values())


def test_predictions_say_which_question_and_need_no_answers():
    examples = [question("the cats", answered=False)]
    assert TASK.predictions(examples, flat_logits(examples))[0].items() >= {"id": "7", "question": "who sat?"}.items()
    with pytest.raises(InputError, match="dev.json, question 7 has no answers, so that no prediction can be measured"):
        TASK.metrics(examples, flat_logits(examples))


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ("a",)}, "expected none for qa"),
        ({"max_length": 4}, "max_length is 4; expected a whole number from 5"),
        (
            {"max_length": 128},
            "stride is 128; expected a whole number from 0 to 60, since beside the longest question a row has 61",
        ),
        ({"max_question_length": 0}, "max_question_length is 0; expected a whole number from 1 to 380"),
        ({"n_best": 0}, "n_best is 0"),
        ({"max_answer_length": "30"}, "max_answer_length is '30'"),
        ({"null_threshold": float("nan")}, "null_threshold is nan; expected a finite number, or None"),
    ],
)
def test_a_task_that_cannot_be_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        AnswerQuestions(TOKENIZER, **options)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("example", "message"),
    [
        (question("the cats")._replace(answers=(Answer("cats", 3),)), "question 7 has the answer 'cats' at character 3, where"),
        (question("the cats")._replace(answers=(Answer("cats", -4),)), "question 7 has the answer 'cats' at character -4"),
        (question("the cats")._replace(answers=(Answer("", 3),)), "question 7 has the answer '' at character 3"),
        ("who?", r"examples\[0\] is of the type str; expected Question"),
    ],
)
def test_an_example_that_is_none_of_the_task_is_refused(example: Any, message: str):
    with pytest.raises(InputError, match=message):
        TASK.rows([example])


def test_logits_that_are_not_those_of_the_rows_are_refused():
    examples = [question(CONTEXT, "the mat")]
    with pytest.raises(InputError, match="there are logits of 1 row; the examples make 4 rows"):
        TASK.metrics(examples, flat_logits(examples)[:1])
