"""Sentence vectors by MiniLM's own recipe: order, batching, truncation, pooling, similarity."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from minibert import Features, InputError
from minibert.features import cosine_similarity
from minibert.features.sentences import pool

FOUR = [
    "That movie was absolutely fantastic.",
    "This film is creative and surprising.",
    "Ford is an American multinational automaker that has its main headquarters in Dearborn, Michigan, a suburb of Detroit.",
    "The Volkswagen Group with its headquarters in Wolfsburg, Germany is one of the world's leading manufacturers of "
    "automobiles and commercial vehicles.",
]


@pytest.fixture(scope="module")
def features(minilm_folder: Path) -> Features:
    return Features(minilm_folder)


def test_texts_of_like_meaning_are_nearest(features: Features):
    similarity = features.similarity(FOUR, FOUR)
    np.testing.assert_allclose(np.diag(similarity), 1.0, atol=1e-6)
    np.fill_diagonal(similarity, -1.0)
    assert similarity.argmax(axis=1).tolist() == [1, 0, 3, 2]


def test_vectors_are_float32_of_length_one(features: Features):
    vectors = features.sentences(FOUR)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_many_texts_of_mixed_lengths_come_back_in_order_and_as_if_alone(features: Features):
    # More texts than one batch takes, of five lengths that change from text to text.
    texts = [" ".join(["bank"] * (1 + 11 * (index % 5)) + [str(index)]) for index in range(45)]
    together = features.sentences(texts)
    for index in (0, 1, 2, 3, 4, 17, 44):
        np.testing.assert_allclose(together[index], features.sentences([texts[index]])[0], atol=1e-5)
    assert len(np.unique(together.round(4), axis=0)) == 45


def test_an_empty_text_has_a_vector_too(features: Features):
    alone, beside = features.sentences([""])[0], features.sentences([*FOUR, ""])[4]
    assert np.linalg.norm(alone) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_no_texts_give_no_vectors(features: Features):
    vectors = features.sentences([])
    assert vectors.shape == (0, 384)
    assert vectors.dtype == np.float32
    assert features.similarity([], FOUR).shape == (0, 4)


def test_a_text_of_256_tokens_fits_and_one_of_257_is_cut_and_counted(features: Features):
    fits, cut, cut_more = (" ".join(["bank"] * (tokens - 2)) for tokens in (256, 257, 300))
    vectors = features.sentences([cut, "mole", fits, cut_more])
    assert features.truncated == 2
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
    np.testing.assert_allclose(vectors[3], vectors[2], atol=1e-5)


def test_the_count_of_cut_texts_starts_anew_with_every_call(features: Features):
    features.sentences([" ".join(["bank"] * 300)])
    features.sentences(["mole"])
    assert features.truncated == 0


@pytest.mark.usefixtures("without_shape_checks")
def test_a_single_string_is_refused(features: Features):
    with pytest.raises(InputError, match=r"give a list of texts: \[text\]"):
        features.sentences("That movie was absolutely fantastic.")


@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_no_string_is_refused(features: Features):
    with pytest.raises(InputError, match=r"texts\[1\] is a NoneType"):
        features.sentences(["mole", None])


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_pooling_leaves_padding_out(pooling: str):
    hidden = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    mask = jnp.asarray([[1, 1, 1], [1, 1, 0]])
    dirty = hidden.copy()
    dirty[1, 2] = 1e9
    np.testing.assert_array_equal(pool(jnp.asarray(hidden), mask, pooling), pool(jnp.asarray(dirty), mask, pooling))


def test_pooling_takes_the_mean_the_first_or_the_largest():
    hidden = jnp.asarray([[[1.0, -5.0], [3.0, -9.0], [100.0, 100.0]]])
    mask = jnp.asarray([[1, 1, 0]])
    assert pool(hidden, mask, "mean").tolist() == [[2.0, -7.0]]
    assert pool(hidden, mask, "cls").tolist() == [[1.0, -5.0]]
    assert pool(hidden, mask, "max").tolist() == [[3.0, -5.0]]


def test_the_mean_over_no_token_is_zero_and_not_nan():
    assert pool(jnp.ones((1, 2, 3)), jnp.zeros((1, 2), jnp.int32), "mean").tolist() == [[0.0, 0.0, 0.0]]


def test_the_cosine_of_every_pair():
    left = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 0.0]])
    right = np.array([[3.0, 0.0], [0.0, -1.0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(cosine_similarity(left, right), [[1, 0], [half, -half], [0, 0]], atol=1e-7)


@pytest.mark.reference
def test_the_vectors_are_those_of_sentence_transformers(features: Features, minilm_folder: Path):
    from sentence_transformers import SentenceTransformer

    texts = [*FOUR, "", "mole", "Crème brûlée à la façon", "東京は日本の首都", "🙂", " ".join(["A river bank."] * 100)]
    expected = SentenceTransformer(str(minilm_folder), device="cpu").encode(texts)
    np.testing.assert_allclose(features.sentences(texts), expected, atol=1e-5, rtol=0.0)
