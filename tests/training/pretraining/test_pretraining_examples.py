"""Rows of two segments, and of one: where they come from, how long they are, and what is drawn how often."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_text import CLS, FIRST_WORD, SEP, corpus_of, counted_documents, maker_of, segments_of, unmasked, within

from minibert.training.losses import IGNORED
from minibert.training.pretraining.examples import IS_NEXT, IS_RANDOM, Example

LENGTHS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=12), min_size=2, max_size=6)
PROPERTY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def document_of(documents: list[list[list[int]]], token: int) -> int:
    return next(number for number, document in enumerate(documents) if document[0][0] <= token <= document[-1][-1])


def is_run(tokens: list[int]) -> bool:
    return tokens == list(range(tokens[0], tokens[0] + len(tokens)))


def check_row(example: Example, max_length: int, separators: int) -> None:
    ids = unmasked(example)
    assert len(ids) <= max_length
    assert ids[0] == CLS and ids[-1] == SEP and ids[example.first_length - 1] == SEP
    assert (ids.count(CLS), ids.count(SEP)) == (1, separators)
    assert len(example.positions) >= 1
    assert min(example.originals) >= FIRST_WORD


@given(lengths=LENGTHS, max_length=st.integers(5, 40), short_share=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 99))
@PROPERTY
def test_segments_are_what_their_label_says(lengths, max_length: int, short_share: float, seed: int, tmp_path: Path):
    documents = counted_documents(lengths)
    maker = maker_of(corpus_of(tmp_path, documents), max_length, short_share=short_share, seed=seed)
    for number in range(len(documents)):
        others = [number, *(each for each in range(len(documents)) if each != number)]
        for example in maker.examples(others):
            check_row(example, max_length, separators=2)
            first, second = segments_of(example)
            assert is_run(first) and is_run(second)
            same = document_of(documents, first[0]) == document_of(documents, second[0])
            assert example.next_sentence == (IS_NEXT if same else IS_RANDOM)
            if same:
                assert first[-1] < second[0]


@given(lengths=LENGTHS, seed=st.integers(0, 99))
@PROPERTY
def test_every_sentence_is_in_one_row_as_its_own_document(lengths, seed: int, tmp_path: Path):
    documents = counted_documents(lengths)
    # Rows that are longer than all of the text are never cut.
    maker = maker_of(corpus_of(tmp_path, documents), 4000, short_share=0.0, seed=seed)
    found: list[int] = []
    starts = {sentence[0] for document in documents for sentence in document}
    for example in maker.examples(range(len(documents))):
        first, second = segments_of(example)
        found += first + (second if example.next_sentence == IS_NEXT else [])
        assert first[0] in starts and second[0] in starts
    assert found == list(range(FIRST_WORD, FIRST_WORD + sum(map(sum, lengths))))


@given(lengths=LENGTHS, max_length=st.integers(5, 40), short_share=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 99))
@PROPERTY
def test_single_segments_have_every_token_once(lengths, max_length: int, short_share: float, seed: int, tmp_path: Path):
    documents = counted_documents(lengths)
    corpus = corpus_of(tmp_path, documents)
    found: list[int] = []
    for example in maker_of(corpus, max_length, pairs=False, short_share=short_share, seed=seed).examples(range(len(documents))):
        check_row(example, max_length, separators=1)
        assert example.first_length == len(example.input_ids) and example.next_sentence == IGNORED
        found += segments_of(example)[0]
    assert found == list(range(FIRST_WORD, FIRST_WORD + sum(map(sum, lengths))))


def test_single_segments_are_whole_sentences_where_these_fit(tmp_path: Path):
    corpus = corpus_of(tmp_path, counted_documents([[4, 4, 4, 30, 3, 2]]))
    lengths = [len(example.input_ids) - 2 for example in maker_of(corpus, 12, pairs=False, short_share=0.0).examples([0])]
    # Of the long one, 10 by 10 tokens and then nothing is left to divide.
    assert lengths == [8, 4, 10, 10, 10, 5]


def test_the_same_seed_gives_the_same_rows_and_another_pass_or_seed_others(tmp_path: Path):
    corpus = corpus_of(tmp_path, counted_documents([[5] * 20, [7] * 20, [3] * 20]))

    def bytes_of(seed: int, number: int) -> bytes:
        rows = maker_of(corpus, 32, seed=seed).examples(range(3), number)
        return b"".join(part.tobytes() for row in rows for part in (row.input_ids, row.positions, row.originals))

    assert bytes_of(0, 0) == bytes_of(0, 0)
    assert len({bytes_of(0, 0), bytes_of(0, 1), bytes_of(1, 0)}) == 3


def test_a_document_of_one_sentence_is_always_followed_by_another_one(tmp_path: Path):
    corpus = corpus_of(tmp_path, counted_documents([[6], [6], [6]]))
    assert [example.next_sentence for example in maker_of(corpus).examples(range(3))] == [IS_RANDOM] * 3


def test_the_second_segment_comes_from_the_documents_that_were_given_only(tmp_path: Path):
    documents = counted_documents([[6] * 4] * 10)
    corpus, chosen = corpus_of(tmp_path, documents), np.array([1, 4, 7])
    for number in range(20):
        for example in maker_of(corpus).examples(chosen, number):
            assert {document_of(documents, segment[0]) for segment in segments_of(example)} <= set(chosen.tolist())


def test_half_of_the_pairs_that_have_a_choice_are_of_two_documents(tmp_path: Path):
    documents = counted_documents([[5] * 160] * 4)
    maker, last = maker_of(corpus_of(tmp_path, documents), 64, short_share=0.0), {document[-1][-1] for document in documents}
    labels = []
    others = np.zeros(4, int)
    for number in range(20):
        for example in maker.examples(range(4), number):
            first, second = segments_of(example)
            # The last sentence of a document, if it is left alone, has nothing behind it.
            if not last.intersection(range(first[0], first[-1] + 5)):
                labels.append(example.next_sentence)
            if example.next_sentence == IS_RANDOM:
                others[document_of(documents, second[0])] += 1
    assert len(labels) > 1000
    assert within(sum(labels), len(labels), 0.5)
    assert all(within(count, others.sum(), 0.25) for count in others.tolist())


def test_one_document_of_ten_gives_shorter_rows_of_any_length(tmp_path: Path):
    # A token a sentence: rows are as long as was wanted, but for the last of a document.
    documents = counted_documents([[1] * 70] * 40)
    maker, room = maker_of(corpus_of(tmp_path, documents), 64, pairs=False), 62
    wanted = []
    for number in range(20):
        longest = np.zeros(40, int)
        for example in maker.examples(range(40), number):
            document = (segments_of(example)[0][0] - FIRST_WORD) // 70
            longest[document] = max(longest[document], len(example.input_ids) - 2)
        wanted += longest.tolist()
    short = [length for length in wanted if length < room]
    # A length that is drawn may also be the whole one.
    assert within(len(short), len(wanted), 0.1 * (room - 2) / (room - 1))
    spread = ((room - 2) ** 2 / 12 / len(short)) ** 0.5
    assert abs(np.mean(short) - (2 + room - 1) / 2) <= 4.0 * spread


@pytest.mark.parametrize(("first", "second"), [(40, 2), (2, 40), (20, 20), (21, 20)])
def test_what_is_too_long_is_cut_at_front_and_back_of_the_longer_one(first: int, second: int, tmp_path: Path):
    documents = counted_documents([[first, second], [1]])
    maker = maker_of(corpus_of(tmp_path, documents), 23, short_share=0.0)
    fronts: list[int] = []
    for number in range(100):
        example = next(maker.examples([0, 1], number))
        if example.next_sentence != IS_NEXT:
            continue
        left, right = segments_of(example)
        assert (len(left), len(right)) == {(40, 2): (18, 2), (2, 40): (2, 18)}.get((first, second), (10, 10))
        lost = left[0] - FIRST_WORD if first >= second else right[0] - FIRST_WORD - first
        fronts.append(lost)
    surplus = max(first, second) - (18 if min(first, second) == 2 else 10)
    assert within(sum(fronts), len(fronts) * surplus, 0.5)
