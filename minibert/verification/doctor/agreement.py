"""What the model computes from a dozen texts, against the NumPy BERT in float64 with the same parameters."""

from typing import Any

import numpy as np

from minibert.config import BertConfig
from minibert.errors import TokenizerError
from minibert.model.tap import intermediate_names, layer_output_names
from minibert.tokenizer import Tokenizer
from minibert.verification.compare import compare
from minibert.verification.diagnosis import diagnose
from minibert.verification.doctor.findings import Finding, bad, good, in_short, note, warning
from minibert.verification.doctor.patient import DOES_NOT_LOAD, TOO_LARGE, NotCheckedError, Patient
from minibert.verification.oracle import computed_reference, oracle_of
from minibert.verification.report import BUDGET
from minibert.verification.sample_texts import LONGEST_ROW, PAIR, TEXTS, sample_batch
from minibert.verification.trace import record

MOST_VALUES = 1 << 27
"""Of all intermediates together: they lie in memory four times. Above it only the outputs of layers are compared."""
MANY_UNKNOWN = 0.3


def loading(patient: Patient) -> Finding:
    """Whether the model loads."""
    try:
        config = patient.model.config
    except NotCheckedError as failure:
        if failure.reason == DOES_NOT_LOAD:
            return bad(in_short(failure.problem), "Get the weights and their config.json again, from one place.")
        if failure.reason == TOO_LARGE:
            return warning(f"{failure.problem}.", "Run the doctor on a machine with more memory.")
        raise
    return good(f"It loads, as {config.param_dtype}.")


def texts(patient: Patient) -> Finding:
    """What the comparison is made on."""
    batch, tokenizer = _batch(patient)
    rows, width = batch["input_ids"].shape
    tokens = int(batch["attention_mask"].sum())
    if tokenizer is None:
        return note(
            f"Without a tokenizer: {rows} rows of random ids, {tokens} tokens, the longest of {width}.", texts=rows, tokens=tokens
        )
    unknown = int((batch["input_ids"] == tokenizer.unk_token_id).sum())
    text = (
        f"{rows} texts (short, long, a pair, accents, CJK, other scripts, emoji, none at all, special tokens), {tokens} tokens, "
        f"{unknown} of them [UNK]."
    )
    in_order = [*TEXTS, " + ".join(PAIR)]
    facts: dict[str, Any] = {"texts": rows, "tokens": tokens, "unknown": unknown, "in_order": in_order}
    if unknown > MANY_UNKNOWN * tokens:
        return note(f"{text} The vocabulary is not made for them.", **facts)
    return good(text, **facts)


def intermediates(patient: Patient) -> Finding:
    """Every intermediate against its true value; the report stays with the patient."""
    model = patient.model
    batch, _ = _batch(patient)
    names = intermediate_names(model.config.num_hidden_layers, pooler=model.pooler is not None)
    if _values(model.config, *batch["input_ids"].shape) > MOST_VALUES:
        names = layer_output_names(model.config.num_hidden_layers, pooler=model.pooler is not None)
    oracle = oracle_of(model)
    # What overflows is found in the values themselves.
    with np.errstate(all="ignore"):
        reference = computed_reference(oracle, batch, names)
        broken = reference.first_without_number
        if broken is not None:
            return bad(
                f"Even in float64 the values are no finite numbers, first in {broken}.",
                "Look at the weights' values above: this is what they give.",
                first=broken,
            )
        trace = record(model, batch, names)
        report = patient.report = compare(trace, reference)
        worst = max(report.rows, key=lambda row: row.ratio)
        facts: dict[str, Any] = {"compared": len(report.rows), "worst": worst.name, "worst_ratio": worst.ratio}
        first = report.first_disagreement
        if first is None:
            return good(
                f"All {len(report.rows)} agree with the float64 oracle: the largest error is {worst.ratio:.2g} times the floor "
                f"of float32, of {BUDGET} allowed, at {worst.name}.",
                **facts,
            )
        if report.notes:
            reason = f"{report.notes[0]}, while in float64 all values are finite."
        else:
            reason = str(diagnose(trace, oracle, reference)).removeprefix(f"It parts first at {first.name}. ")
    return bad(
        f"The model {report.verdict}; there the worst is text {first.worst[0]}, from 0. {reason}",
        "Do not use its numbers. Another machine or another version of JAX tells whether the checkpoint is to blame.",
        first=first.name,
        **facts,
    )


def _batch(patient: Patient) -> tuple[dict[str, np.ndarray], Tokenizer | None]:
    """The texts as ids, and the tokenizer that made them; without one that works, random ids."""
    config = patient.config
    try:
        tokenizer = patient.tokenizer
        return sample_batch(tokenizer, config), tokenizer
    except (NotCheckedError, TokenizerError):
        random = np.random.default_rng(0)
        shape = len(TEXTS) + 1, min(LONGEST_ROW // 2, config.max_position_embeddings)
        lengths = random.integers(1, shape[1] + 1, shape[0])
        lengths[0] = shape[1]
        return {
            "input_ids": random.integers(0, config.vocab_size, shape, dtype=np.int32),
            "token_type_ids": random.integers(0, config.type_vocab_size, shape, dtype=np.int32),
            "attention_mask": (np.arange(shape[1]) < lengths[:, None]).astype(np.int32),
        }, None


def _values(config: BertConfig, rows: int, tokens: int) -> int:
    """How many values all intermediates of the layers have."""
    widths = 9 * config.hidden_size + 2 * config.intermediate_size + 2 * config.num_attention_heads * tokens
    return rows * tokens * widths * config.num_hidden_layers
