"""The tokenizer's settings against the vocabulary, the model and each other."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minibert.errors import MinibertError, TokenizerError, shown
from minibert.printable import counted, listed
from minibert.strict_json import MAX_SETTINGS_BYTES, read_json_object
from minibert.tokenizer.casing import FEW_CAPITALS, capitals_and_letters
from minibert.tokenizer.settings import NO_MAXIMUM, read_special_tokens_map, read_tokenizer_config
from minibert.tokenizer.tokenizer_json import read_tokenizer_json
from minibert.verification.doctor.findings import Finding, bad, good, in_short, note, warning
from minibert.verification.doctor.patient import NO_VOCABULARY, NotCheckedError, Patient

FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")

MOSTLY = 0.5


def loading(patient: Patient) -> Finding:
    """Whether the tokenizer loads."""
    try:
        tokenizer = patient.tokenizer
    except NotCheckedError as failure:
        if failure.reason == NO_VOCABULARY:
            raise
        # Where the configuration is the cause, its own check says so.
        _ = patient.config_values
        return bad(
            in_short(failure.problem),
            "Restore the tokenizer's files as they were published; if they are as published, minibert does not compute this "
            "tokenizer: take the ids from the library that wrote it.",
        )
    settings = tokenizer.settings
    there = [name for name in FILES if os.path.exists(patient.folder / name)]
    case = "lower-casing" if settings.do_lower_case else "keeping case"
    accents = "accents stripped" if settings.removes_accents else "accents kept"
    return good(
        f"It loads from {listed(there)}: {case}, {accents}.",
        files=there,
        do_lower_case=settings.do_lower_case,
        strip_accents=settings.removes_accents,
    )


def case(patient: Patient) -> Finding:
    """Whether the tokenizer treats case as the vocabulary does."""
    tokenizer = patient.tokenizer
    capitals, letters = capitals_and_letters(tokenizer.vocabulary.tokens, tokenizer.settings.whole_tokens)
    text = f"{capitals:,} of {counted(letters, 'token')} with letters have capitals, and the tokenizer"
    facts: dict[str, Any] = {"capitalised": capitals, "with_letters": letters}
    if tokenizer.settings.do_lower_case and capitals > FEW_CAPITALS * letters:
        return warning(
            f"{text} turns all text into lower case: the vocabulary looks cased, and these tokens can never come.",
            'If the model was trained cased, write "do_lower_case": false into tokenizer_config.json.',
            **facts,
        )
    if not tokenizer.settings.do_lower_case and letters and capitals <= FEW_CAPITALS * letters:
        found = f"{text} keeps case: the vocabulary looks uncased, and words with capitals become [UNK]."
        if letters < MOSTLY * len(tokenizer.vocabulary):
            return note(f"{found} Most of its tokens have no letters with case.", **facts)
        return warning(
            found,
            'If the model was trained uncased, write "do_lower_case": true into tokenizer_config.json.',
            **facts,
        )
    return good(f"{text} {'turns all text into lower case' if tokenizer.settings.do_lower_case else 'keeps case'}.", **facts)


def maximum_length(patient: Patient) -> Finding:
    """The longest row of the tokenizer against the model's positions."""
    positions = patient.config.max_position_embeddings
    path = patient.folder / "tokenizer_config.json"
    stated: Any = None
    if os.path.exists(path):
        try:
            stated = read_json_object(path, error=TokenizerError, max_bytes=MAX_SETTINGS_BYTES).get("model_max_length")
        except TokenizerError as problem:
            raise NotCheckedError(in_short(problem)) from None
    if not isinstance(stated, int | float) or stated >= NO_MAXIMUM:
        return note(
            f"The tokenizer's files give none; minibert cuts at the model's {positions:,} positions.", max_positions=positions
        )
    if stated > positions:
        return warning(
            f"model_max_length is {stated:,} in {path.name}, but the model has {positions:,} positions. minibert cuts at "
            f"{positions:,}; other libraries fail, or read beyond the table.",
            f'Write "model_max_length": {positions} into {path.name}.',
            model_max_length=stated,
        )
    return good(f"{stated:,} tokens, of {positions:,} positions.", model_max_length=stated)


def contradictions(patient: Patient) -> Finding:
    """Settings that two files give differently, of which one counts."""
    readers: Mapping[str, Callable[[Path], Mapping[str, Any]]] = {
        "tokenizer.json": lambda path: read_tokenizer_json(path)[1],
        "special_tokens_map.json": lambda path: read_special_tokens_map(path)[0],
        "tokenizer_config.json": lambda path: read_tokenizer_config(path)[0],
    }
    given: dict[str, tuple[Any, str]] = {}
    differing = []
    for name, read in readers.items():
        if not os.path.exists(patient.folder / name):
            continue
        try:
            settings = read(patient.folder / name)
        except MinibertError as problem:
            raise NotCheckedError(in_short(problem)) from None
        for setting, value in settings.items():
            # None leaves it open: strip_accents is then as do_lower_case.
            before, where = given.get(setting, (None, ""))
            if value is not None and before is not None and before != value:
                differing.append(f"{setting} is {shown(before)} in {where} and {shown(value)} in {name}, which counts")
            if value is not None:
                given[setting] = (value, name)
    if not given:
        return note("No file gives settings: BERT's own hold, and the vocabulary decides on case.")
    if differing:
        return warning(f"{listed(differing)}.", "Other readers may take the other one: make the files say the same.")
    return good(f"None, over {counted(len(given), 'setting')}.")
