"""The command `convert`: what it writes, says, and refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import minibert
from minibert.checkpoints.tensors import open_checkpoint
from minibert.cli.main import main
from minibert.errors import CheckpointError

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"
SAVED = Path(__file__).parent.parent / "goldens" / "transformers_folders"


@pytest.mark.parametrize(
    ("to", "file"),
    [("safetensors", "model.safetensors"), ("tensorflow", "bert_model.ckpt.index"), ("flax", "flax_model.msgpack")],
)
def test_every_file_is_named_with_its_size(to: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", str(GELU), str(tmp_path / "there"), "--to", to]) == 0
    path = tmp_path / "there" / file
    captured = capsys.readouterr()
    assert f"{path}  {path.stat().st_size:,} bytes" in captured.out
    assert "left out: the tokenizer: " in captured.err
    assert minibert.load(tmp_path / "there").config == minibert.load(GELU).config


def test_a_size_of_shards_has_a_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", str(GELU), str(tmp_path / "there"), "--max-shard-size", "20KB", "--dtype", "float64"]) == 0
    assert "model.safetensors.index.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-shard-size", "5TB"], "--max-shard-size is '5TB'; expected a number of bytes, or one with KB, MB or GB"),
        (["--max-shard-size", "0GB"], "--max-shard-size is '0GB'"),
    ],
)
def test_bad_options_are_one_sentence(options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", str(GELU), str(tmp_path / "there"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "there").exists()


def test_a_checkpoint_that_does_not_fit_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "config.json").write_bytes((GELU.parent / "relu" / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((GELU / "model.safetensors").read_bytes())
    assert main(["convert", str(tmp_path), str(tmp_path / "there")]) == 2
    assert "do not fit the configuration beside it" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["safetensors", "tensorflow", "flax"])
@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
def test_labels_and_the_kind_of_head_are_kept_in_every_format(to: str, hidden_act: str, tmp_path: Path):
    source = Path(shutil.copytree(SAVED / "classification", tmp_path / "source"))
    named = {"hidden_act": hidden_act, "id2label": {"0": "bad", "1": "good", "2": "so so"}}
    before = json.loads((source / "config.json").read_text()) | named
    (source / "config.json").write_text(json.dumps(before))
    minibert.convert(source, tmp_path / "there", to=to)
    after = json.loads((tmp_path / "there" / "config.json").read_text())
    assert [after[key] for key in ("architectures", "id2label")] == [before[key] for key in ("architectures", "id2label")]
    assert minibert.load(tmp_path / "there").config == minibert.load(source).config


def test_labels_that_no_file_names_are_counted(tmp_path: Path):
    source = Path(shutil.copytree(SAVED / "classification", tmp_path / "source"))
    values = json.loads((source / "config.json").read_text())
    [count] = {tensor.shape[0] for name, tensor in open_checkpoint(source).tensors.items() if name == "classifier.weight"}
    unnamed = {key: value for key, value in values.items() if key not in ("architectures", "id2label", "label2id")}
    (source / "config.json").write_text(json.dumps(unnamed))
    minibert.convert(source, tmp_path / "there")
    written = json.loads((tmp_path / "there" / "config.json").read_text())
    assert written["architectures"] == ["BertForSequenceClassification"]
    assert written["id2label"] == {str(label): f"LABEL_{label}" for label in range(count)}


def test_numbers_that_bfloat16_does_not_hold_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "config.json").write_bytes((GELU / "config.json").read_bytes())
    tensors = safetensors.numpy.load_file(GELU / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    tensors[name] = np.full_like(tensors[name], np.finfo(np.float32).max)
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    assert main(["convert", str(tmp_path), str(tmp_path / "there"), "--dtype", "bfloat16"]) == 2
    assert f"{name} has values too large for bfloat16" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=f"{name} has values too large for param_dtype bfloat16"):
        minibert.load(tmp_path, param_dtype="bfloat16")
