"""Vectors that were written, read back and searched: with what made them, and with nothing else."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from minibert import Features, InputError
from minibert.features import Layers, StoredVectors
from minibert.features.corpus import CorpusOptions, TextList, embed_corpus

TEXTS = ["the bank of a river", "", "the bank raised its rates", "a river", "rates\0", "the rates of the bank"]
SUFFIXES = [
    "npy",
    "npz",
    "jsonl",
    pytest.param("parquet", marks=pytest.mark.skipif(not find_spec("pyarrow"), reason="no pyarrow")),
]


@pytest.fixture(scope="module")
def features(tiny: Path) -> Features:
    return Features(tiny)


@pytest.fixture
def stored(features: Features, tmp_path: Path):
    """Writes the texts' vectors, and gives the path."""

    def write(suffix: str = "npy", texts: list[str] = TEXTS, **options: object) -> Path:
        path = tmp_path / f"vectors.{suffix}"
        embed_corpus(features, TextList(texts), path, CorpusOptions(**options), name_or_path=features.name_or_path)
        return path

    return write


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:4]], ids=["with NUL", "without"])
def test_what_was_written_is_read(suffix: str, texts: list[str], stored, features: Features):
    read = StoredVectors.read(stored(suffix, texts))
    np.testing.assert_allclose(read.vectors, features.sentences(texts), atol=1e-7)
    assert read.texts == (None if suffix == "npy" else texts)
    assert read.model == str(features.name_or_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_search_finds_what_the_texts_would(suffix: str, stored, features: Features):
    found = features.search(["a bank", "rates"], StoredVectors.read(stored(suffix)), 3)
    expected = features.search(["a bank", "rates"], TEXTS, 3)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_the_queries_are_embedded_as_the_receipt_says(stored, features: Features):
    options = {"layers": [0, -1], "pooling": "max", "normalize": True, "dim": 30}
    found = features.search("a bank", StoredVectors.read(stored(**options)), 3)
    expected = features.search("a bank", TEXTS, 3, **options)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_other_options_than_the_receipts_are_refused(stored, features: Features):
    vectors = StoredVectors.read(stored(layers="first"))
    with pytest.raises(InputError, match="vectors.npy were made .* in another way: layers was 'first' and is 'last' now"):
        features.search("a bank", vectors, layers="last")


def test_another_models_vectors_are_refused_and_the_difference_is_named(stored, tiny: Path, tmp_path: Path):
    vectors = StoredVectors.read(stored())
    other = shutil.copytree(tiny, tmp_path / "other")
    vocabulary = (other / "vocab.txt").read_text()
    (other / "vocab.txt").write_text(vocabulary.replace("river", "rivers"))
    with pytest.raises(InputError, match="made by another model .*tokenizer_sha256 was"):
        Features(other).search("a bank", vectors)
    with pytest.raises(InputError, match="config.hidden_act was 'gelu_erf' and is 'relu' now"):
        Features(tiny, hidden_act="relu").search("a bank", vectors)


def test_vectors_of_words_are_no_corpus_of_texts(stored):
    with pytest.raises(InputError, match="holds vectors of 'words'; expected those of sentences"):
        StoredVectors.read(stored("npz", level="words"))


def test_a_file_that_was_changed_or_lost_its_receipt_is_refused(stored, tmp_path: Path):
    path = stored()
    np.save(path, np.zeros((6, 24), np.float32))
    with pytest.raises(InputError, match="belongs to another file"):
        StoredVectors.read(path)
    (tmp_path / "vectors.npy.receipt.json").unlink()
    with pytest.raises(InputError, match="has no receipt"):
        StoredVectors.read(path)
    with pytest.raises(InputError, match="is no file"):
        StoredVectors.read(tmp_path / "nothing.npy")


def test_an_archive_that_lacks_what_its_receipt_says_is_refused(stored, tmp_path: Path):
    path = stored("npz")
    with np.load(path) as archive:
        members = dict(archive)
    np.savez(path, **(members | {"vectors": members["vectors"][:3]}))
    with pytest.raises(InputError, match=r"holds vectors of shape \[3, 24\], and its receipt says \[6, 24\]"):
        StoredVectors.read(path)
    np.savez(path, receipt=members["receipt"])
    with pytest.raises(InputError, match="cannot be read"):
        StoredVectors.read(path)


def test_a_receipt_of_another_shape_is_no_crash(stored, tmp_path: Path):
    path = stored()
    beside = tmp_path / "vectors.npy.receipt.json"
    receipt = json.loads(beside.read_text())
    for broken in ({"counts": None}, {"counts": [1]}, {"level": ["sentences"]}, {"input": 3}):
        beside.write_text(json.dumps(receipt | broken))
        if "input" in broken:
            StoredVectors.read(path)
        else:
            with pytest.raises(InputError):
                StoredVectors.read(path)


@pytest.mark.parametrize("options", [{"layers": -1}, {"layers": 2}, {"layers": Layers()}, {"dim": 24}])
def test_the_same_choice_said_in_another_way_is_the_same(options: dict, stored, features: Features):
    vectors = StoredVectors.read(stored())
    np.testing.assert_array_equal(features.search("a bank", vectors, 2, **options).indices.shape, (1, 2))


def test_layers_as_an_object_go_into_a_receipt_and_back(stored, features: Features):
    layers = Layers((0, -1), (0.25, 0.75))
    vectors = StoredVectors.read(stored(layers=layers))
    found = features.search("a bank", vectors, 3)
    np.testing.assert_allclose(found.scores, features.search("a bank", TEXTS, 3, layers=layers).scores, atol=1e-6)
    with pytest.raises(InputError, match="layers"):
        features.search("a bank", vectors, layers="last")


def test_dropout_is_no_difference_between_vectors(stored, tiny: Path):
    assert Features(tiny, hidden_dropout_prob=0.0).search("a bank", StoredVectors.read(stored())).indices.shape == (1, 6)


@pytest.mark.skipif(not find_spec("pyarrow"), reason="no pyarrow")
def test_a_damaged_page_of_parquet_is_refused(stored):
    path = stored("parquet")
    data = bytearray(path.read_bytes())
    for place in range(60, 1200, 7):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            vectors = StoredVectors.read(path).vectors
        except InputError:
            continue
        path.write_bytes(data)
        np.testing.assert_array_equal(vectors, StoredVectors.read(path).vectors)


def test_the_receipt_names_no_other_model_than_the_features(features: Features, tmp_path: Path):
    with pytest.raises(InputError, match="the receipt would name another"):
        embed_corpus(features, TextList(TEXTS), tmp_path / "vectors.npy", name_or_path="another")
