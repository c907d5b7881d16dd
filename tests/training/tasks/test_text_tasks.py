"""Tasks on texts: rows, what is cut, labels, metrics and predictions; and what is refused by name."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from tiny_tokenizer import TOKENIZER, tokens_of

from minibert.errors import InputError, TruncationWarning
from minibert.training.data.examples import TextExample
from minibert.training.losses import IGNORED
from minibert.training.rows import batch_of
from minibert.training.tasks import ClassifyPairs, ClassifyTexts, GiveLabels, PredictNumbers


def text(text: str, label: Any = None, text_pair: str | None = None) -> TextExample:
    return TextExample("train.tsv, line 2", text, text_pair, label)


CLASSIFY = ClassifyTexts(TOKENIZER, ("bad", "good"), 5)
EXAMPLES = [text("the cats", "good"), text("dog", "bad"), text("", None)]
LOGITS = [np.array([0.0, 2.0], np.float32), np.array([1.0, -1.0], np.float32), np.array([0.5, 0.5], np.float32)]


def test_rows_are_the_texts_with_their_classes():
    rows = CLASSIFY.rows(EXAMPLES)
    assert [tokens_of(ids) for ids in rows.input_ids] == ["[CLS] the cat ##s [SEP]", "[CLS] dog [SEP]", "[CLS] [SEP]"]
    assert [int(label) for label in rows.labels] == [1, 0, IGNORED]
    assert {array.dtype for array in (*rows.input_ids, *rows.token_type_ids, *rows.labels)} == {np.dtype(np.int32)}


def test_rows_of_pairs_have_token_types_and_the_longer_text_is_cut_first():
    task = ClassifyPairs(TOKENIZER, ("no", "yes"), 8)
    with pytest.warns(TruncationWarning, match="1 of 2 pairs were cut at max_length=8 tokens"):
        rows = task.rows([text("cat dog sat mat on", "yes", "the dog"), text("cat", "no", "")])
    assert [tokens_of(ids) for ids in rows.input_ids] == ["[CLS] cat dog sat [SEP] the dog [SEP]", "[CLS] cat [SEP] [SEP]"]
    assert [types.tolist() for types in rows.token_type_ids] == [[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize(("words", "cut"), [(2, 0), (3, 0), (4, 1), (400, 1)])
def test_texts_are_cut_and_counted(words: int, cut: int):
    examples = [text("cat " * words, "good"), text("dog", "bad")]
    assert CLASSIFY.counts(examples) == {"texts": 2, "cut": cut}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = CLASSIFY.rows(examples)
    assert [str(each.message) for each in caught] == ["1 of 2 texts were cut at max_length=5 tokens"] * cut
    assert len(rows.input_ids[0]) == min(5, words + 2)


def test_many_texts_are_each_their_own_row():
    examples = [text("cat " * (number % 5), "good") for number in range(2500)]
    task = ClassifyTexts(TOKENIZER, ("bad", "good"), 5)
    with pytest.warns(TruncationWarning, match="500 of 2,500 texts"):
        rows = task.rows(examples)
    assert [len(ids) for ids in rows.input_ids] == [min(5, 2 + number % 5) for number in range(2500)]


@pytest.mark.parametrize(
    ("task", "example", "label", "absent"),
    [
        (CLASSIFY, text("cat", "good"), 1, IGNORED),
        (PredictNumbers(TOKENIZER), text("cat", 2.5), [2.5], math.nan),
        (GiveLabels(TOKENIZER, ("a", "b", "c")), text("cat", ("c", "a")), [1.0, 0.0, 1.0], math.nan),
        (GiveLabels(TOKENIZER, ("a", "b", "c")), text("cat", ()), [0.0, 0.0, 0.0], math.nan),
    ],
)
def test_batches_take_the_rows(task: Any, example: TextExample, label: Any, absent: float):
    batch = batch_of(task.rows([example, text("the dog")]), [0, 1], 3)
    assert batch["labels"][0].tolist() == label
    np.testing.assert_equal(batch["labels"][1:], np.full_like(batch["labels"][1:], absent))
    assert batch["labels"].dtype == (np.int32 if task is CLASSIFY else np.float32)
    assert batch["attention_mask"].sum(axis=1).tolist() == [3, 4, 1]


def test_classes_are_predicted_with_the_probability_of_each():
    found = CLASSIFY.predictions(EXAMPLES, LOGITS)
    assert [each["text"] for each in found] == ["the cats", "dog", ""]
    # Of equals the first.
    assert [each["label"] for each in found] == ["good", "bad", "bad"]
    assert found[0]["probabilities"] == pytest.approx({"bad": 1 / (1 + math.exp(2)), "good": 1 / (1 + math.exp(-2))})


def test_a_second_text_is_in_the_prediction():
    task = PredictNumbers(TOKENIZER, takes_pairs=True)
    assert task.predictions([text("cat", None, "dog")], [np.array([1.5], np.float32)]) == [
        {"text": "cat", "text_pair": "dog", "label": 1.5}
    ]


def test_every_label_above_the_threshold_is_given():
    task = GiveLabels(TOKENIZER, ("a", "b", "c"), threshold=0.6)
    logits = [np.log(np.array([0.7 / 0.3, 0.5 / 0.5, 0.61 / 0.39])), np.array([-800.0, 0.0, 0.1])]
    found = task.predictions([text("cat"), text("dog")], logits)
    assert [each["label"] for each in found] == [["a", "c"], []]
    assert found[0]["probabilities"] == pytest.approx({"a": 0.7, "b": 0.5, "c": 0.61})
    assert found[1]["probabilities"]["a"] == 0.0


def test_a_label_exactly_at_the_threshold_is_not_given():
    assert GiveLabels(TOKENIZER, ("a",)).predictions([text("cat")], [np.array([0.0])])[0]["label"] == []


def test_large_logits_overflow_nothing():
    with np.errstate(all="raise", under="ignore"):
        found = CLASSIFY.predictions(EXAMPLES[:1], [np.array([-3e38, 3e38], np.float32)])
    assert found[0]["probabilities"] == {"bad": 0.0, "good": 1.0}


def test_metrics_of_classes_and_their_confusion():
    pytest.importorskip("sklearn")
    examples, logits = [*EXAMPLES[:2], text("mat", "good")], LOGITS
    assert CLASSIFY.metrics(examples, logits)["accuracy"] == pytest.approx(2 / 3)
    assert CLASSIFY.details(examples, logits) == {"labels": ["bad", "good"], "confusion_matrix": [[1, 0], [1, 1]]}
    assert CLASSIFY.best_by in CLASSIFY.metrics(examples, logits)


def test_metrics_of_numbers_and_of_labels():
    pytest.importorskip("sklearn")
    numbers = PredictNumbers(TOKENIZER)
    found = numbers.metrics([text("cat", 1), text("dog", 2.0)], [np.array([2.0]), np.array([4.0])])
    assert found == pytest.approx({"pearson": 1.0, "spearman": 1.0, "mean_squared_error": 2.5})
    labels = GiveLabels(TOKENIZER, ("a", "b"))
    found = labels.metrics([text("cat", ("a",)), text("dog", ("a", "b"))], [np.array([1.0, -1.0]), np.array([1.0, 1.0])])
    assert (found["micro_f1"], found["subset_accuracy"], found["macro_auc"]) == (1.0, 1.0, 1.0)
    assert numbers.best_by == "pearson" and labels.best_by in found


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassifyTexts(TOKENIZER, ("a",)), "classify has 1 label; expected at least 2"),
        (lambda: ClassifyTexts(TOKENIZER), "classify has 0 labels"),
        (lambda: ClassifyTexts(TOKENIZER, ("a", "b", "a")), "labels name 'a' twice"),
        (lambda: ClassifyTexts(TOKENIZER, ("a", "")), "labels are .*none of them empty"),
        (lambda: ClassifyTexts(TOKENIZER, ["a", "b"]), "labels are .* expected a tuple"),
        (lambda: ClassifyTexts(TOKENIZER, ("a", "b"), 2), "max_length is 2; expected a whole number from 3 to 1,048,576"),
        (lambda: ClassifyTexts(TOKENIZER, ("a", "b"), True), "max_length is True"),
        (lambda: ClassifyPairs(TOKENIZER, ("a", "b"), 4), "max_length is 4; expected a whole number from 5"),
        (lambda: ClassifyPairs(TOKENIZER, ("a", "b"), 40, False), "takes_pairs is False; expected True for the task pair"),
        (lambda: PredictNumbers(TOKENIZER, takes_pairs=1), "takes_pairs is 1; expected True or False"),
        (lambda: PredictNumbers(TOKENIZER, ("a",)), "labels are .* expected none for regress"),
        (lambda: GiveLabels(TOKENIZER, ()), "multilabel has 0 labels; expected at least 1"),
        (lambda: GiveLabels(TOKENIZER, ("a",), threshold=1.5), "threshold is 1.5; expected a number from 0 to 1"),
    ],
)
def test_a_task_that_cannot_be_is_refused(make: Any, message: str):
    with pytest.raises(InputError, match=message):
        make()


def test_no_row_is_longer_than_the_model_takes():
    from minibert.tokenizer import Tokenizer, TokenizerSettings

    tokenizer = Tokenizer(TOKENIZER.vocabulary, TokenizerSettings(model_max_length=16))
    with pytest.raises(
        InputError, match="max_length is 17; expected a whole number from 3 to 16, the most tokens that the model"
    ):
        ClassifyTexts(tokenizer, ("a", "b"), 17)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("task", "example", "message"),
    [
        (CLASSIFY, text("cat", "fine"), "train.tsv, line 2 has the label 'fine'; expected one that training has: bad, good"),
        (CLASSIFY, text("cat", ("good",)), "has the label .'good',.; expected one"),
        (CLASSIFY, text("cat", "good", "dog"), "train.tsv, line 2 has a second text; expected none for classify"),
        (ClassifyPairs(TOKENIZER, ("a", "b")), text("cat", "a"), "line 2 has no second text; expected one for pair"),
        (PredictNumbers(TOKENIZER), text("cat", "2.5"), "line 2 has the label '2.5'; expected a number"),
        (PredictNumbers(TOKENIZER), text("cat", math.nan), "line 2 has the label nan; expected a number"),
        (PredictNumbers(TOKENIZER), text("cat", 10**400), "line 2 has the label 1000.*; expected a number of at most 3.4"),
        (PredictNumbers(TOKENIZER), text("cat", True), "line 2 has the label True"),
        (GiveLabels(TOKENIZER, ("a", "b")), text("cat", "a"), "line 2 has the label 'a'; expected a tuple of names"),
        (GiveLabels(TOKENIZER, ("a", "b")), text("cat", ("c",)), "line 2 has the label 'c'; expected one that training has"),
        (CLASSIFY, ("cat", "good"), r"examples\[0\] is of the type tuple; expected TextExample"),
    ],
)
def test_an_example_that_is_none_of_the_task_is_refused(task: Any, example: Any, message: str):
    with pytest.raises(InputError, match=message):
        task.rows([example])


def test_no_examples_are_refused():
    for refused in (CLASSIFY.rows, CLASSIFY.counts):
        with pytest.raises(InputError, match="there are no examples; give at least one"):
            refused([])


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (LOGITS[:2], "there are logits of 2 rows; the examples make 3 rows"),
        ([*LOGITS[:2], np.zeros(3)], r"the logits of row 2 have shape \[3\]; expected \[2\]"),
        ([LOGITS[0], np.array([0.0, np.nan]), LOGITS[2]], "the logits of row 1 are not all finite numbers"),
        ([LOGITS[0], np.array([0.0, np.inf]), LOGITS[2]], "the logits of row 1 are not all finite numbers"),
    ],
)
def test_logits_that_are_not_those_of_the_examples_are_refused(logits: list[np.ndarray], message: str):
    with pytest.raises(InputError, match=message):
        CLASSIFY.predictions(EXAMPLES, logits)


def test_without_labels_nothing_is_measured():
    pytest.importorskip("sklearn")
    with pytest.raises(InputError, match="line 2 has no label, so that no prediction can be measured"):
        CLASSIFY.metrics(EXAMPLES, LOGITS)
