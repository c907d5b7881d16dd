"""Batches of rows, and the logits of many of them: whatever shares a batch, each row has its own answer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import WITHOUT_DROPOUT, small_model, small_rows

from minibert.training.inference import logits_of
from minibert.training.losses import IGNORED
from minibert.training.order import Order
from minibert.training.rows import WIDTHS, Rows, batch_of

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=12)
KINDS = ("class", "numbers", "answer", "tags")


def rows_of(lengths: list[int], kind: str) -> Rows:
    ids = [np.full(length, number + 1, np.int32) for number, length in enumerate(lengths)]
    types = [np.arange(length, dtype=np.int32) % 2 for length in lengths]
    labels = {
        "class": [np.array(number, np.int32) for number in range(len(ids))],
        "numbers": [np.array([number, np.nan], np.float32) for number in range(len(ids))],
        "answer": [np.array([0, number], np.int32) for number in range(len(ids))],
        "tags": [np.arange(length, dtype=np.int32) for length in lengths],
    }
    return Rows(ids, types, labels[kind], per_token=kind == "tags")


@given(LENGTHS, st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 5), st.data())
def test_a_batch_holds_its_rows_and_nothing_else(lengths: list[int], kind: str, missing: int, pad: int, data: Any):
    rows = rows_of(lengths, kind)
    numbers = data.draw(st.permutations(range(len(rows))))
    size = len(numbers) + missing
    batch = batch_of(rows, numbers, size, pad_token_id=pad)
    width = batch["input_ids"].shape[1]
    assert width == min((width for width in WIDTHS if width >= max(lengths)), default=max(lengths))
    assert {array.shape[0] for array in batch.values()} == {size}
    for place, number in enumerate(numbers):
        length = lengths[number]
        np.testing.assert_array_equal(batch["input_ids"][place], [number + 1] * length + [pad] * (width - length))
        np.testing.assert_array_equal(batch["attention_mask"][place], [1] * length + [0] * (width - length))
        np.testing.assert_array_equal(batch["token_type_ids"][place][:length], rows.token_type_ids[number])
        assert not batch["token_type_ids"][place][length:].any()
        expected = rows.labels[number]
        if kind == "tags":
            expected = np.concatenate([expected, np.full(width - length, IGNORED)])
        np.testing.assert_array_equal(batch["labels"][place], expected)
    labels = batch["labels"][len(numbers) :]
    assert np.isnan(labels).all() if kind == "numbers" else (labels == IGNORED).all()
    # A row that sees nothing would have no softmax.
    assert (batch["attention_mask"].sum(axis=1) >= 1).all()
    assert batch["labels"].dtype == rows.labels[0].dtype


@given(LENGTHS, st.sampled_from(KINDS), st.integers(1, 4), st.integers(1, 4))
def test_the_shares_of_a_batch_are_the_batch(lengths: list[int], kind: str, processes: int, rows_each: int):
    rows = rows_of(lengths, kind)
    size = processes * rows_each
    numbers = list(range(len(rows)))[:size]
    whole = batch_of(rows, numbers, size)
    shares = [batch_of(rows, numbers, size, share=slice(rows_each * one, rows_each * (one + 1))) for one in range(processes)]
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([share[name] for share in shares]), array)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 1 << 31 - 1), st.integers(0, 3))
@settings(max_examples=50)
def test_every_epoch_has_every_row_once_in_an_order_that_needs_no_memory(rows: int, size: int, seed: int, epoch: int):
    order = Order(rows, size, seed)
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    batches = [order.batch(step) for step in steps]
    assert sorted(number for batch in batches for number in batch) == list(range(rows))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    assert [Order(rows, size, seed).batch(step) for step in reversed(steps)] == batches[::-1]


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(Order(30, 30, seed).batch(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.fixture(scope="module")
def model() -> Any:
    return small_model("token_classification", 3, num_hidden_layers=1)


def test_the_logits_of_a_row_depend_neither_on_the_size_of_the_batch_nor_on_the_order(model: Any):
    rows = small_rows(23)
    found = logits_of(model, rows, batch_size=8)
    turned = Rows(rows.input_ids[::-1], rows.token_type_ids[::-1], rows.labels[::-1])
    for others in (logits_of(model, rows, batch_size=3), logits_of(model, turned, batch_size=8)[::-1]):
        for one, other in zip(found, others, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.long
def test_the_logits_of_tokens_have_no_padding_and_are_those_of_the_row_alone(model: Any):
    rows = small_rows(9)
    for ids, logits in zip(rows.input_ids, logits_of(model, rows, batch_size=8), strict=True):
        assert logits.shape == (len(ids), 3)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, np.asarray(model(ids[None]).logits)[0], atol=1e-5)


def test_the_padding_that_a_tokenizer_has_is_used_and_dropout_is_off(model: Any):
    rows = small_rows(8)
    first, second, again = (logits_of(model, rows, batch_size=8, pad_token_id=pad) for pad in (0, 39, 0))
    for one, other, same in zip(first, second, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert one.tobytes() == same.tobytes()
    undropped = small_model("token_classification", 3, num_hidden_layers=1, **WITHOUT_DROPOUT)
    for one, other in zip(first, logits_of(undropped, rows, batch_size=8), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_rows_have_no_logits(model: Any):
    assert logits_of(model, Rows([], [], [])) == []


def test_no_batch_is_wider_than_a_model_takes_and_none_loses_a_token():
    rows = small_rows(4)
    longest = max(map(len, rows.input_ids))
    widths = [batch_of(rows, range(4), 4, widest=widest)["input_ids"].shape[1] for widest in (None, longest, 100, 1)]
    rounded = min(width for width in WIDTHS if width >= longest)
    assert widths == [rounded, longest, rounded, longest] and longest < rounded
    positions = small_model(**WITHOUT_DROPOUT, max_position_embeddings=longest)
    assert len(logits_of(positions, rows, batch_size=4)) == 4
