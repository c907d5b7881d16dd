"""A baseline in a folder: what is loaded is what was saved, and a folder that is damaged or another's is one error."""

import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from minibert import CheckpointError, InputError, MinibertError, Tokenizer, TokenizerError
from minibert.checkpoints.blueprint import parameters_of
from minibert.training.baseline import (
    LstmConfig,
    LstmWithHeads,
    WordVectors,
    load_baseline,
    lstm_with_head,
    save_baseline,
    table_for,
    word_tokenizer,
)

VECTORS = WordVectors(("a", "b", "café"), np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
TOKENIZER = word_tokenizer(VECTORS)
LABELS = ("no", "yes", "später")


def model_of(**changes: Any) -> LstmWithHeads:
    values = {"vocab_size": 8, "word_width": 4, "hidden_size": 6, "num_layers": 2, "num_labels": 3} | changes
    table = table_for(TOKENIZER, VECTORS) if values["vocab_size"] == 8 else None
    return lstm_with_head(LstmConfig(**values), table, rngs=nnx.Rngs(5))


MODEL = model_of()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_baseline(MODEL, TOKENIZER, tmp_path / "saved", LABELS)
    return tmp_path / "saved"


def test_what_is_loaded_is_what_was_saved(saved: Path):
    loaded = load_baseline(saved)
    assert loaded.labels == LABELS and loaded.model.encoder.lstm_config == MODEL.encoder.lstm_config
    assert loaded.tokenizer.vocabulary.tokens == TOKENIZER.vocabulary.tokens
    assert loaded.tokenizer.tokenize("B Café caf") == TOKENIZER.tokenize("B Café caf") == ["b", "café", "[UNK]"]
    before, after = parameters_of(MODEL), parameters_of(loaded.model)
    assert before.keys() == after.keys()
    for path, variable in before.items():
        assert np.asarray(variable.get_value()).tobytes() == np.asarray(after[path].get_value()).tobytes()
    batch = TOKENIZER(["b a Café", "zzz"], ["a", "b b"])
    np.testing.assert_array_equal(loaded.model(**batch).logits, MODEL(**batch).logits)


def test_a_loaded_model_is_the_same_tree_and_can_be_saved_again(saved: Path, tmp_path: Path):
    loaded = load_baseline(saved)
    assert jax.tree.structure(loaded.model) == jax.tree.structure(MODEL)
    save_baseline(loaded.model, loaded.tokenizer, tmp_path / "again", loaded.labels)
    names = sorted(path.name for path in saved.iterdir())
    assert names == ["baseline.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    # What a setting left open is written out the second time.
    names.remove("tokenizer_config.json")
    assert all((saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


@pytest.mark.parametrize("changes", [{"head": "question_answering", "num_labels": 2}, {"num_labels": 1, "trains_vectors": True}])
def test_heads_without_names_of_labels(changes: dict[str, Any], tmp_path: Path):
    save_baseline(model_of(**changes), TOKENIZER, tmp_path / "saved")
    loaded = load_baseline(tmp_path / "saved")
    assert loaded.labels == () and list(loaded.model.heads) == [changes.get("head", "sequence_classification")]


def test_a_tokenizer_of_word_pieces_can_be_saved(tmp_path: Path):
    tokenizer = Tokenizer([*TOKENIZER.vocabulary.tokens, "##s"])
    save_baseline(model_of(vocab_size=9), tokenizer, tmp_path / "saved", LABELS)
    assert load_baseline(tmp_path / "saved").tokenizer.tokenize("as") == ["a", "##s"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["no", "yes"], "there are 2 names of labels; expected 3, or none for this sequence_classification"),
        (["no", "no", "yes"], "are no different names"),
        (["no", "yes", 3], "expected a string a label"),
        ("abc", "labels is the string 'abc'"),
    ],
)
def test_labels_that_are_not_the_heads_are_refused(labels: Any, message: str, tmp_path: Path, without_shape_checks: None):
    with pytest.raises(InputError, match=message):
        save_baseline(MODEL, TOKENIZER, tmp_path / "saved", labels)
    assert not list(tmp_path.iterdir())


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="the tokenizer has 9 tokens, the model 8"):
        save_baseline(MODEL, Tokenizer([*TOKENIZER.vocabulary.tokens, "x"]), tmp_path / "saved")
    with pytest.raises(InputError, match="the model has the heads mine; expected the one of its configuration"):
        save_baseline(LstmWithHeads(MODEL.encoder, {"mine": MODEL.heads["sequence_classification"]}), TOKENIZER, tmp_path / "x")
    answers = model_of(head="question_answering", num_labels=2)
    with pytest.raises(InputError, match="there are 2 names of labels; expected none for this question_answering"):
        save_baseline(answers, TOKENIZER, tmp_path / "saved", ["start", "end"])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_stays_as_it_is(saved: Path, tmp_path: Path):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(CheckpointError, match="is there already and is no empty folder"):
        save_baseline(MODEL, TOKENIZER, saved, LABELS)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    (tmp_path / "empty").mkdir()
    save_baseline(MODEL, TOKENIZER, tmp_path / "empty" / "new" / "one", LABELS)
    save_baseline(MODEL, TOKENIZER, tmp_path / "other", LABELS)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_baseline(MODEL, TOKENIZER, tmp_path / "file" / "saved")
    # A token that vocab.txt cannot hold.
    with pytest.raises(TokenizerError, match="cannot be saved"):
        save_baseline(MODEL, Tokenizer([*TOKENIZER.vocabulary.tokens[:7], "a\nb"]), tmp_path / "saved")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_baseline(MODEL, TOKENIZER, tmp_path / "saved", ["a", "b", "\ud800"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def changed(folder: Path, change: Any) -> None:
    path = folder / "baseline.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("labels"), "has the keys"),
        (lambda values: values.update(more=1), "has the keys"),
        (lambda values: values.update(lstm=[]), "has the keys"),
        (lambda values: values.update(version=2), "is of the version 2; this minibert reads 1"),
        (lambda values: values.update(version=True), "is of the version True"),
        (lambda values: values["lstm"].update(hidden_size=7), "hidden_size is 7; expected an even number"),
        (lambda values: values["lstm"].update(hidden_size="6"), "hidden_size is '6'"),
        (lambda values: values["lstm"].pop("head"), "lacks, or has besides, \\['head'\\]"),
        (
            lambda values: values["lstm"].update(word_width=5),
            "token_type is float32 \\[2, 4\\]; baseline.json calls for float32 \\[2, 5\\]",
        ),
        (lambda values: values["lstm"].update(num_layers=3), "model.safetensors lacks encoder.layers.2"),
        (lambda values: values["lstm"].update(num_layers=1), "model.safetensors has besides encoder.layers.1"),
        (lambda values: values["lstm"].update(vocab_size=10_000_000, word_width=65_536), "has 8 tokens, the model 10,000,000"),
        (lambda values: values["lstm"].update(hidden_size=65_536), "calls for float32"),
        (lambda values: values.update(labels=["a", "b"]), "there are 2 names of labels"),
        (lambda values: values.update(labels=[["a"], "b", "c"]), "are no different names"),
    ],
)
def test_settings_that_are_not_the_models_are_refused(saved: Path, change: Any, message: str, without_shape_checks: None):
    changed(saved, change)
    with pytest.raises(CheckpointError, match=message):
        load_baseline(saved)


@pytest.mark.parametrize("name", ["baseline.json", "model.safetensors", "tokenizer.json", "vocab.txt"])
def test_a_file_that_is_cut_short_is_an_error(saved: Path, name: str):
    content = (saved / name).read_bytes()
    for length in [*range(0, len(content) - 2, max(1, len(content) // 20)), len(content) - 2]:
        (saved / name).write_bytes(content[:length])
        with pytest.raises(MinibertError, match=str(saved)):
            load_baseline(saved)


@pytest.mark.parametrize("names", [("baseline.json",), ("model.safetensors",), ("tokenizer.json", "vocab.txt")])
def test_a_file_that_is_missing_is_an_error(saved: Path, names: tuple[str, ...]):
    for name in names:
        (saved / name).unlink()
    with pytest.raises(MinibertError, match=str(saved)):
        load_baseline(saved)


def test_weights_of_another_dtype_are_refused(saved: Path):
    tensors = safetensors.numpy.load_file(saved / "model.safetensors")
    tensors["encoder.pooler.dense.bias"] = tensors["encoder.pooler.dense.bias"].astype(np.float16)
    safetensors.numpy.save_file(tensors, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match="encoder.pooler.dense.bias is float16 \\[6\\]; baseline.json calls for float32"):
        load_baseline(saved)


def test_what_is_no_folder_of_a_baseline_is_refused(tiny_folder: Path, saved: Path, tmp_path: Path):
    for folder in (tiny_folder, tmp_path / "absent", saved / "baseline.json", Path("a\0b")):
        with pytest.raises(CheckpointError, match="expected a folder that save_baseline wrote"):
            load_baseline(folder)
    (saved / "model.safetensors").unlink()
    os.mkfifo(saved / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        load_baseline(saved)
