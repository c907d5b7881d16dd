"""The command `convert`: what it writes, says, and refuses."""

from pathlib import Path

import pytest

import minibert
from minibert.cli.main import main

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"


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
