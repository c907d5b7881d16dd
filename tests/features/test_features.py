"""Vectors of sentences, words and tokens by MiniLM: order, packing, long texts, places in the text, options."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import Bert, Features, InputError, TruncationWarning

FOUR = [
    "That movie was absolutely fantastic.",
    "This film is creative and surprising.",
    "Ford is an American multinational automaker that has its main headquarters in Dearborn, Michigan, a suburb of Detroit.",
    "The Volkswagen Group with its headquarters in Wolfsburg, Germany is one of the world's leading manufacturers of "
    "automobiles and commercial vehicles.",
]
POOLINGS = ["mean", "cls", "max", "pooler"]
CHOICES = ["last", "second-to-last", "first", "concat-last-4", "sum-last-4", "0.25*-2+0.75*-1"]


def bank(tokens: int) -> str:
    """A text of so many tokens, [CLS] and [SEP] included."""
    return " ".join(["bank"] * (tokens - 2))


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
    texts = [" ".join(["bank"] * (1 + 11 * (index % 5)) + [str(index)]) for index in range(45)]
    together = features.sentences(texts)
    for index in (0, 1, 2, 3, 4, 17, 44):
        np.testing.assert_allclose(together[index], features.sentences([texts[index]])[0], atol=1e-5)
    assert len(np.unique(np.asarray(together).round(4), axis=0)) == 45


PACKED = [("mean", "first"), *(pytest.param(pooling, "last", marks=pytest.mark.long) for pooling in POOLINGS)]


@pytest.mark.parametrize(("pooling", "layers"), PACKED)
def test_packed_texts_give_what_the_model_gives_of_each_alone(pooling: str, layers: str, features: Features, minilm: Bert):
    vectors = features.sentences([*FOUR, ""], pooling=pooling, normalize=False, layers=layers)
    for text, vector in zip([*FOUR, ""], vectors, strict=True):
        output = minilm(**features.tokenizer([text]), output_hidden_states=True)
        assert output.hidden_states is not None
        hidden = np.asarray(output.hidden_states[-1 if layers == "last" else 0])[0]
        expected = {"mean": hidden.mean(axis=0), "cls": hidden[0], "max": hidden.max(axis=0)}.get(pooling)
        if pooling == "pooler":
            expected = np.asarray(output.pooler_output)[0]
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@pytest.mark.parametrize("layers", CHOICES)
def test_token_vectors_are_the_models_hidden_states(layers: str, features: Features, minilm: Bert):
    output = minilm(**features.tokenizer([FOUR[2]]), output_hidden_states=True)
    assert output.hidden_states is not None
    states = [np.asarray(state)[0] for state in output.hidden_states]
    expected = {
        "last": states[-1],
        "second-to-last": states[-2],
        "first": states[0],
        "concat-last-4": np.concatenate(states[-4:], axis=-1),
        "sum-last-4": sum(states[-4:]),
        "0.25*-2+0.75*-1": 0.25 * states[-2] + 0.75 * states[-1],
    }[layers]
    found = features.tokens([FOUR[0], FOUR[2]], layers=layers)[1]
    np.testing.assert_allclose(found.vectors, expected, atol=2e-5)


def test_every_token_has_its_place_in_the_text(features: Features):
    (found,) = features.tokens(["Crème brûlée"])
    assert found.tokens == ["[CLS]", "cr", "##eme", "br", "##ule", "##e", "[SEP]"]
    assert found.spans.tolist() == [[0, 0], [0, 2], [2, 5], [6, 8], [8, 11], [11, 12], [0, 0]]
    assert found.is_special.tolist() == [True, False, False, False, False, False, True]
    assert found.vectors.shape == (7, 384)


def test_padded_token_vectors_come_with_their_mask(features: Features):
    found = features.tokens(["bank", "the river bank"])
    vectors, mask = found.padded()
    assert vectors.shape == (2, 5, 384)
    assert mask.tolist() == [[True, True, True, False, False], [True] * 5]
    np.testing.assert_array_equal(vectors[0, :3], found[0].vectors)
    assert not vectors[0, 3:].any()


def test_a_repeated_word_has_a_vector_for_each_time(features: Features):
    (found,) = features.words(["The bank by the riverbanks' bank"])
    assert found.words == ["The", "bank", "by", "the", "riverbanks", "'", "bank"]
    assert [found.text[begin:end] for begin, end in found.spans.tolist()] == found.words
    first, second = found.vectors[1], found.vectors[6]
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize(
    ("merge", "expected"), [("mean", lambda p: p.mean(axis=0)), ("first", lambda p: p[0]), ("last", lambda p: p[-1])]
)
def test_a_words_pieces_are_merged(merge: str, expected: Any, features: Features):
    text = "a brûlée here"
    (tokens,) = features.tokens([text])
    (words,) = features.words([text], merge=merge)
    assert tokens.tokens[2:5] == ["br", "##ule", "##e"]
    np.testing.assert_allclose(words.vectors[1], expected(tokens.vectors[2:5]), atol=1e-5)


def test_an_empty_text_has_no_words_and_two_tokens(features: Features):
    assert features.words([""])[0].vectors.shape == (0, 384)
    assert features.tokens([""])[0].tokens == ["[CLS]", "[SEP]"]


def test_an_empty_text_has_a_vector_too(features: Features):
    alone, beside = features.sentences([""])[0], features.sentences([*FOUR, ""])[4]
    assert np.linalg.norm(alone) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_no_texts_give_no_vectors(features: Features):
    vectors = features.sentences([])
    assert vectors.shape == (0, 384)
    assert vectors.dtype == np.float32
    assert features.similarity([], FOUR).shape == (0, 4)
    assert len(features.tokens([])) == len(features.words([])) == 0
    assert features.tokens([]).padded()[0].shape == (0, 0, 0)


def test_a_text_of_256_tokens_fits_and_one_of_257_is_cut_counted_and_said(features: Features):
    with pytest.warns(TruncationWarning, match="2 of 4 texts were cut at 256 tokens"):
        vectors = features.sentences([bank(257), "mole", bank(256), bank(300)])
    assert vectors.truncated == 2
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
    np.testing.assert_allclose(vectors[3], vectors[2], atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_cut_text_is_cut_as_the_tokenizer_cuts(side: str, features: Features, monkeypatch):
    from dataclasses import replace

    text = " ".join(str(number) for number in range(100, 400))
    monkeypatch.setattr(features.tokenizer, "settings", replace(features.tokenizer.settings, truncation_side=side))
    with pytest.warns(TruncationWarning):
        (found,) = features.tokens([text])
    expected = features.tokenizer([text], truncation=True, max_length=256, truncation_side=side)["input_ids"][0]
    assert found.tokens == features.tokenizer.convert_ids_to_tokens(expected)


def test_nothing_is_said_where_nothing_was_cut(features: Features):
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncationWarning)
        assert features.sentences(["mole", bank(256)]).truncated == 0


def test_windows_take_in_every_token_once(features: Features):
    text = " ".join(str(number) for number in range(100, 800))
    found = features.tokens([text, "mole"], on_long="window")
    assert found.truncated == 0
    assert found[0].tokens == features.tokenizer.convert_ids_to_tokens(features.tokenizer.encode(text))
    words = features.words([text], on_long="window")[0]
    assert words.words == text.split()
    assert found[1].tokens == ["[CLS]", "mole", "[SEP]"]


def test_a_windowed_document_is_the_mean_of_its_windows(features: Features):
    text = " ".join(str(number) for number in range(100, 500))
    rows = features.tokenizer(
        [text],
        truncation=True,
        max_length=256,
        stride=features.stride,
        return_overflowing_tokens=True,
        padding=False,
        return_tensors=None,
    )["input_ids"]
    windows = [features.tokenizer.decode(row, skip_special_tokens=True) for row in rows]
    of_windows = np.asarray(features.sentences(windows, normalize=False))
    weights = np.array([len(row) for row in rows], np.float32)
    expected = (of_windows * weights[:, None]).sum(axis=0) / weights.sum()
    found = features.sentences(["mole", text], normalize=False, on_long="window")
    assert len(windows) == 3
    np.testing.assert_allclose(found[1], expected, atol=1e-5)
    np.testing.assert_allclose(found[0], features.sentences(["mole"], normalize=False)[0], atol=1e-5)


def test_a_long_text_can_be_an_error_that_names_it(features: Features):
    with pytest.raises(InputError, match=r"texts\[1\] has more than 256 tokens"):
        features.sentences(["mole", bank(300), bank(400)], on_long="error")


def test_the_first_dimensions_can_be_asked_for(features: Features):
    whole = np.asarray(features.sentences(FOUR, normalize=False))
    cut = features.sentences(FOUR, dim=128)
    np.testing.assert_allclose(cut, whole[:, :128] / np.linalg.norm(whole[:, :128], axis=1, keepdims=True), atol=1e-6)
    assert features.words(FOUR, dim=5)[0].vectors.shape[1] == 5


def test_results_can_be_float16(features: Features):
    half = features.sentences(FOUR, dtype="float16")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, features.sentences(FOUR), atol=1e-3)
    assert features.tokens(FOUR, dtype="float16")[0].vectors.dtype == np.float16
    assert features.words(FOUR, dtype="float16")[0].vectors.dtype == np.float16


def test_search_finds_texts_and_vectors(features: Features):
    hits = features.search(["film", "car"], FOUR, 2)
    assert sorted(hits.indices[0].tolist()) == [0, 1]
    assert sorted(hits.indices[1].tolist()) == [2, 3]
    again = features.search("film", features.sentences(FOUR), 2)
    np.testing.assert_array_equal(again.indices[0], hits.indices[0])


def test_sentence_vectors_keep_their_count_when_pickled(features: Features):
    with pytest.warns(TruncationWarning):
        vectors = features.sentences([bank(300)])
    assert pickle.loads(pickle.dumps(vectors)).truncated == 1


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("method", ["sentences", "tokens", "words"])
def test_what_is_no_list_of_texts_is_refused(method: str, features: Features):
    with pytest.raises(InputError, match=r"was given one string; give a list of texts: \[text\]"):
        getattr(features, method)("That movie was absolutely fantastic.")
    with pytest.raises(InputError, match=r"texts\[1\] is a NoneType"):
        getattr(features, method)(["mole", None])
    with pytest.raises(InputError, match="was given a set"):
        getattr(features, method)({"mole"})


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "average"}, "pooling is 'average'; expected one of mean, cls, max, pooler"),
        ({"on_long": "cut"}, "on_long is 'cut'; expected one of truncate, window, error"),
        ({"dtype": "float64"}, "dtype is 'float64'; expected one of float32, float16"),
        ({"dim": 385}, "dim is 385; expected a whole number from 1 to 384"),
        ({"dim": 0}, "dim is 0"),
        ({"dim": True}, "dim is True"),
        ({"layers": 9}, "layers asks for hidden state 9"),
        ({"pooling": "pooler", "layers": "concat-last-4"}, "pooling 'pooler' takes a single hidden state"),
    ],
)
def test_an_option_that_is_not_there_is_refused(options: dict[str, Any], message: str, features: Features):
    with pytest.raises(InputError, match=message):
        features.sentences(FOUR, **options)


@pytest.mark.parametrize("k", [0, -1, True, 1.5])
@pytest.mark.usefixtures("without_shape_checks")
def test_a_search_for_no_number_of_entries_is_refused(k: Any, features: Features):
    with pytest.raises(InputError, match="k is"):
        features.search("film", FOUR, k)


def test_a_search_among_vectors_of_another_width_is_refused(features: Features):
    with pytest.raises(InputError, match=r"shape \[2, 5\]; expected \[texts, 384\]"):
        features.search("film", np.zeros((2, 5), np.float32))


@pytest.mark.reference
@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.long)])
def test_the_vectors_are_those_of_sentence_transformers(features: Features, minilm_folder: Path, count: int):
    from sentence_transformers import SentenceTransformer

    generator = np.random.default_rng(0)
    words = [token for token in features.tokenizer.vocabulary.tokens if token.isalpha()]
    lengths = np.minimum(generator.geometric(0.02, count - 10), 600)
    texts = [" ".join(generator.choice(words, length)) for length in lengths]
    texts += [*FOUR, "", "Crème brûlée à la façon", "東京は日本の首都", "🙂", "mole", " ".join(["A river bank."] * 100)]
    expected = SentenceTransformer(str(minilm_folder), device="cpu").encode(texts)
    found = features.sentences(texts)
    assert len(texts) == count
    assert found.truncated > 0
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0.0)


@pytest.mark.long
def test_a_long_text_is_named_by_its_place_among_all_that_were_given(features: Features):
    texts = ["a"] * 4100 + ["a " * 300]
    with pytest.raises(InputError, match=r"texts\[4100\] has more than 256 tokens"):
        features.sentences(texts, on_long="error")


def test_the_warning_of_cut_texts_points_at_the_call(features: Features):
    for method in ("sentences", "tokens", "words"):
        with pytest.warns(TruncationWarning) as caught:
            getattr(features, method)(["a " * 300])
        assert len(caught) == 1
