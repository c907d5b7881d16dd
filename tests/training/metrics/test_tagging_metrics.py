"""Entities from tags, their metrics against values worked out by hand, and our reading of tags against seqeval's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibert.training.metrics.tagging import (
    Entity,
    entities_of,
    entity_metrics,
    entity_metrics_by_type,
    marks_entities,
    tag_accuracy,
)

pytest.importorskip("seqeval", reason="needs the extra training")

TAGS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-creative-work", "I-creative-work", "B-O", "I-O"]), max_size=12)


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("", []),
        ("O O", []),
        ("B-PER I-PER O", [(0, 2, "PER")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("O I-PER I-PER", [(1, 3, "PER")]),
        ("B-PER I-LOC I-PER", [(0, 1, "PER"), (1, 2, "LOC"), (2, 3, "PER")]),
        ("B-creative-work I-creative-work", [(0, 2, "creative-work")]),
    ],
)
def test_entities(tags: str, entities: list[tuple[int, int, str]]):
    assert entities_of(tags.split()) == [Entity(*entity) for entity in entities]


@settings(deadline=None)
@given(TAGS)
def test_entities_are_those_that_seqeval_finds(tags: list[str]):
    from seqeval.metrics.sequence_labeling import get_entities

    assert [(kind, start, end - 1) for start, end, kind in entities_of(tags)] == get_entities(tags)


def test_metrics_by_hand():
    truth = [["B-PER", "I-PER", "O", "B-LOC", "O"], ["B-LOC", "I-LOC", "O"]]
    found = [["B-PER", "I-PER", "O", "B-PER", "O"], ["B-LOC", "O", "O"]]
    # Three entities are predicted and three are true; the first is right in all.
    assert entity_metrics(truth, found) == pytest.approx({"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3})
    assert tag_accuracy(truth, found) == pytest.approx(6 / 8)
    by_type = entity_metrics_by_type(truth, found)
    assert list(by_type) == ["LOC", "PER"]
    assert by_type["PER"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "entities": 1})
    assert by_type["LOC"] == pytest.approx({"precision": 0.0, "recall": 0.0, "f1": 0.0, "entities": 2})


def test_without_any_entity_the_metrics_are_zero_and_there_are_no_types():
    assert entity_metrics([["O", "O"]], [["O", "O"]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert entity_metrics_by_type([["O"]], [["O"]]) == {}
    assert tag_accuracy([[]], [[]]) == 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=4))
def test_metrics_are_those_of_the_sets_of_entities(sentences: list[tuple[list[str], list[str]]]):
    pairs = [(truth, (found + ["O"] * len(truth))[: len(truth)]) for truth, found in sentences]
    truth, found = [truth for truth, _ in pairs], [found for _, found in pairs]
    true, given = (
        {(number, entity) for number, tags in enumerate(sentences) for entity in entities_of(tags)}
        for sentences in (truth, found)
    )
    expected = {
        "precision": len(true & given) / max(1, len(given)),
        "recall": len(true & given) / max(1, len(true)),
        "f1": 2 * len(true & given) / max(1, len(true) + len(given)),
    }
    assert entity_metrics(truth, found) == pytest.approx(expected)
    assert {kind: values["entities"] for kind, values in entity_metrics_by_type(truth, found).items()} == {
        kind: sum(entity.type == kind for _, entity in true) for kind in {entity.type for _, entity in true | given}
    }


@pytest.mark.parametrize(
    ("labels", "marks"),
    [(["O", "B-PER", "I-PER"], True), (["B-PER"], True), (["NN", "VB", "O"], False), (["O"], False), (["O", "B-"], False)],
)
def test_which_labels_mark_entities(labels: list[str], marks: bool):
    assert marks_entities(labels) == marks
