"""Packing: every text once, in rows of few shapes, with little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.features.packing import LONE_WIDTH, SHORTEST, Shapes, most_texts, pack

SHAPES = Shapes(longest=256, tokens=1024)


@given(st.lists(st.integers(2, 256), max_size=300), st.sampled_from([1, 2, 8]))
def test_every_text_has_a_place_of_its_own(lengths: list[int], devices: int):
    shapes = Shapes(longest=256, tokens=1024, multiple_of=devices)
    seen: list[int] = []
    for batch in pack(lengths, shapes):
        taken = np.zeros(batch.shape, int)
        ranks: set[tuple[int, int]] = set()
        for text, (row, begin, rank) in zip(batch.texts.tolist(), batch.places.tolist(), strict=True):
            assert begin + lengths[text] <= batch.shape[1]
            taken[row, begin : begin + lengths[text]] += 1
            ranks.add((row, rank))
            assert rank < most_texts(batch.shape[1])
        assert taken.max() <= 1
        assert len(ranks) == len(batch.texts)
        assert batch.shape[0] % devices == 0
        seen += batch.texts.tolist()
    assert sorted(seen) == list(range(len(lengths)))


@given(st.lists(st.integers(2, 512), max_size=300))
def test_the_shapes_are_few(lengths: list[int]):
    shapes = Shapes(longest=512, tokens=1024)
    allowed = {(height, width) for width in shapes.widths for height in shapes.heights(width)} | {(1, LONE_WIDTH)}
    assert len(allowed) <= 12
    assert {batch.shape for batch in pack(lengths, shapes)} <= allowed


@pytest.mark.parametrize("typical", [6, 20, 60, 150, 300])
def test_padding_is_at_most_a_twelfth_of_many_texts(typical: int):
    lengths = np.random.default_rng(0).gamma(1.5, typical / 1.5, 4000).astype(int).clip(SHORTEST, 256).tolist()
    computed = sum(batch.shape[0] * batch.shape[1] for batch in pack(lengths, SHAPES))
    assert computed <= 1.08 * sum(lengths)


def test_a_lone_short_text_has_a_short_row():
    (batch,) = pack([9], SHAPES)
    assert batch.shape == (1, LONE_WIDTH)


def test_no_texts_make_no_batches():
    assert list(pack([], SHAPES)) == []


def test_the_arrays_hold_ids_positions_and_numbers_of_texts():
    ids = [np.array([5, 6, 7, 8], np.int32), np.array([9, 10, 11, 12, 13], np.int32)]
    (batch,) = pack([4, 5], SHAPES)
    arrays = batch.arrays(ids, pad_token_id=3)
    assert batch.shape == (1, 64)
    assert arrays["input_ids"][0, :10].tolist() == [9, 10, 11, 12, 13, 5, 6, 7, 8, 3]
    assert arrays["position_ids"][0, :10].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 0]
    assert arrays["segment_ids"][0, :10].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2, 0]
