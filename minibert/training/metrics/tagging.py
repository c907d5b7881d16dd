"""How well words were tagged: entities in whole (seqeval, by the rules of CoNLL's conlleval) and tags word by word."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from minibert.training.metrics.training_extra import imported

OUTSIDE = "O"
"""The tag of a word that belongs to no entity."""

Sentences = Sequence[list[str]]
"""The tags of every sentence's words."""


class Entity(NamedTuple):
    """Words that are one entity."""

    start: int
    """Its first word, counted from 0."""
    end: int
    """The word behind its last."""
    type: str


def marks_entities(labels: Sequence[str]) -> bool:
    """Whether tags mark entities in the scheme IOB2, and are not classes of words such as parts of speech."""
    inside = [label for label in labels if label != OUTSIDE]
    return bool(inside) and all(label[:2] in ("B-", "I-") and len(label) > 2 for label in inside)


def entities_of(tags: Sequence[str]) -> list[Entity]:
    """The entities that tags in the scheme IOB2 mark.

    Where they break the scheme it is read as conlleval and seqeval do: an `I-X` that continues no X begins one.
    """
    entities: list[Entity] = []
    start, current = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        kind = "" if tag == OUTSIDE else tag[2:]
        if current and (kind != current or tag.startswith("B-")):
            entities.append(Entity(start, place, current))
            current = ""
        if kind and not current:
            start, current = place, kind
    return entities


def entity_metrics(truth: Sentences, predicted: Sentences) -> dict[str, float]:
    """`precision`, `recall` and `f1` of entities: right are those with the right words and the right type.

    What would be divided by zero counts as 0.
    """
    measured = imported("seqeval.metrics.sequence_labeling").precision_recall_fscore_support(
        truth, predicted, average="micro", zero_division=0
    )
    return {name: float(value) for name, value in zip(("precision", "recall", "f1"), measured, strict=False)}


def entity_metrics_by_type(truth: Sentences, predicted: Sentences) -> dict[str, dict[str, float]]:
    """The same for every type of entity by itself, in alphabetical order, and how many there are (`entities`)."""
    types = sorted({entity.type for tags in chain(truth, predicted) for entity in entities_of(tags)})
    if not types:
        return {}
    measured = imported("seqeval.metrics.sequence_labeling").precision_recall_fscore_support(
        truth, predicted, average=None, zero_division=0
    )
    names = ("precision", "recall", "f1", "entities")
    return {
        kind: {name: value.item() for name, value in zip(names, values, strict=True)}
        for kind, *values in zip(types, *measured, strict=True)
    }


def tag_accuracy(truth: Sentences, predicted: Sentences) -> float:
    """The share of words that have their right tag."""
    pairs = list(zip(chain.from_iterable(truth), chain.from_iterable(predicted), strict=True))
    return sum(right == found for right, found in pairs) / max(1, len(pairs))
