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
    monkeypatch.setattr(module, "AT_A_TIME", 50)
    blocks = nearest(queries, corpus, 7)
    np.testing.assert_array_equal(whole.indices, blocks.indices)
    np.testing.assert_array_equal(whole.indices, np.argsort(-cosine_similarity(queries, corpus), axis=1)[:, :7])


def test_more_than_there_are_gives_all():
    assert nearest(np.ones((2, 3)), np.ones((4, 3)), 9).indices.shape == (2, 4)
    assert nearest(np.ones((2, 3)), np.ones((0, 3)), 9).indices.shape == (2, 0)
