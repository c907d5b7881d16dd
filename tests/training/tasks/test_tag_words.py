"""Tagging: which token carries which word's tag, long sentences in windows, and metrics and predictions from logits."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizer import TOKENIZER, WORDS, tokens_of

from minibert.errors import InputError
from minibert.training.data.examples import TaggedSentence
from minibert.training.losses import IGNORED
from minibert.training.rows import Rows, batch_of
from minibert.training.tasks import TagWords

LABELS = ("O", "B-PER", "B-LOC", "I-PER", "I-LOC")
NO_TOKEN = "\x01\x02"
SENTENCES = st.lists(
    st.lists(st.tuples(st.sampled_from((*WORDS, NO_TOKEN)), st.sampled_from(LABELS)), min_size=1, max_size=14),
    min_size=1,
    max_size=4,
)


def sentence(words: str, tags: str | None = None) -> TaggedSentence:
    return TaggedSentence("train.conll, line 3", tuple(words.split(" ")), None if tags is None else tuple(tags.split()))


def perfect_logits(rows: Rows, labels: int) -> list[np.ndarray]:
    """What a model would say that knows the rows' labels, and where they have none the opposite of O."""
    return [np.eye(labels, dtype=np.float32)[np.where(of_row == IGNORED, labels - 1, of_row)] for of_row in rows.labels]


def test_the_first_piece_of_a_word_carries_its_tag():
    rows = TagWords(TOKENIZER, LABELS).rows([sentence("the cats unaffable .", "O B-PER I-PER O")])
    assert [tokens_of(ids) for ids in rows.input_ids] == ["[CLS] the cat ##s un ##aff ##able . [SEP]"]
    assert rows.labels[0].tolist() == [IGNORED, 0, 1, IGNORED, 3, IGNORED, IGNORED, 0, IGNORED]
    assert rows.labels[0].dtype == rows.input_ids[0].dtype == np.int32
    assert rows.per_token


def test_batches_take_the_rows():
    rows = TagWords(TOKENIZER, LABELS).rows([sentence("cats", "B-PER"), sentence("the dog sat")])
    batch = batch_of(rows, [0, 1], 3)
    assert batch["labels"].shape == (3, 16)
    assert batch["labels"].tolist() == [[IGNORED, 1, *[IGNORED] * 14], [IGNORED] * 16, [IGNORED] * 16]


def test_a_long_sentence_is_divided_at_words():
    task = TagWords(TOKENIZER, LABELS, max_length=6, stride=2)
    rows = task.rows([sentence("the dog cats sat unaffable on", "O O B-PER O B-LOC O")])
    assert [tokens_of(ids) for ids in rows.input_ids] == [
        "[CLS] the dog cat ##s [SEP]",
        "[CLS] cat ##s sat [SEP]",
        "[CLS] sat un ##aff ##able [SEP]",
        "[CLS] on [SEP]",
    ]
    # `cats` and `sat` stand at the edge of both their windows, of which the larger one has them.
    own = [
        [tokens_of(ids).split()[place] for place in np.flatnonzero(labels != IGNORED)]
        for ids, labels in zip(rows.input_ids, rows.labels, strict=True)
    ]
    assert own == [["the", "dog", "cat"], ["sat"], ["un"], ["on"]]


def test_a_word_longer_than_a_row_is_tagged_by_its_first_pieces():
    task = TagWords(TOKENIZER, LABELS, max_length=4, stride=1)
    examples = [sentence("the catssss sat", "O B-PER O")]
    rows = task.rows(examples)
    assert [tokens_of(ids) for ids in rows.input_ids] == ["[CLS] the [SEP]", "[CLS] cat ##s [SEP]", "[CLS] sat [SEP]"]
    assert task.predictions(examples, perfect_logits(rows, 5))[0]["tags"] == ["O", "B-PER", "O"]


def test_a_word_without_tokens_is_outside_and_counted():
    task = TagWords(TOKENIZER, LABELS)
    examples = [sentence(f"cat {NO_TOKEN} dog", "B-PER I-PER I-PER"), sentence(NO_TOKEN, "O")]
    with pytest.warns(UserWarning, match="2 words of 2 sentences become no token"):
        rows = task.rows(examples)
    assert task.counts(examples) == {"sentences": 2, "divided": 0, "words_without_token": 2}
    found = task.predictions(examples, perfect_logits(rows, 5))
    assert [each["tags"] for each in found] == [["B-PER", "O", "I-PER"], ["O"]]


