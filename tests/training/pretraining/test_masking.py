"""Masks: what may be hidden, how much of it, and behind what."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_text import CLS, FIRST_PIECE, FIRST_WORD, MASK, PIECES, SEP, SPECIAL, TOKENIZER, UNK, WORDS, masking, within

from minibert.training.pretraining.masking import Masking

TOKENS = st.one_of(
    st.integers(FIRST_WORD, FIRST_WORD + 20), st.integers(FIRST_PIECE, FIRST_PIECE + 20), st.sampled_from([UNK, SEP, MASK])
)
ROWS = st.lists(TOKENS, min_size=0, max_size=80).map(lambda inner: np.array([CLS, *inner, SEP], np.int32))
HOW = st.fixed_dictionaries(
    {"share": st.sampled_from([0.0, 0.15, 0.5, 1.0]), "most": st.integers(1, 30), "whole_word": st.booleans()}
)
SEEDS = st.integers(0, 1000)


def words_of(ids: np.ndarray) -> list[list[int]]:
    """The places of every word of the row: a piece belongs to the token before it, if that is no special one."""
    words: list[list[int]] = []
    for place, token in enumerate(ids.tolist()):
        if token < FIRST_WORD:
            continue
        if token >= FIRST_PIECE and place and ids[place - 1] >= FIRST_WORD:
            words[-1].append(place)
        else:
            words.append([place])
    return words


@given(ids=ROWS, how=HOW, seed=SEEDS)
@settings(deadline=None)
def test_only_words_are_hidden_and_what_stood_there_is_told(ids: np.ndarray, how: dict[str, Any], seed: int):
    before = ids.copy()
    row = masking(**how)(ids, np.random.default_rng(seed))
    np.testing.assert_array_equal(ids, before)
    assert (ids[row.positions] >= FIRST_WORD).all()
    assert (np.diff(row.positions) > 0).all()
    np.testing.assert_array_equal(row.originals, ids[row.positions])
    elsewhere = np.setdiff1d(np.arange(len(ids)), row.positions)
    np.testing.assert_array_equal(row.input_ids[elsewhere], ids[elsewhere])
    shown = row.input_ids[row.positions]
    assert ((shown == MASK) | (shown >= FIRST_WORD)).all()


@given(ids=ROWS, how=HOW, seed=SEEDS)
@settings(deadline=None)
def test_as_many_are_hidden_as_the_share_says(ids: np.ndarray, how: dict[str, Any], seed: int):
    mask = masking(**how)
    found = len(mask(ids, np.random.default_rng(seed)).positions)
    words = words_of(ids)
    tokens = sum(map(len, words))
    wanted = min(mask.most, max(1, round(len(ids) * mask.share)))
    if not mask.whole_word:
        assert found == min(wanted, tokens)
        return
    lengths = sorted(map(len, words))
    if not words or lengths[0] > mask.most:
        assert found == 0
    elif lengths[0] > wanted:
        assert found == lengths[0]
    else:
        assert 1 <= found <= wanted


@given(ids=ROWS, seed=SEEDS, most=st.integers(1, 30))
@settings(deadline=None)
def test_whole_words_are_hidden_whole(ids: np.ndarray, seed: int, most: int):
    positions = set(masking(whole_word=True, most=most)(ids, np.random.default_rng(seed)).positions.tolist())
    for word in words_of(ids):
        assert positions.issuperset(word) or positions.isdisjoint(word)


@given(ids=ROWS, how=HOW, seed=SEEDS)
@settings(deadline=None)
def test_a_row_and_a_state_of_the_generator_give_one_mask(ids: np.ndarray, how: dict[str, Any], seed: int):
    first, second = (masking(**how)(ids, np.random.default_rng(seed)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.tobytes() == other.tobytes()


def test_pieces_behind_a_separator_begin_a_word_of_their_own():
    ids = np.array([CLS, FIRST_WORD, SEP, FIRST_PIECE, FIRST_PIECE + 1, SEP], np.int32)
    found = {tuple(masking(whole_word=True, most=2)(ids, np.random.default_rng(seed)).positions) for seed in range(40)}
    assert found == {(1,)}, "of a row of six one token is wanted, and the word of two pieces does not fit"
    assert words_of(ids) == [[1], [3, 4]]


def test_special_tokens_that_were_added_are_not_hidden():
    tokenizer = type(TOKENIZER)(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
    tokenizer.add_special_tokens(["[E]"])
    mask = Masking.of(tokenizer, share=1.0, most=10, whole_word=False)
    row = mask(np.array([2, 5, 6, 5, 3], np.int32), np.random.default_rng(0))
    assert row.positions.tolist() == [1, 3]


@pytest.mark.parametrize("whole_word", [False, True])
def test_of_the_hidden_ones_80_10_and_10_of_a_hundred_become_mask_another_and_stay(whole_word: bool):
    random, mask = np.random.default_rng(5), masking(whole_word=whole_word)
    counts = np.zeros(3, int)
    masked = tokens = 0
    others: list[np.ndarray] = []
    for _ in range(600):
        inner = random.integers(FIRST_WORD, FIRST_PIECE, 126)
        inner[random.random(126) < 0.3] += PIECES  # not all of these are pieces, which is as good
        ids = np.array([CLS, *inner.tolist(), SEP], np.int32)
        row = mask(ids, random)
        shown = row.input_ids[row.positions]
        is_mask, stays = shown == MASK, shown == row.originals
        counts += [is_mask.sum(), (~is_mask & ~stays).sum(), stays.sum()]
        others.append(shown[~is_mask & ~stays])
        masked, tokens = masked + len(row.positions), tokens + len(ids)
    assert masked / tokens == pytest.approx(0.15, abs=0.003)
    # A random token is the one that stood there once in 5,000 times.
    same = 0.1 / (WORDS + PIECES)
    assert within(int(counts[0]), masked, 0.8) and within(int(counts[1]), masked, 0.1 - same)
    assert within(int(counts[2]), masked, 0.1 + same)
    replaced = np.concatenate(others)
    assert replaced.min() >= len(SPECIAL)
    assert within(int((replaced >= FIRST_PIECE).sum()), len(replaced), PIECES / (WORDS + PIECES))


def test_every_place_is_hidden_as_often():
    ids, mask = np.array([CLS, *range(FIRST_WORD, FIRST_WORD + 40), SEP], np.int32), masking()
    random = np.random.default_rng(1)
    counts = np.zeros(len(ids), int)
    for _ in range(800):
        counts[mask(ids, random).positions] += 1
    assert counts[0] == counts[-1] == 0
    assert all(within(int(count), 800, 6 / 40) for count in counts[1:-1])
