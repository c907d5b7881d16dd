"""Our tokens against what the references answered when tests/goldens was recorded; none of them is needed here."""

import functools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hostile_texts import hostile_vocabulary
from row_combinations import our_rows, small_tokenizer
from stored_answers import (
    FOLDER,
    SETTINGS,
    Answers,
    code_point_blocks,
    digest,
    digests_of_code_points,
    random_groups,
    split_digests,
)

from minibert.tokenizer import Tokenizer, TokenizerSettings

HF = json.loads((FOLDER / "tokenizer_hf.json").read_text(encoding="utf-8"))
GOOGLE = json.loads((FOLDER / "tokenizer_google.json").read_text(encoding="utf-8"))
VOCABULARY = hostile_vocabulary()

# All of them take minutes, and are compared live: here the code points of the scripts of most texts and one of 128 other
# blocks, all of them in the first settings and one of three in each of the others, and a part of the random texts.
BLOCKS = [place for place in range(len(code_point_blocks())) if place < 0x3100 // 256 or place % 128 == 0]
GROUPS = random_groups()[::3]


@functools.cache
def tokenizer(**settings: Any) -> Tokenizer:
    return Tokenizer(VOCABULARY, TokenizerSettings(**settings))


def hf_answers(tokenizer: Tokenizer) -> Answers:
    def answers(texts: Sequence[str]) -> list[object]:
        wanted = dict.fromkeys(("return_offsets_mapping", "return_word_ids", "return_special_tokens_mask"), True)
        batch = tokenizer(list(texts), padding=False, return_tensors=None, **wanted)
        keys = ("input_ids", "offset_mapping", "word_ids", "special_tokens_mask")
        return [list(row) for row in zip(*(batch[key] for key in keys), strict=True)]

    return answers


def google_answers(tokenizer: Tokenizer) -> Answers:
    return lambda texts: [tokenizer.tokenize(text) for text in texts]


def different_groups(answers: Answers, stored: str) -> list[int]:
    found = [digest(answers, group) for group in GROUPS]
    return [place for place, pair in enumerate(zip(found, split_digests(stored)[::3], strict=True)) if pair[0] != pair[1]]


def different_blocks(answers: Answers, stored: str, places: list[int]) -> list[str]:
    blocks = code_point_blocks()
    found = digests_of_code_points(answers, [blocks[place] for place in places])
    expected = split_digests(stored)
    assert len(expected) == len(blocks)
    return [
        f"U+{blocks[place][0]:04X} to U+{blocks[place][-1]:04X}"
        for place, each in zip(places, found, strict=True)
        if each != expected[place]
    ]


@pytest.mark.parametrize("place", range(len(HF["rows"])))
def test_texts_have_the_ids_offsets_words_and_mask_of_the_library(place: int):
    row = HF["rows"][place]
    found = hf_answers(tokenizer(**row["settings"]))([row["text"]])[0]
    assert json.loads(json.dumps(found)) == row["answer"]


@pytest.mark.parametrize("place", range(len(GOOGLE["rows"])))
def test_texts_have_the_tokens_of_the_original(place: int):
    row = GOOGLE["rows"][place]
    assert tokenizer(flavor="google", do_lower_case=row["do_lower_case"]).tokenize(row["text"]) == row["tokens"]


@pytest.mark.parametrize("place", range(len(SETTINGS)))
def test_random_texts_are_those_of_the_library(place: int):
    assert different_groups(hf_answers(tokenizer(**SETTINGS[place])), HF["random_digests"][place]) == []


@pytest.mark.parametrize("place", range(len(SETTINGS)))
def test_code_points_are_those_of_the_library(place: int):
    places = BLOCKS if place == 0 else BLOCKS[place::3]
    assert different_blocks(hf_answers(tokenizer(**SETTINGS[place])), HF["code_point_digests"][place], places) == []


@pytest.mark.parametrize("place", [0, 1])
def test_random_texts_are_those_of_the_original(place: int):
    answers = google_answers(tokenizer(flavor="google", do_lower_case=place == 0))
    assert different_groups(answers, GOOGLE["random_digests"][place]) == []


@pytest.mark.parametrize("place", [0, 1])
def test_code_points_are_those_of_the_original(place: int):
    answers = google_answers(tokenizer(flavor="google", do_lower_case=place == 0))
    assert different_blocks(answers, GOOGLE["code_point_digests"][place], BLOCKS) == []


@pytest.mark.parametrize("place", range(len(HF["combinations"])))
def test_rows_are_those_of_the_library(place: int):
    recorded = HF["combinations"][place]
    found = our_rows(small_tokenizer(), recorded["samples"], recorded["options"])
    assert json.loads(json.dumps(found)) == recorded["rows"]