@settings(deadline=None)
@given(SENTENCES, st.integers(3, 9), st.data())
def test_every_word_is_labelled_once_and_right_logits_give_the_very_tags(
    sentences: list[list[tuple[str, str]]], max_length: int, data: st.DataObject
):
    task = TagWords(TOKENIZER, LABELS, max_length, data.draw(st.integers(0, max_length - 3)))
    # A word without tokens can only be told to be O.
    tagged = [[(word, "O" if word == NO_TOKEN else tag) for word, tag in words] for words in sentences]
    examples = [TaggedSentence("", *map(tuple, zip(*words, strict=True))) for words in tagged]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = task.rows(examples)
    labelled = sum(int(np.count_nonzero(labels != IGNORED)) for labels in rows.labels)
    assert labelled == sum(word != NO_TOKEN for words in sentences for word, _ in words)
    assert max(map(len, rows.input_ids)) <= max_length
    assert all(ids[0] == TOKENIZER.cls_token_id and ids[-1] == TOKENIZER.sep_token_id for ids in rows.input_ids)
    found = task.predictions(examples, perfect_logits(rows, 5))
    assert [each["tags"] for each in found] == [list(example.tags or ()) for example in examples]


def test_right_logits_have_an_f1_of_one_and_wrong_ones_less():
    pytest.importorskip("seqeval")
    task = TagWords(TOKENIZER, LABELS, 7, 2)
    examples = [sentence("the cats sat on unaffable mat .", "O B-PER I-PER O B-LOC I-LOC O"), sentence("zebra", "B-PER")]
    logits = perfect_logits(task.rows(examples), 5)
    assert task.metrics(examples, logits) == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0}
    assert task.details(examples, logits)["by_type"]["LOC"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "entities": 1}
    logits[-1] = np.zeros_like(logits[-1])
    assert task.metrics(examples, logits) == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "accuracy": 7 / 8})


def test_entities_of_predictions_are_spans_of_words():
    task = TagWords(TOKENIZER, LABELS)
    examples = [sentence("the cats Sat on mat")]
    # An entity that begins with I- is one all the same.
    logits = perfect_logits(task.rows([sentence("the cats Sat on mat", "O I-PER I-PER B-LOC O")]), 5)
    assert task.predictions(examples, logits) == [
        {
            "words": ["the", "cats", "Sat", "on", "mat"],
            "tags": ["O", "I-PER", "I-PER", "B-LOC", "O"],
            "entities": [[1, 3, "PER", "cats Sat"], [3, 4, "LOC", "on"]],
        }
    ]


def test_tags_that_mark_no_entities_are_measured_word_by_word():
    task = TagWords(TOKENIZER, ("DT", "NN"))
    examples = [sentence("the cats", "DT NN")]
    logits = perfect_logits(task.rows(examples), 2)
    assert task.best_by == "accuracy" and task.metrics(examples, logits) == {"accuracy": 1.0}
    assert task.details(examples, logits) == {}
    assert task.predictions(examples, logits) == [{"words": ["the", "cats"], "tags": ["DT", "NN"]}]
    assert TagWords(TOKENIZER, LABELS).best_by == "f1"


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TagWords(TOKENIZER, ()), "tag has 0 labels"),
        (lambda: TagWords(TOKENIZER, LABELS, 2), "max_length is 2; expected a whole number from 3"),
        (lambda: TagWords(TOKENIZER, LABELS, 8, 6), "stride is 6; expected a whole number from 0 to 5, for windows"),
        (lambda: TagWords(TOKENIZER, LABELS, 8, -1), "stride is -1"),
    ],
)
def test_a_task_that_cannot_be_is_refused(make: Any, message: str):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            sentence("cat", "B-ORG"),
            "the sentence of train.conll, line 3 has the label 'B-ORG'; expected one that training has: O,",
        ),
        (sentence("cat dog", "O"), "the sentence of train.conll, line 3 has 2 words and 1 tag; expected a tag for every word"),
        (("cat", "O"), r"examples\[0\] is of the type tuple; expected TaggedSentence"),
    ],
)
def test_an_example_that_is_none_of_the_task_is_refused(example: Any, message: str):
    with pytest.raises(InputError, match=message):
        TagWords(TOKENIZER, LABELS).rows([example])


def test_without_tags_nothing_is_measured_and_logits_must_be_those_of_the_rows():
    task = TagWords(TOKENIZER, LABELS)
    with pytest.raises(InputError, match="train.conll, line 3 has no tags"):
        task.metrics([sentence("cat")], [np.zeros((3, 5))])
    with pytest.raises(InputError, match=r"the logits of row 0 have shape \[4, 5\]; expected \[3, 5\]"):
        task.predictions([sentence("cat")], [np.zeros((4, 5))])
