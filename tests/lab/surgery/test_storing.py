"""A changed model where it does not belong, and files of one that are damaged."""

import json
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import pytest
from changed_models import local, rotary, tokenizer_in, with_head
from flax import nnx
from safetensors.numpy import load_file, save_file
from small_lab import small_batch, small_model

import minibert
from minibert import CheckpointError, ConfigError, InputError, lab
from minibert.lab.surgery.local import LocalAttention
from minibert.model.feed_forward import FeedForward
from minibert.model.numerics import Dense
from minibert.verification import oracle_of


def saved(folder: Path) -> Path:
    lab.save(local(small_model()), tokenizer_in(folder), folder / "saved")
    return folder / "saved"


def test_a_changed_model_is_not_passed_off_as_a_bert(tmp_path: Path):
    with pytest.raises(InputError, match=r"encoder.layers.0.attention is of the class LocalAttention.*minibert.lab.save"):
        minibert.save(local(small_model()), tokenizer_in(tmp_path), tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
    with pytest.raises(ConfigError, match=r"config.json: it is of a model with swapped parts, which minibert.lab.load loads"):
        minibert.load(saved(tmp_path))
    with pytest.raises(InputError, match=r"LocalAttention, whose sums the NumPy BERT does not do; give minibert.lab.numpy_twin"):
        oracle_of(local(small_model()))


def test_a_bert_as_it_is_is_saved_and_loaded_too(tmp_path: Path):
    model = with_head(3)
    lab.save(model, tokenizer_in(tmp_path), tmp_path / "saved")
    np.testing.assert_array_equal(lab.load(tmp_path / "saved")(**small_batch()).logits, model(**small_batch()).logits)


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(tmp_path: Path):
    model = lab.resized(small_model(), vocab_size=7)
    for save in (lab.save, minibert.save):
        with pytest.raises(InputError, match="the tokenizer has 30 tokens and the model rows for 7"):
            save(model, tokenizer_in(tmp_path), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_overrides_are_the_configurations(tmp_path: Path):
    assert lab.load(saved(tmp_path), dtype="bfloat16").encoder.layers[0].attention.config.dtype == "bfloat16"


def test_what_was_put_there_by_hand_is_not_saved(tmp_path: Path):
    model = small_model()
    model.encoder.layers[1].attention = LocalAttention(model.encoder.layers[1].attention, window=3)
    with pytest.raises(InputError, match=r"layers.1.attention is of the class LocalAttention, put there by hand"):
        lab.save(model, tokenizer_in(tmp_path), tmp_path / "saved")
    changed = with_head()
    head = changed.heads["sequence_classification"]
    changed.heads["mine"] = head
    with pytest.raises(InputError, match=r"the head 'mine' is of the class SequenceClassification, of your own"):
        lab.save(changed, tokenizer_in(tmp_path), tmp_path / "saved")
    assert not (tmp_path / "saved").exists() and isinstance(head.dense, Dense)


def test_a_folder_that_is_there_stays(tmp_path: Path):
    folder = saved(tmp_path)
    with pytest.raises(CheckpointError, match="is there already"):
        lab.save(rotary(small_model()), tokenizer_in(tmp_path), folder)
    assert lab.load(folder).encoder.layers[0].attention.window == 2


def changed_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["minibert_lab"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"parts": 3}, CheckpointError, "minibert_lab.parts is 3"),
        ({"parts": {"layers.0.attention": "Local"}}, CheckpointError, "expected a class and its options"),
        (
            {"parts": {"layers.7.attention": {"class": "LocalAttention", "options": {}}}},
            CheckpointError,
            "no part layers.7.attention",
        ),
        ({"parts": {"layers.0.attention": {"class": "os.system", "options": {}}}}, InputError, "class os.system, which is none"),
        ({"parts": {"layers.0.attention": {"class": "LocalAttention", "options": {"radius": 2}}}}, CheckpointError, "radius"),
        ({"parts": {"layers.0.attention": {"class": "LocalAttention", "options": {"window": -2}}}}, CheckpointError, "is -2"),
        ({"heads": ["masked_lm"]}, CheckpointError, "minibert_lab.heads is"),
        ({"heads": {"masked_lm": {"num_labels": "two", "dropout_prob": 0}}}, CheckpointError, "heads.masked_lm is"),
        ({"pooler": False}, CheckpointError, "pooler.dense.kernel is no parameter of this model"),
        (
            {"heads": {"pretraining": {"num_labels": 2, "dropout_prob": 0.0}}},
            CheckpointError,
            "heads is .*; expected some of masked_lm",
        ),
        ({"pooler": "x"}, CheckpointError, "minibert_lab.pooler is 'x'; expected true or false"),
        ({"frozen": "embeddings.word"}, CheckpointError, "minibert_lab.frozen is 'embeddings.word'; expected the paths"),
        ({"frozen": ["embeddings.words"]}, CheckpointError, "frozen names embeddings.words, which is no parameter of this model"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(tmp_path: Path, changes: dict, error: type, message: str):
    folder = saved(tmp_path)
    changed_config(folder, **changes)
    with pytest.raises(error, match=message):
        lab.load(folder)


class WithTable(FeedForward):
    """A part that holds an array which is no parameter."""

    def __init__(self, old: FeedForward, *, rngs: nnx.Rngs, kind: str):
        vars(self).update(vars(old))
        tables = {"NumPy": np.ones(3), "JAX": jnp.ones(3), "whole": nnx.Variable(jnp.ones(3, jnp.int32)), "rngs": rngs}
        self.table = nnx.data(tables[kind])


@pytest.mark.parametrize("kind", ["NumPy", "JAX", "whole", "rngs"])
def test_arrays_that_would_not_come_back_are_not_stored(kind: str, tmp_path: Path):
    model = lab.swapped(small_model(), "layers.0.feed_forward", WithTable, kind=kind)
    with pytest.raises(InputError, match=r"feed_forward.table.* is an array that is no parameter of floating point"):
        lab.save(model, tokenizer_in(tmp_path), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_parts_that_a_function_made_are_not_stored(tmp_path: Path):
    for part in (partial(LocalAttention, window=1), lambda old, *, rngs: LocalAttention(old, window=1)):
        model = lab.swapped(small_model(), "layers.*.attention", part)
        assert model.encoder.layers[1].attention.window == 1
        with pytest.raises(InputError, match="put there by hand or made by a function, and how it is made again nobody knows"):
            lab.save(model, tokenizer_in(tmp_path), tmp_path / "saved")


def test_float64_without_jaxs_leave_is_refused_as_of_any_checkpoint(tmp_path: Path):
    folder = saved(tmp_path)
    for name in ("dtype", "param_dtype"):
        with pytest.raises(ConfigError, match="float64 was asked for, but JAX makes float32 of it"):
            lab.load(folder, **cast(Any, {name: "float64"}))


def test_what_is_no_folder_no_class_and_no_tokenizer_is_refused(tmp_path: Path, without_shape_checks: None):
    model = small_model()
    for arguments, message in (
        ((model, "bert-base-uncased", tmp_path / "new"), "tokenizer is 'bert-base-uncased'; expected a minibert.Tokenizer"),
        ((model, tokenizer_in(tmp_path), None), "folder is None; expected the path of a new folder"),
        ((None, tokenizer_in(tmp_path), tmp_path / "new"), "model is None; expected a Bert or a BertWithHeads"),
    ):
        with pytest.raises(InputError, match=message):
            lab.save(*cast(Any, arguments))
    with pytest.raises(InputError, match="folder is None; expected the path of a folder"):
        lab.load(cast(Any, None))
    with pytest.raises(CheckpointError, match="has no config.json"):
        lab.load("a" * 300)
    with pytest.raises(InputError, match="parts is {'LocalAttention': 'x'}; expected a mapping from names to classes"):
        lab.load(tmp_path, parts=cast(Any, {"LocalAttention": "x"}))
    with pytest.raises(InputError, match=r"parts is \[1\]; expected a mapping from names to classes"):
        lab.load(tmp_path, parts=cast(Any, [1]))
    assert not (tmp_path / "new").exists()


def test_tensors_that_do_not_fit_are_named(tmp_path: Path):
    folder = saved(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word"] = tensors["embeddings.word"][:20]
    tensors["surplus"] = tensors.pop("pooler.dense.bias")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        lab.load(folder)
    for part in (
        "pooler.dense.bias is missing",
        "surplus is no parameter",
        "embeddings.word is [20, 16], and its part calls for",
    ):
        assert part in str(caught.value)
    with pytest.raises(CheckpointError, match="has no config.json"):
        lab.load(tmp_path / "nothing")
    (tmp_path / "plain").mkdir()
    minibert.save(small_model(), tokenizer_in(tmp_path), tmp_path / "other")
    with pytest.raises(CheckpointError, match="load it with minibert.load"):
        lab.load(tmp_path / "other")


@pytest.mark.parametrize(
    ("depth", "order", "words"),
    [
        (3, [0, 9, 1], "expected numbers from 0 to 2"),
        (3, [], "expected numbers from 0 to 2"),
        (3, [0, -1, 1], "expected numbers from 0 to 2"),
        (3, [0, 1], "num_hidden_layers is 3; its layers serve in 2 steps"),
    ],
)
def test_layers_that_do_not_go_with_the_configuration_are_refused(depth: int, order: list[int], words: str, tmp_path: Path):
    lab.save(lab.with_layers(small_model(), [0, 1, 1], shared=True), tokenizer_in(tmp_path), tmp_path / "saved")
    file = tmp_path / "saved" / "config.json"
    config = json.loads(file.read_text())
    (part,) = (each for each in config["minibert_lab"]["parts"].values() if each["class"] == "SharedEncoder")
    part["options"]["order"] = order
    file.write_text(json.dumps(config | {"num_hidden_layers": depth}))
    with pytest.raises(CheckpointError, match=words) as refused:
        lab.load(tmp_path / "saved")
    assert str(file) in str(refused.value)


def test_a_part_of_the_users_own_under_a_name_of_minibert_is_not_stored(tmp_path: Path):
    own = type("LocalAttention", (LocalAttention,), {})
    swapped = lab.swapped(small_model(), "layers.1.attention", own, window=2)
    with pytest.raises(InputError, match="your class LocalAttention, which is the name of a part of minibert's own"):
        lab.save(swapped, tokenizer_in(tmp_path), tmp_path / "own")
    assert not (tmp_path / "own").exists()
