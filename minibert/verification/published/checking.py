"""`check_published`: a checkpoint, run by minibert, against what others published of it.

The encoder is the JAX model that `minibert.load` gives, with the activation that the publisher computed with; the heads of
pretraining are those of the NumPy BERT in float32, on its hidden states.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.checkpoints.loading import load
from minibert.checkpoints.parameters import read_parameters
from minibert.checkpoints.registry import folder_of, resolve
from minibert.errors import TraceError
from minibert.model import Bert
from minibert.numpy_bert import NumpyBert, identity
from minibert.tokenizer import Tokenizer
from minibert.verification.published.records import Candidate, PublishedValue
from minibert.verification.published.report import PublishedReport, PublishedResult

Batch = dict[str, np.ndarray]

HIDDEN_STATES = 1e-5
"""What float32 allows two implementations in hidden states and vectors made of them: torch's own error there is up to 4.8e-6."""

LOGITS = 1e-4
"""The same in logits over a vocabulary: what every publisher who states a tolerance for them states."""

PROBABILITIES = 2.0 * LOGITS
"""The same in a logarithm of a probability, which differs by a logit's difference and, at most as much, by that of its norm."""

HEADS = ("masked_lm_logits", "next_sentence_logits", "fill_mask")


class Computed(NamedTuple):
    """What the checkpoint gives for the input of one record."""

    hidden: np.ndarray
    """float32 [rows, tokens, hidden]"""
    pooled: np.ndarray | None
    """float32 [rows, hidden]"""
    heads: NumpyBert | None


class NotAtHandError(Exception):
    """Carries why a quantity cannot be had from this checkpoint."""


def check_published(checkpoint: str | Path, records: Sequence[PublishedValue], *, model: Bert | None = None) -> PublishedReport:
    """Compute what was published of a checkpoint and measure the differences.

    Args:
        checkpoint: a name of the registry that has been fetched, or a folder.
        records: what `published_values` gave for it.
        model: the checkpoint's model where it is loaded already, in float32.

    Raises:
        TraceError: a record that does not fit the checkpoint: an index outside of an array, another number of [MASK]s.
        CheckpointError, ConfigError, TokenizerError, InputError: as `minibert.load`, `Tokenizer.load` and the model raise them.
    """
    folder = resolve(checkpoint)
    results = [PublishedResult(record, unchecked=record.unchecked) for record in records]
    places = [place for place, record in enumerate(records) if not record.unchecked]
    if not places:
        return PublishedReport(tuple(results))
    tokenizer = Tokenizer.from_folder(folder_of(folder))
    batches = {place: _batch(records[place], tokenizer) for place in places}
    for hidden_act in dict.fromkeys(records[place].hidden_act for place in places):
        group = {place: batches[place] for place in places if records[place].hidden_act == hidden_act}
        needs_heads = any(records[place].quantity in HEADS for place in group)
        computed = _run(folder, hidden_act, group, model, needs_heads) if hidden_act else {}
        for place, batch in group.items():
            results[place] = _result(records[place], batch, computed.get(place), tokenizer)
    return PublishedReport(tuple(results))


