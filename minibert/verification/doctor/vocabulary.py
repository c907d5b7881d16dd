"""The vocabulary against the table of word embeddings."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from minibert.printable import counted, listed
from minibert.tokenizer import TokenizerSettings
from minibert.tokenizer.folder import is_padded
from minibert.verification.doctor.findings import Finding, bad, good, in_short, note, warning
from minibert.verification.doctor.patient import NO_VOCABULARY, NotCheckedError, Patient

ROWS_AT_ONCE = 4096
# The tokens whose ids a configuration may state as well.
STATED_IDS = ("pad_token", "cls_token", "sep_token", "mask_token")


def file(patient: Patient) -> Finding:
    """Whether there is a vocabulary that can be read."""
    try:
        vocabulary = patient.vocabulary
    except NotCheckedError as failure:
        if failure.reason == NO_VOCABULARY:
            return warning(
                "The folder has neither vocab.txt nor tokenizer.json: the model takes ids, and no text becomes ids.",
                "Copy the vocabulary that the model was trained with into the folder.",
            )
        return bad(in_short(failure.problem), "Restore the vocabulary as it was published.")
    return good(f"{len(vocabulary):,} tokens, from {patient.vocabulary_file.name}.", tokens=len(vocabulary))


def rows(patient: Patient) -> Finding:
    """Whether every token has a row in the table, and every row a token."""
    tokens, height = len(patient.vocabulary), patient.word_table.shape[0]
    facts: dict[str, Any] = {"tokens": tokens, "rows": height}
    if tokens > height:
        return bad(
            f"{tokens:,} tokens, but only {height:,} rows in the table of word embeddings: "
            f"{counted(tokens - height, 'token')} would have no vector.",
            "Use the vocabulary that belongs to the weights.",
            **facts,
        )
    if tokens < height:
        gap = height - tokens
        text = f"{tokens:,} tokens and {height:,} rows in the table of word embeddings: the last {gap:,} have no token."
        if is_padded(height, tokens):
            return note(f"{text} The table looks padded to a round number, {height:,}.", **facts)
        return bad(
            f"{text} No padding to a round number explains that: a vocabulary that lacks lines, or another model's, gives every "
            "token behind the first missing line the wrong vector.",
            "Use the vocabulary that belongs to the weights, whole.",
            **facts,
        )
    return good(f"{tokens:,} tokens and as many rows in the table of word embeddings.", **facts)


def special_tokens(patient: Patient) -> Finding:
    """The ids of BERT's five special tokens."""
    ids = _special_ids(patient)
    lacking = [token for token, token_id in ids.values() if token_id is None]
    if lacking:
        return bad(
            f"The vocabulary lacks {listed(lacking)}.",
            "Use the vocabulary that belongs to the weights, or name the tokens in tokenizer_config.json.",
        )
    shown = ", ".join(f"{token} {token_id:,}" for token, token_id in ids.values())
    return good(f"{shown}.", **{name: token_id for name, (_, token_id) in ids.items()})


def stated_ids(patient: Patient) -> Finding:
    """Whether the configuration and the vocabulary give the same ids to special tokens."""
    ids = _special_ids(patient)
    differing, same = [], []
    for name in STATED_IDS:
        token, token_id = ids[name]
        # Without a word of the file the padding has the id 0, for every reader.
        stated = patient.config_values.get(f"{name}_id", 0 if name == "pad_token" else None)
        if token_id is None or stated is None:
            continue
        if stated != token_id:
            differing.append(f"{name}_id is {stated!r} by {patient.config_file.name}, but {token} has the id {token_id:,}")
        else:
            same.append(token)
    if differing:
        return warning(
            f"{'; '.join(differing)}.",
            f"Correct {patient.config_file.name}: what pads by it marks the wrong token as padding.",
        )
    return good(f"The configuration and the vocabulary agree on {listed(same)}." if same else "The configuration states none.")


def equal_rows(patient: Patient) -> Finding:
    """Rows of the table that are the same as others."""
    table = patient.word_table.read()
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for start in range(0, len(table), ROWS_AT_ONCE):
        piece = table[start : start + ROWS_AT_ONCE]
        for row in np.flatnonzero(piece.any(axis=1)):
            groups[hash(piece[row].tobytes())].append(start + int(row))
    alike = [rows for rows in groups.values() if len(rows) > 1]
    if not alike:
        return good("No two rows of the table are equal.")
    tokens = _tokens(patient)
    used = [rows for rows in alike if any(_is_used(tokens, row) for row in rows[1:])]
    number = sum(len(rows) - 1 for rows in alike)
    examples = _listed(used or alike, lambda rows: " = ".join(_named(tokens, row) for row in rows[:2]), 3)
    text = f"{counted(number, 'row')} of the table equal to another one: {examples}."
    if not used:
        return note(f"{text} They belong to no token that texts have.", equal=number)
    return warning(
        text, "The model cannot tell these tokens apart; fine-tune it, or ask where the checkpoint comes from.", equal=number
    )


def zero_rows(patient: Patient) -> Finding:
    """Rows of the table that are all zero."""
    table = patient.word_table.read()
    pieces = [table[start : start + ROWS_AT_ONCE] for start in range(0, len(table), ROWS_AT_ONCE)]
    zero = [int(row) for row in np.flatnonzero(~np.concatenate([piece.any(axis=1) for piece in pieces]))] if pieces else []
    if not zero:
        return good("No row of the table is all zero.")
    tokens, padding = _tokens(patient), _padding(patient)
    used = [row for row in zero if _is_used(tokens, row) and row != padding]
    shown = _listed(used or zero, lambda row: _named(tokens, row), 5)
    text = f"{counted(len(zero), 'row')} of the table all zero: {shown}."
    if not used:
        return note(f"{text} {'That is the padding.' if len(zero) == 1 else 'No text has these tokens.'}", zero=len(zero))
    return warning(text, "These tokens carry no meaning of their own; ask where the checkpoint comes from.", zero=len(zero))


def _special_ids(patient: Patient) -> dict[str, tuple[str, int | None]]:
    """The special tokens by the names of their settings, with their ids where the vocabulary has them."""
    try:
        settings = patient.tokenizer.settings
    except NotCheckedError:
        settings = TokenizerSettings()
    return {name: (token, patient.vocabulary.ids.get(token)) for name, token in settings.special_tokens.items()}


def _padding(patient: Patient) -> int:
    try:
        padding = _special_ids(patient)["pad_token"][1]
    except NotCheckedError:
        padding = None
    return 0 if padding is None else padding


def _tokens(patient: Patient) -> tuple[str, ...] | None:
    """The tokens by their ids; None without a vocabulary."""
    try:
        return patient.vocabulary.tokens
    except NotCheckedError:
        return None


def _is_used(tokens: tuple[str, ...] | None, row: int) -> bool:
    """Whether texts may have the token of a row; without a vocabulary, of any row."""
    return tokens is None or (row < len(tokens) and not tokens[row].startswith("[unused"))


def _named(tokens: tuple[str, ...] | None, row: int) -> str:
    return f"{tokens[row]!r} ({row:,})" if tokens is not None and row < len(tokens) else f"row {row:,}"


Item = TypeVar("Item")


def _listed(items: Sequence[Item], name: Callable[[Item], str], most: int) -> str:
    """As `listed`, for more items than names can be made of."""
    more = len(items) - most
    return listed([name(item) for item in items[:most]]) + (f" and {more:,} more" if more > 0 else "")
