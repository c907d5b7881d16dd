"""Cosines and the nearest of a corpus."""

import numpy as np

from minibert.features import cosine_similarity, nearest
from minibert.features import similarity as module


def test_the_cosine_of_every_pair():
    left = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 0.0]])
    right = np.array([[3.0, 0.0], [0.0, -1.0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(cosine_similarity(left, right), [[1, 0], [half, -half], [0, 0]], atol=1e-7)


def test_the_nearest_come_first_and_equal_ones_in_the_order_of_the_corpus():
    corpus = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0], [5.0, 0.0]])
    hits = nearest(np.array([[1.0, 0.0]]), corpus, 3)
    assert hits.indices.tolist() == [[1, 3, 2]]
    np.testing.assert_allclose(hits.scores, [[1.0, 1.0, np.sqrt(0.5)]], atol=1e-6)


def test_blocks_find_what_the_whole_finds(monkeypatch):
    generator = np.random.default_rng(0)
    queries, corpus = generator.normal(size=(5, 8)), generator.normal(size=(103, 8))
    whole = nearest(queries, corpus, 7)
    monkeypatch.setattr(module, "NUMBERS_AT_A_TIME", 50)
    blocks = nearest(queries, corpus, 7)
    np.testing.assert_array_equal(whole.indices, blocks.indices)
    np.testing.assert_array_equal(whole.indices, np.argsort(-cosine_similarity(queries, corpus), axis=1)[:, :7])


def test_a_single_query_takes_in_no_more_of_a_large_corpus_at_a_time(monkeypatch):
    taken = []
    monkeypatch.setattr(module, "NUMBERS_AT_A_TIME", 80)
    monkeypatch.setattr(module, "unit", lambda vectors: taken.append(vectors.size) or np.asarray(vectors, np.float32))
    nearest(np.ones((1, 8)), np.ones((1000, 8)), 3)
    assert max(taken) == 80


def test_equal_entries_come_in_order_in_any_number_and_any_block(monkeypatch):
    corpus = np.tile([[1.0, 0.0], [0.0, 1.0]], (50, 1))
    for numbers in (1 << 22, 20):
        monkeypatch.setattr(module, "NUMBERS_AT_A_TIME", numbers)
        assert nearest(np.array([[1.0, 0.0]]), corpus, 6).indices.tolist() == [[0, 2, 4, 6, 8, 10]]


def test_a_vector_that_is_not_a_number_is_the_last(monkeypatch):
    hits = nearest(np.array([[1.0, 0.0]]), np.array([[np.nan, 0.0], [-1.0, 0.0], [1.0, 0.0]]), 3)
    assert hits.indices.tolist() == [[2, 1, 0]]


def test_more_than_there_are_gives_all():
    assert nearest(np.ones((2, 3)), np.ones((4, 3)), 9).indices.shape == (2, 4)
    assert nearest(np.ones((2, 3)), np.ones((0, 3)), 9).indices.shape == (2, 0)
