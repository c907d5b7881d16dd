"""Published outputs as data: `weights/published.json`, strictly read.

A record is one output of one checkpoint as someone printed it. Its fields:

    checkpoint    the publisher's name of it, a key of `checkpoints`: {"registry": [names], "weights_sha256": [hashes]}
    publisher     who printed it, in short
    sources       where it stands
    quantity      one of QUANTITIES, or of OUT_OF_REACH
    hidden_act    the activation that its publisher computed with, for "gelu" names two
    pooling       of sentence_embedding and cosine_similarity: mean (over the attention mask) or cls
    normalised    of sentence_embedding: whether vectors have length 1
    score         of fill_mask, beside the tokens: probability, logit, or loss, which is −log probability
    input         {"input_ids": …, "attention_mask": …, "token_type_ids": …}, each [rows, tokens] and the last two optional, or
                  {"texts": [a text or a pair of texts each]}, padded to one length, with "attends_to_padding": true where
                  the publisher passed no attention mask
    slice         for each axis of the quantity the indices that were printed, null for all; absent for all of all
    pairs         of cosine_similarity, in place of slice: the indices of the two texts
    values        as they were printed; of fill_mask, for each [MASK] in order, the best tokens: [token, id, score], null where
                  unknown; of input_ids and token_type_ids a list for each text
    tolerance     {"kind": "stated", "atol": …, "rtol": …}: the publisher's own; {"kind": "cosine", "at_least": …}: likewise;
                  {"kind": "printed", "decimals": …}; {"kind": "float32"}: all digits of a float32; {"kind": "exact"}
    unchecked     why it cannot be checked, if so
    note          what else is to be known

For what is out of reach, `input`, `slice` and `values` are kept as the source has them.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minibert.checkpoints.registry import weights_folder
from minibert.config import ACTIVATIONS
from minibert.errors import TraceError, shown
from minibert.strict_json import read_json_object

PUBLISHED_FILE = "published.json"

QUANTITIES = {
    "last_hidden_state": 3,
    "pooler_output": 2,
    "masked_lm_logits": 3,
    "next_sentence_logits": 2,
    "sentence_embedding": 2,
    "cosine_similarity": 1,
    "fill_mask": None,
    "input_ids": None,
    "token_type_ids": None,
}
"""What can be checked, and how many axes its values have, where they are an array."""

OUT_OF_REACH = {
    "causal_lm_logits": "a causal attention mask",
    "classification_logits": "a classification head",
    "relevance_scores": "a classification head",
    "token_classification_logits": "a token-classification head",
    "entities": "a token-classification head",
    "question_answering_logits": "a question-answering head",
    "answers": "a question-answering head",
    "multiple_choice_logits": "a multiple-choice head",
}
"""What cannot, and what it needs."""

TOKEN_QUANTITIES = ("input_ids", "token_type_ids")
SCORES = ("probability", "logit", "loss")
POOLINGS = ("mean", "cls")
TOLERANCES = {
    "stated": ("atol", "rtol"),
    "cosine": ("at_least",),
    "printed": ("decimals",),
    "float32": (),
    "exact": (),
}
INPUT_ARRAYS = ("input_ids", "attention_mask", "token_type_ids")


class Candidate(NamedTuple):
    """One of the best tokens at a [MASK], as far as its publisher tells."""

    token: str | None
    token_id: int | None
    score: float | None


@dataclass(frozen=True)
class PublishedValue:
    """One record; its fields are those of the file, and `unchecked` says of any record why it cannot be checked, or is empty.

    `values` is float64 of the shape that `slice` calls for, for fill_mask a tuple of Candidates for each [MASK], of ids a list
    for each text; out of reach it is what the file has.
    """

    checkpoint: str
    publisher: str
    sources: tuple[str, ...]
    quantity: str
    hidden_act: str | None
    pooling: str | None
    normalised: bool
    score: str | None
    input: Any
    slice: tuple[tuple[int, ...] | None, ...]
    pairs: tuple[tuple[int, int], ...]
    values: Any
    tolerance: Mapping[str, Any]
    unchecked: str
    note: str

    @property
    def input_in_words(self) -> str:
        """The first text, or how many ids there are."""
        texts = self.input.get("texts", ()) if isinstance(self.input, Mapping) else self.input
        texts = [texts] if isinstance(texts, str) else list(texts)
        if texts:
            first = texts[0] if isinstance(texts[0], str) else " / ".join(texts[0])
            return first if len(texts) == 1 else f"{first} (and {len(texts) - 1} more)"
        rows = self.input.get("input_ids", ())
        return f"{sum(np.size(row) for row in rows)} ids" if rows else "as in the source"


def published_values(identity: str) -> list[PublishedValue]:
    """What was published of a checkpoint; `identity` is its name in the registry, its publisher's name, or its weights' sha256.

    Raises TraceError if the file of records is broken.
    """
    return [record for record, known_as in _load(weights_folder() / PUBLISHED_FILE) if identity in known_as]


def read_published(path: Path) -> list[tuple[PublishedValue, tuple[str, ...]]]:
    """Every record of a file, with what its checkpoint is known as. Raises TraceError, naming the record, for a broken one."""
    whole = _Fields(str(path), read_json_object(path, error=TraceError, max_bytes=4 << 20))
    whole.texts("about")
    checkpoints = {name: _known_as(name, fields) for name, fields in whole.tables("checkpoints").items()}
    records = [_record(fields) for fields in whole.list_of_tables("records")]
    whole.finish()
    for place, record in enumerate(records):
        if record.checkpoint not in checkpoints:
            raise TraceError(
                f"{path}: record {place} is of {record.checkpoint!r}, which is not among the checkpoints; add it there"
            )
    return [(record, checkpoints[record.checkpoint]) for record in records]


@functools.lru_cache(maxsize=4)
def _load(path: Path) -> list[tuple[PublishedValue, tuple[str, ...]]]:
    return read_published(path)


class _Fields:
    """The fields of one JSON object being checked; what was not asked for by the end is an error."""

    def __init__(self, where: str, fields: Any) -> None:
        self.where = where
        self.fields: dict[str, Any] = fields if isinstance(fields, dict) else {}
        self.taken: set[str] = set()
        if not isinstance(fields, dict):
            self.refuse(f"expected an object, found {shown(fields)}")

    def refuse(self, reason: str) -> Any:
        raise TraceError(f"{self.where}: {reason}")

    def any(self, key: str, *, optional: bool = False) -> Any:
        self.taken.add(key)
        value = self.fields.get(key)
        return value if value is not None or optional else self.refuse(f"{key} is missing")

    def text(self, key: str, choices: Sequence[str] = (), *, optional: bool = False) -> str:
        value = self.any(key, optional=optional)
        if value is None:
            return ""
        if not isinstance(value, str) or not value or (choices and value not in choices):
            self.refuse(f"{key} is {shown(value)}; expected {'one of ' + ', '.join(choices) if choices else 'a text'}")
        return str(value)

    def flag(self, key: str, *, optional: bool = False) -> bool:
        value = self.any(key, optional=optional)
        if not isinstance(value, bool) and not (optional and value is None):
            self.refuse(f"{key} is {shown(value)}; expected true or false")
        return value is True

    def number(self, key: str) -> float:
        value = self.any(key)
        if not _is_number(value) or value < 0:
            self.refuse(f"{key} is {shown(value)}; expected a number from 0")
        return float(value)

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        value = self.any(key, optional=optional)
        if value is None:
            return ()
        if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
            self.refuse(f"{key} is {shown(value)}; expected a list of texts")
        return tuple(value)

    def tables(self, key: str) -> dict[str, "_Fields"]:
        value = _Fields(f"{self.where}: {key}", self.any(key)).fields
        return {name: _Fields(f"{self.where}: {name}", fields) for name, fields in value.items()}

    def list_of_tables(self, key: str) -> list["_Fields"]:
        value = self.any(key)
        if not isinstance(value, list):
            self.refuse(f"{key} is no list")
        return [_Fields(f"{self.where}: record {place}", fields) for place, fields in enumerate(value)]

    def integers(self, key: str, axes: int) -> list[Any]:
        """Rows of whole numbers, all of one length where they have two axes or more."""
        value = self.any(key)
        if len(_shape(value, integers=True) or ()) != axes:
            self.refuse(f"{key} is {shown(value)}; expected whole numbers with {axes} axes")
        return list(value)

    def finish(self) -> None:
        if unknown := set(self.fields) - self.taken:
            self.refuse(f"unknown key {min(unknown)!r}")


def _known_as(name: str, fields: _Fields) -> tuple[str, ...]:
    names = (name, *fields.texts("registry", optional=True), *fields.texts("weights_sha256", optional=True))
    fields.finish()
    return names


def _record(fields: _Fields) -> PublishedValue:
    quantity = fields.text("quantity", (*QUANTITIES, *OUT_OF_REACH))
    fields.where = f"{fields.where} ({quantity})"
    reachable = quantity in QUANTITIES
    is_computed = reachable and quantity not in TOKEN_QUANTITIES
    is_pooled = quantity in ("sentence_embedding", "cosine_similarity")
    unchecked = fields.text("unchecked", optional=True)
    record = PublishedValue(
        checkpoint=fields.text("checkpoint"),
        publisher=fields.text("publisher"),
        sources=fields.texts("sources"),
        quantity=quantity,
        hidden_act=fields.text("hidden_act", ACTIVATIONS) if is_computed else None,
        pooling=fields.text("pooling", POOLINGS) if is_pooled else None,
        normalised=fields.flag("normalised") if quantity == "sentence_embedding" else False,
        score=(fields.text("score", SCORES, optional=True) or None) if quantity == "fill_mask" else None,
        input=_input(fields) if reachable else fields.any("input"),
        slice=_slice(fields, quantity),
        pairs=_pairs(fields) if quantity == "cosine_similarity" else (),
        values=fields.any("values"),
        tolerance=_tolerance(fields),
        unchecked=unchecked or ("" if reachable else f"needs {OUT_OF_REACH[quantity]}"),
        note=fields.text("note", optional=True),
    )
    fields.finish()
    if not reachable:
        return record
    return replace(record, values=_values(fields, record))


def _input(fields: _Fields) -> dict[str, Any]:
    given = _Fields(f"{fields.where}: input", fields.any("input"))
    if "texts" in given.fields:
        texts = given.any("texts")
        if not isinstance(texts, list) or not texts or not (_are_texts(texts) or all(map(_is_pair, texts))):
            given.refuse(f"texts is {shown(texts)}; expected a list of texts, or one of pairs of texts")
        attends_to_padding = given.flag("attends_to_padding", optional=True)
        given.finish()
        return {
            "texts": [text if isinstance(text, str) else tuple(text) for text in texts],
            "attends_to_padding": attends_to_padding,
        }
    arrays = {name: given.integers(name, 2) for name in INPUT_ARRAYS if name in given.fields or name == "input_ids"}
    given.finish()
    if len({_shape(array) for array in arrays.values()}) != 1:
        given.refuse(f"{', '.join(arrays)} have different shapes")
    return arrays


def _slice(fields: _Fields, quantity: str) -> tuple[tuple[int, ...] | None, ...]:
    axes = QUANTITIES.get(quantity)
    if quantity == "cosine_similarity" or (axes is None and quantity in QUANTITIES):
        return ()
    value = fields.any("slice", optional=True)
    if value is None:
        return (None,) * (axes or 0)
    if (
        not isinstance(value, list)
        or not all(one is None or _are_integers(one) for one in value)
        or axes not in (None, len(value))
    ):
        fields.refuse(f"slice is {shown(value)}; expected a list of indices, or null, for each of {axes or 'its'} axes")
    return tuple(None if one is None else tuple(one) for one in value)


def _pairs(fields: _Fields) -> tuple[tuple[int, int], ...]:
    pairs = fields.integers("pairs", 2)
    if not all(len(pair) == 2 for pair in pairs):
        fields.refuse("pairs holds what is no pair of two indices")
    return tuple((first, second) for first, second in pairs)


def _tolerance(fields: _Fields) -> dict[str, Any]:
    given = _Fields(f"{fields.where}: tolerance", fields.any("tolerance"))
    kind = given.text("kind", tuple(TOLERANCES))
    tolerance = {"kind": kind} | {name: given.number(name) for name in TOLERANCES[kind]}
    given.finish()
    return tolerance


def _values(fields: _Fields, record: PublishedValue) -> Any:
    """The values in their typed form, once they fit the rest of the record."""
    values, kind = record.values, record.tolerance["kind"]
    if record.quantity in TOKEN_QUANTITIES:
        texts = record.input.get("texts", ())
        if not (isinstance(values, list) and all(map(_are_integers, values)) and len(values) == len(texts)) or kind != "exact":
            fields.refuse("values is no list of whole numbers for each text, to be met exactly")
        return values
    if record.quantity == "fill_mask":
        if (record.score is None) != (kind == "exact") or kind == "cosine":
            fields.refuse(
                f"the tolerance is {kind}, which does not fit score {record.score}; a ranking is exact, and only a ranking"
            )
        return _candidates(fields, record)
    shape = _shape(values)
    expected = (len(record.pairs),) if record.pairs else tuple(None if one is None else len(one) for one in record.slice)
    if (
        shape is None
        or len(shape) != len(expected)
        or any(want not in (None, have) for want, have in zip(expected, shape, strict=True))
    ):
        found = "no array of numbers" if shape is None else f"of shape {list(shape)}"
        fields.refuse(f"values is {found}; its slice or pairs call for {list(expected)}")
    if kind == "exact":
        fields.refuse("the tolerance is exact, which floating-point numbers cannot be held to")
    return np.array(values, np.float64)


def _candidates(fields: _Fields, record: PublishedValue) -> tuple[tuple[Candidate, ...], ...]:
    rows = record.values if isinstance(record.values, list) else []
    for row in rows:
        for item in row if isinstance(row, list) and row else [None]:
            if not (isinstance(item, list) and len(item) == 3 and _is_candidate(*item, scored=record.score is not None)):
                fields.refuse(f"values holds {shown(item)}; expected [token, id, score], with a token or an id, for each [MASK]")
    if not rows:
        fields.refuse("values is no list of the best tokens for each [MASK]")
    return tuple(tuple(Candidate(*item) for item in row) for row in rows)


def _is_candidate(token: Any, token_id: Any, score: Any, *, scored: bool) -> bool:
    is_known = isinstance(token, str) or (token is None and token_id is not None)
    is_id = token_id is None or (type(token_id) is int and token_id >= 0)
    return is_known and is_id and (_is_number(score) if scored else score is None)


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _are_texts(value)


def _are_integers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _shape(value: Any, *, integers: bool = False) -> tuple[int, ...] | None:
    """The shape of nested lists of numbers; None for what is no such array."""
    if not isinstance(value, list):
        return () if (type(value) is int if integers else _is_number(value)) else None
    shapes = {_shape(one, integers=integers) for one in value}
    inner = shapes.pop() if len(shapes) == 1 else None
    return None if inner is None else (len(value), *inner)
