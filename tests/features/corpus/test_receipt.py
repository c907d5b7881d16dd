import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_features import TINY, FakeFeatures

from minibert.errors import InputError
from minibert.features.corpus import CorpusOptions, TextList, check_receipt, embed_corpus, read_receipt
from minibert.features.corpus.receipt import weights_digest
from minibert.features.recipe import Recipe


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """Vectors with their receipt, of a model whose weights are there."""
    embed_corpus(FakeFeatures(), TextList(["a", "b"]), tmp_path / "vectors.npy", name_or_path=TINY)
    return tmp_path / "vectors.npy"


def test_a_receipt_names_weights_tokenizer_and_versions(vectors: Path):
    receipt = read_receipt(vectors)
    weights = TINY / "model.safetensors"
    assert receipt["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert len(receipt["tokenizer_sha256"]) == 64
    assert set(receipt["versions"]) == {"minibert", "jax", "flax", "numpy", "python"}
    assert receipt["config"]["dtype"] == "float32"
    assert receipt["model"] == str(TINY)


def test_vectors_of_this_model_are_accepted(vectors: Path):
    check_receipt(read_receipt(vectors), TINY, FakeFeatures(), CorpusOptions())


def test_vectors_of_another_model_are_refused_with_what_differs(vectors: Path, tmp_path: Path):
    receipt, other = read_receipt(vectors), TINY.with_name("relu")
    with pytest.raises(
        InputError, match="vectors.npy were made by another model .* weights_sha256 was '.{12}…' and is '.{12}…' now"
    ):
        check_receipt(receipt, other, FakeFeatures(), name="vectors.npy")
    with pytest.raises(InputError, match="normalize was True and is False now"):
        check_receipt(receipt, TINY, FakeFeatures(recipe=Recipe("mean", False)), CorpusOptions())
    with pytest.raises(InputError, match="layers was 'last' and is 'first' now, pooling was 'mean' and is 'cls' now"):
        check_receipt(receipt, TINY, FakeFeatures(), CorpusOptions(layers="first", pooling="cls"))


def test_what_only_changes_the_rounding_is_accepted(vectors: Path):
    features = FakeFeatures()
    features.model.config = type(features.model.config)(hidden_size=6, num_attention_heads=1, dtype="bfloat16")
    check_receipt(read_receipt(vectors), TINY, features, CorpusOptions(output_dtype="float16"))


def test_a_receipt_of_other_vectors_is_recognised(vectors: Path):
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="belongs to another file"):
        read_receipt(vectors)


def test_files_without_a_receipt_are_named(tmp_path: Path):
    np.save(tmp_path / "plain.npy", np.zeros((2, 3)))
    np.savez(tmp_path / "plain.npz", vectors=np.zeros((2, 3)))
    (tmp_path / "broken.npz").write_bytes(b"PK no zip")
    for name, said in {
        "absent.npy": "is no file",
        "plain.npy": "has no receipt plain.npy.receipt.json beside it",
        "plain.npz": "has no receipt in it",
        "broken.npz": "cannot be read as .npz",
    }.items():
        with pytest.raises(InputError, match=said):
            read_receipt(tmp_path / name)


def test_a_receipt_of_another_format_is_refused(vectors: Path):
    path = vectors.with_name("vectors.npy.receipt.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": "minibert receipt 2"}))
    with pytest.raises(InputError, match="this version reads 'minibert receipt 1'"):
        read_receipt(vectors)
    path.write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        read_receipt(vectors)


def test_weights_in_several_files_have_one_sha256(tmp_path: Path):
    sharded = shutil.copytree(TINY.parents[1] / "transformers_folders" / "sharded", tmp_path / "sharded")
    before = weights_digest(sharded)
    shard = sharded / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert weights_digest(sharded) != before