def _batch(record: PublishedValue, tokenizer: Tokenizer) -> Batch:
    """The record's input as arrays [rows, tokens]."""
    given = record.input
    if "texts" not in given:
        ids = np.array(given["input_ids"], np.int32)
        defaults = {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return {"input_ids": ids} | {name: np.array(given.get(name, array), np.int32) for name, array in defaults.items()}
    batch = tokenizer(given["texts"], padding_side="right")
    if given["attends_to_padding"]:
        batch["attention_mask"] = np.ones_like(batch["input_ids"])
    return batch


def _run(folder: Path, hidden_act: str, batches: dict[int, Batch], model: Bert | None, needs_heads: bool) -> dict[int, Computed]:
    """All batches as one, so that one program is compiled; padding does not change real positions."""
    if model is None or model.config.hidden_act != hidden_act:
        model = load(folder, hidden_act=hidden_act)
    width = max(batch["input_ids"].shape[1] for batch in batches.values())
    joined = {
        name: np.concatenate([np.pad(batch[name], ((0, 0), (0, width - batch[name].shape[1]))) for batch in batches.values()])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    output = model(joined["input_ids"], joined["attention_mask"], joined["token_type_ids"])
    hidden = np.asarray(output.last_hidden_state)
    pooled = None if output.pooler_output is None else np.asarray(output.pooler_output)
    heads = NumpyBert(*read_parameters(folder, hidden_act=hidden_act), np.float32) if needs_heads else None
    computed, start = {}, 0
    for place, batch in batches.items():
        rows, tokens = batch["input_ids"].shape
        taken = slice(start, start + rows)
        computed[place] = Computed(hidden[taken, :tokens], None if pooled is None else pooled[taken], heads)
        start += rows
    return computed


def _result(record: PublishedValue, batch: Batch, computed: Computed | None, tokenizer: Tokenizer) -> PublishedResult:
    if computed is None:
        return PublishedResult(record, _other_tokens(record, batch), 0.0)
    try:
        if record.quantity == "fill_mask":
            found, published = _scores(record, _mask_logits(record, batch, computed, tokenizer), tokenizer)
        else:
            found, published = _array(record, batch, computed), record.values
    except NotAtHandError as reason:
        return PublishedResult(record, unchecked=str(reason))
    found = found.astype(np.float64)
    if found.shape != published.shape:
        raise TraceError(f"{_named(record)}: published of shape {list(published.shape)}, computed of {list(found.shape)}")
    kind = record.tolerance["kind"]
    if kind == "exact":
        return PublishedResult(record, float((found != published).sum()), 0.0)
    if kind == "cosine":
        cosines = (_unit(found) * _unit(published)).sum(axis=-1)
        return PublishedResult(record, float(1.0 - cosines.min()), 1.0 - record.tolerance["at_least"])
    absolute, relative = _allowance(record)
    allowed = absolute + relative * np.abs(published)
    differences = np.abs(found - published)
    worst = np.unravel_index(np.argmax(differences - allowed), allowed.shape)
    return PublishedResult(record, float(differences[worst]), float(allowed[worst]))


def _other_tokens(record: PublishedValue, batch: Batch) -> float:
    """How many tokens of the texts are not those that were published, in place or in number."""
    other = 0
    for published, row, mask in zip(record.values, batch[record.quantity], batch["attention_mask"], strict=True):
        found = row[mask > 0].tolist()
        other += sum(ours != theirs for ours, theirs in zip(found, published, strict=False)) + abs(len(found) - len(published))
    return float(other)


def _array(record: PublishedValue, batch: Batch, computed: Computed) -> np.ndarray:
    """The quantity at the indices that were printed."""
    if record.quantity == "last_hidden_state":
        return _taken(record, computed.hidden)
    if record.quantity == "masked_lm_logits":
        rows, tokens, vocabulary = record.slice
        # The whole would be a number for each token of the vocabulary at each position.
        logits = _masked_lm(computed, _taken(record, computed.hidden, (rows, tokens, None)))
        return _taken(record, logits, (None, None, vocabulary))
    if record.quantity in ("pooler_output", "next_sentence_logits"):
        if computed.pooled is None:
            raise NotAtHandError("the checkpoint has no pooler")
        return _taken(record, computed.pooled if record.quantity == "pooler_output" else _next_sentence(computed))
    vectors = _sentence_vectors(record, batch, computed.hidden)
    if record.quantity == "sentence_embedding":
        return _taken(record, vectors)
    first, second = (_taken(record, vectors, (indices, None)) for indices in zip(*record.pairs, strict=True))
    return (first * second).sum(axis=-1)


def _taken(record: PublishedValue, values: np.ndarray, indices: tuple[tuple[int, ...] | None, ...] | None = None) -> np.ndarray:
    """`values` at the record's indices, or at others, axis by axis."""
    for axis, one in enumerate(record.slice if indices is None else indices):
        if one is not None:
            if not all(-values.shape[axis] <= index < values.shape[axis] for index in one):
                raise TraceError(f"{_named(record)}: an index of axis {axis} lies outside of the shape {list(values.shape)}")
            values = values.take(one, axis=axis)
    return values


def _masked_lm(computed: Computed, hidden: np.ndarray) -> np.ndarray:
    if computed.heads is None or "heads.masked_lm.dense.kernel" not in computed.heads.parameters:
        raise NotAtHandError("the checkpoint has no masked-language-model head")
    return computed.heads.masked_lm(hidden, identity)


def _next_sentence(computed: Computed) -> np.ndarray:
    if computed.pooled is None or computed.heads is None or "heads.next_sentence.dense.kernel" not in computed.heads.parameters:
        raise NotAtHandError("the checkpoint has no next-sentence head")
    return computed.heads.next_sentence(computed.pooled, identity)


def _sentence_vectors(record: PublishedValue, batch: Batch, hidden: np.ndarray) -> np.ndarray:
    """float64 [rows, hidden]; cosines are those of unit vectors."""
    hidden = hidden.astype(np.float64)
    mask = batch["attention_mask"][:, :, None]
    vectors = hidden[:, 0] if record.pooling == "cls" else (hidden * mask).sum(axis=1) / mask.sum(axis=1)
    return _unit(vectors) if record.normalised or record.quantity == "cosine_similarity" else vectors


def _mask_logits(record: PublishedValue, batch: Batch, computed: Computed, tokenizer: Tokenizer) -> np.ndarray:
    """float64 [masks, vocab], in the order of the [MASK]s."""
    rows, columns = np.nonzero(batch["input_ids"] == tokenizer.mask_token_id)
    if len(rows) != len(record.values):
        raise TraceError(
            f"{_named(record)}: the input has {len(rows)} tokens {tokenizer.settings.mask_token}, and values were published for "
            f"{len(record.values)}"
        )
    return _masked_lm(computed, computed.hidden[rows, columns][None])[0].astype(np.float64)


def _scores(record: PublishedValue, logits: np.ndarray, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """What was found and what was published: of each token its score, and of each rank the score of whichever token has it.

    So nothing but rounding may change places, and no unnamed token may come before a named one. Without scores it is the
    tokens themselves, rank by rank.
    """
    found: list[float] = []
    published: list[float] = []
    for candidates, row in zip(record.values, logits, strict=True):
        ranked = np.argsort(-row, kind="stable")[: len(candidates)].tolist()
        ids = [_token_id(candidate, tokenizer) for candidate in candidates]
        if record.score is None:
            found += ranked
            published += ids
            continue
        shifted = row - row.max()
        log_probabilities = shifted - np.log(np.exp(shifted).sum())
        scores = {"logit": row, "probability": np.exp(log_probabilities), "loss": -log_probabilities}[record.score]
        found += [scores[one] if 0 <= one < len(scores) else np.inf for one in ids] + [scores[one] for one in ranked]
        published += [candidate.score for candidate in candidates] * 2
    return np.array(found), np.array(published)


def _token_id(candidate: Candidate, tokenizer: Tokenizer) -> int:
    """−1 for a token that the vocabulary lacks."""
    return candidate.token_id if candidate.token_id is not None else tokenizer.vocabulary.ids.get(str(candidate.token), -1)


def _allowance(record: PublishedValue) -> tuple[float, float]:
    """The absolute and the relative part of the tolerance.

    Of what was printed with all digits it is what float32 allows two implementations; with fewer, half a unit in the last place
    besides.
    """
    tolerance = record.tolerance
    if tolerance["kind"] == "stated":
        return tolerance["atol"], tolerance["rtol"]
    absolute = 0.5 * 10.0 ** -tolerance["decimals"] if tolerance["kind"] == "printed" else 0.0
    if record.score == "probability":
        return absolute, PROBABILITIES
    if record.score == "loss":
        return absolute + PROBABILITIES, 0.0
    return absolute + (LOGITS if record.quantity in HEADS else HIDDEN_STATES), 0.0


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _named(record: PublishedValue) -> str:
    return f"the {record.quantity} that {record.publisher} published of {record.checkpoint}"
