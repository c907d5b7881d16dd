"""What we write is what was there, in every format, for us and for the library that the format belongs to."""

import json
import logging
import os
import shutil
from pathlib import Path

import flax.serialization
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

import minibert
from minibert.checkpoints.formats.flax_msgpack import write_flax_msgpack
from minibert.checkpoints.formats.tensor_bundle import open_tensor_bundle
from minibert.checkpoints.parameters import read_parameters
from minibert.checkpoints.tensors import open_checkpoint
from minibert.checkpoints.writing import FORMATS
from minibert.errors import CheckpointError, InputError
from minibert.verification import Reference

GOLDENS = Path(__file__).parent.parent / "goldens"
TINY = GOLDENS / "tiny"
GOOGLE = GOLDENS / "tensor_bundles" / "google"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint of safetensors with a vocabulary."""
    folder = Path(shutil.copytree(TINY / "gelu", tmp_path / "source"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(32))]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return folder


def outputs(path: Path) -> np.ndarray:
    batch = Reference.read(TINY / "gelu" / "reference.safetensors").inputs
    return np.asarray(minibert.load(path)(**batch).last_hidden_state)


def assert_equal_parameters(first: Path, second: Path) -> None:
    (config, ours), (other_config, theirs) = read_parameters(first), read_parameters(second)
    assert config == other_config
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "silu"])
def test_a_round_trip_changes_no_bit(to: str, name: str, tmp_path: Path):
    minibert.convert(TINY / name, tmp_path / "there", to=to)
    assert_equal_parameters(TINY / name, tmp_path / "there")
    minibert.convert(tmp_path / "there", tmp_path / "back")
    theirs, ours = (safetensors.numpy.load_file(folder / "model.safetensors") for folder in (TINY / name, tmp_path / "back"))
    assert ours.keys() == theirs.keys() - {"embeddings.position_ids"}
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], strict=True)


@pytest.mark.parametrize("to", FORMATS)
def test_heads_are_taken_along(to: str, tmp_path: Path):
    minibert.convert(GOOGLE, tmp_path / "there", to=to)
    assert_equal_parameters(GOOGLE, tmp_path / "there")
    assert any(name.startswith("heads.masked_lm") for name in read_parameters(tmp_path / "there")[1])


@pytest.mark.parametrize("to", FORMATS)
def test_a_model_is_saved_with_its_tokenizer(source: Path, to: str, tmp_path: Path):
    model, tokenizer = minibert.load(source), minibert.Tokenizer.load(source)
    minibert.save(model, tokenizer, tmp_path / "saved", to=to)
    np.testing.assert_array_equal(outputs(tmp_path / "saved"), outputs(source))
    assert minibert.Tokenizer.load(tmp_path / "saved").tokenize("w3 w4") == ["w3", "w4"]


def test_google_s_names_and_configuration_are_google_s(tmp_path: Path):
    minibert.convert(GOOGLE, tmp_path / "again", to="tensorflow")
    written = open_tensor_bundle(tmp_path / "again" / "bert_model.ckpt").tensors
    theirs = open_checkpoint(GOOGLE).tensors
    assert written.keys() == theirs.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(written[name].read(), tensor.read(), strict=True)
    assert json.loads((tmp_path / "again" / "bert_config.json").read_text(encoding="utf-8"))["hidden_act"] == "gelu"


def test_exact_gelu_is_never_said_in_google_s_words(tmp_path: Path):
    minibert.convert(TINY / "gelu", tmp_path / "there", to="tensorflow")
    assert not (tmp_path / "there" / "bert_config.json").exists()
    assert minibert.load(tmp_path / "there").config.hidden_act == "gelu_erf"


def test_flax_reads_what_is_written(tmp_path: Path):
    minibert.convert(TINY / "gelu", tmp_path / "there", to="flax")
    tree = flax.serialization.msgpack_restore((tmp_path / "there" / "flax_model.msgpack").read_bytes())
    flat = {"/".join(path): value for path, value in traverse_util.flatten_dict(tree).items()}
    theirs = safetensors.numpy.load_file(TINY / "gelu" / "model.safetensors")
    np.testing.assert_array_equal(flat["pooler/dense/kernel"], theirs["pooler.dense.weight"].T)
    np.testing.assert_array_equal(flat["embeddings/LayerNorm/scale"], theirs["embeddings.LayerNorm.weight"])
    np.testing.assert_array_equal(flat["embeddings/word_embeddings/embedding"], theirs["embeddings.word_embeddings.weight"])
    np.testing.assert_array_equal(
        flat["encoder/layer/1/attention/self/key/kernel"], theirs["encoder.layer.1.attention.self.key.weight"].T
    )


def test_over_a_size_safetensors_are_divided(tmp_path: Path):
    written = minibert.convert(TINY / "gelu", tmp_path / "there", max_shard_bytes=20_000)
    assert len([path for path in written.files if path.suffix == ".safetensors"]) > 1
    assert_equal_parameters(TINY / "gelu", tmp_path / "there")


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_numbers_are_stored_in_another_dtype(to: str, dtype: str, tmp_path: Path):
    minibert.convert(TINY / "gelu", tmp_path / "there", to=to, dtype=dtype)
    (_, theirs), (_, ours) = read_parameters(TINY / "gelu"), read_parameters(tmp_path / "there")
    for name, values in ours.items():
        assert values.dtype.name == dtype
        np.testing.assert_array_equal(values, theirs[name].astype(values.dtype))


def test_a_number_too_large_for_the_dtype_is_named(source: Path, tmp_path: Path):
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    tensors["pooler.dense.bias"] = np.full_like(tensors["pooler.dense.bias"], 1e6)
    safetensors.numpy.save_file(tensors, source / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"pooler\.dense\.bias has values too large for float16"):
        minibert.convert(source, tmp_path / "there", dtype="float16")
    assert not (tmp_path / "there").exists()


def test_a_kernel_stored_twice_is_left_out_once_it_is_equal(source: Path, tmp_path: Path):
    tensors = safetensors.numpy.load_file(source / "model.safetensors")
    table = tensors["embeddings.word_embeddings.weight"]
    safetensors.numpy.save_file(tensors | {"cls.predictions.decoder.weight": table}, source / "model.safetensors")
    written = minibert.convert(source, tmp_path / "there")
    assert "cls.predictions.decoder.weight, equal to embeddings.word_embeddings.weight" in written.left_out
    safetensors.numpy.save_file(tensors | {"cls.predictions.decoder.weight": table + 1}, source / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"cls\.predictions\.decoder\.weight is not equal to embeddings"):
        minibert.convert(source, tmp_path / "other")


def test_a_kernel_stored_twice_by_flax_is_turned_before_it_is_compared(tmp_path: Path):
    table = safetensors.numpy.load_file(TINY / "gelu" / "model.safetensors")["embeddings.word_embeddings.weight"]
    for kernel, is_equal in ((table.T, True), (table.T + 1, False), (table, False)):
        tensors = {"cls/predictions/decoder/kernel": kernel, "embeddings/word_embeddings/embedding": table}
        write_flax_msgpack(tmp_path / "flax_model.msgpack", tensors)
        assert open_checkpoint(tmp_path).copies() == {"cls.predictions.decoder.weight": is_equal}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "onnx"}, "the format is 'onnx'; expected one of safetensors, tensorflow, flax"),
        ({"dtype": "int8"}, "dtype is 'int8'; expected one of float64"),
        ({"max_shard_bytes": 0}, "max_shard_bytes is 0; expected a whole number"),
    ],
)
def test_options_that_there_are_not_are_refused(options: dict, message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        minibert.convert(TINY / "gelu", tmp_path / "there", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is there already and is no empty folder"):
        minibert.convert(TINY / "gelu", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minibert.checkpoints.writing.write_sharded_safetensors", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device; nothing of it is there"):
        minibert.convert(TINY / "gelu", tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stated", "written"),
    [(["BertForMaskedLM"], ["BertForMaskedLM"])]
    + [(odd, ["BertModel"]) for odd in ("BertForMaskedLM", [], [7], {"BertForMaskedLM": 1}, 7, None)],
)
def test_architectures_that_are_no_list_of_names_are_told_from_the_tensors(source: Path, stated, written, tmp_path: Path):
    config = json.loads((source / "config.json").read_text(encoding="utf-8")) | {"architectures": stated}
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    minibert.convert(source, tmp_path / "there")
    assert json.loads((tmp_path / "there" / "config.json").read_text(encoding="utf-8"))["architectures"] == written


def test_the_recipe_for_sentence_vectors_is_taken_along(source: Path, tmp_path: Path):
    (source / "1_Pooling").mkdir()
    (source / "modules.json").write_bytes(b"[]\r\n")
    (source / "1_Pooling" / "config.json").write_bytes(b"{}")
    minibert.convert(source, tmp_path / "there")
    assert (tmp_path / "there" / "modules.json").read_bytes() == b"[]\r\n"
    assert (tmp_path / "there" / "1_Pooling" / "config.json").read_bytes() == b"{}"


def test_a_recipe_that_is_a_pipe_or_too_large_is_refused(source: Path, tmp_path: Path):
    os.mkfifo(source / "modules.json")
    with pytest.raises(CheckpointError, match=r"modules\.json is not a regular file"):
        minibert.convert(source, tmp_path / "there")
    (source / "modules.json").unlink()
    (source / "sentence_bert_config.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(CheckpointError, match=r"sentence_bert_config\.json has 1,048,577 bytes, over the limit"):
        minibert.convert(source, tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.reference
@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "silu"])
def test_transformers_opens_what_is_saved_without_a_word(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    import torch
    from transformers import BertModel

    minibert.convert(TINY / name, tmp_path / "there")
    with caplog.at_level(logging.WARNING):
        theirs, report = BertModel.from_pretrained(tmp_path / "there", output_loading_info=True)
        original = BertModel.from_pretrained(TINY / name)
    assert not caplog.records
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        assert torch.equal(theirs(ids).last_hidden_state, original(ids).last_hidden_state)


@pytest.mark.reference
def test_transformers_opens_the_heads_of_google_s_checkpoint(tmp_path: Path):
    from transformers import BertForPreTraining

    minibert.convert(GOOGLE, tmp_path / "there")
    model, report = BertForPreTraining.from_pretrained(tmp_path / "there", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    stored = open_checkpoint(GOOGLE).tensors["cls/seq_relationship/output_weights"].read()
    np.testing.assert_array_equal(model.cls.seq_relationship.weight.detach().numpy(), stored)
