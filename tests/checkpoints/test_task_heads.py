"""Heads from checkpoints and back into them: what is taken, what is made new, what is refused."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minibert
from minibert import BertWithHeads, CheckpointError, InputError, NewHeadWarning
from minibert.model.heads import HEADS

GOLDENS = Path(__file__).parent.parent / "goldens" / "transformers_folders"
TINY = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"
IDS = np.array([[1, 2, 3, 4], [5, 6, 0, 0]])
ID_SHAPES = {"multiple_choice": IDS[None]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint without heads, with a vocabulary for its 37 words."""
    path = tmp_path / "encoder"
    path.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(TINY / name, path / name)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (path / "vocab.txt").write_text("\n".join([*tokens, *(f"[unused{number}]" for number in range(32))]) + "\n")
    return path


def with_new_head(folder: Path, head: str, **options: object) -> BertWithHeads:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NewHeadWarning)
        return minibert.load(folder, head=head, **options)


def options_of(head: str) -> dict[str, int]:
    return {"num_labels": 3} if head.endswith("classification") else {}


@pytest.mark.parametrize("to", ["safetensors", "tensorflow", "flax"])
@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_saved_and_loaded_with_the_same_bits(head: str, to: str, folder: Path, tmp_path: Path):
    model = with_new_head(folder, head, **options_of(head))
    minibert.save(model, minibert.Tokenizer.load(folder), tmp_path / "saved", to=to)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NewHeadWarning)
        again = minibert.load(tmp_path / "saved", head=head)
    ids = ID_SHAPES.get(head, IDS)
    expected, found = model(ids).logits_by_head, again(ids).logits_by_head
    assert expected.keys() == found.keys()
    for name, logits in expected.items():
        np.testing.assert_array_equal(logits, found[name])


def test_what_a_checkpoint_lacks_is_made_new_and_said(folder: Path):
    with pytest.warns(NewHeadWarning, match="does not hold the head token_classification: random numbers of seed 0"):
        first = minibert.load(folder, head="token_classification", num_labels=3)
    same, other = (with_new_head(folder, "token_classification", num_labels=3, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first(IDS).logits, same(IDS).logits)
    assert not np.allclose(first(IDS).logits, other(IDS).logits)


def test_a_pooler_is_made_new_where_the_head_needs_one_and_left_out_where_not(folder: Path):
    tensors = {name: value for name, value in load_file(folder / "model.safetensors").items() if "pooler" not in name}
    assert with_new_head(folder, "token_classification", num_labels=3).bert.pooler is None
    save_file(tensors, folder / "model.safetensors")
    with pytest.warns(NewHeadWarning, match="does not hold the pooler and the head sequence_classification"):
        model = minibert.load(folder, head="sequence_classification", num_labels=2)
    assert np.isfinite(model(IDS).logits).all()


def test_labels_are_counted_by_the_checkpoint_and_named_in_what_is_saved(folder: Path, tmp_path: Path):
    model = with_new_head(folder, "sequence_classification", num_labels=3)
    minibert.save(model, minibert.Tokenizer.load(folder), tmp_path / "saved", labels=["red", "green", "blue"])
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["id2label"] == {"0": "red", "1": "green", "2": "blue"}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert minibert.load(tmp_path / "saved", head="sequence_classification")(IDS).logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "tagging"}, "head is 'tagging'; expected one of masked_lm"),
        ({"head": "token_classification"}, "says nowhere how many labels"),
        ({"head": "token_classification", "num_labels": 0}, "num_labels is 0"),
        ({"head": "masked_lm", "num_labels": 2}, "num_labels was given for the head masked_lm"),
        ({"num_labels": 2}, "num_labels was given without a head"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict, message: str, folder: Path):
    with pytest.raises(InputError, match=message):
        minibert.load(folder, **options)


def test_another_number_of_labels_than_the_checkpoints_is_refused(folder: Path, tmp_path: Path):
    model = with_new_head(folder, "token_classification", num_labels=3)
    minibert.save(model, minibert.Tokenizer.load(folder), tmp_path / "saved")
    with pytest.raises(CheckpointError, match=r"classifier.weight is, in our layout, \[24, 3\]; this head calls for \[24, 5\]"):
        minibert.load(tmp_path / "saved", head="token_classification", num_labels=5)


def test_half_a_head_is_refused(folder: Path, tmp_path: Path):
    model = with_new_head(folder, "masked_lm")
    minibert.save(model, minibert.Tokenizer.load(folder), tmp_path / "saved")
    tensors = load_file(tmp_path / "saved" / "model.safetensors")
    del tensors["cls.predictions.bias"]
    save_file(tensors, tmp_path / "saved" / "model.safetensors")
    with pytest.raises(CheckpointError, match="holds the head masked_lm in part; missing: cls.predictions.bias"):
        minibert.load(tmp_path / "saved", head="masked_lm")


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "a", "b"]])
def test_labels_that_do_not_fit_the_head_are_refused(labels: list[str], folder: Path, tmp_path: Path):
    model = with_new_head(folder, "token_classification", num_labels=3)
    with pytest.raises(InputError, match="2 different names of labels; the head has 3"):
        minibert.save(model, minibert.Tokenizer.load(folder), tmp_path / "saved", labels=labels)
    assert not (tmp_path / "saved").exists()
