"""Checkpoints of Google's own code, as TensorFlow wrote them: found, named, and computed with tanh GELU."""

import contextlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from damage import cut_at_each_hundredth, flipped

import minibert
from minibert.checkpoints.formats.tensor_bundle import open_tensor_bundle, write_tensor_bundle
from minibert.checkpoints.parameters import read_parameters
from minibert.checkpoints.tensors import open_checkpoint
from minibert.errors import CheckpointError
from minibert.verification import Reference, compare, record_numpy

GOLDENS = Path(__file__).parent.parent / "goldens"
GOOGLE = GOLDENS / "tensor_bundles" / "google"
SAME_WEIGHTS = GOLDENS / "tiny" / "gelu_new"


@pytest.fixture
def google(tmp_path: Path) -> Path:
    """A copy of Google's files, which a test may change."""
    return Path(shutil.copytree(GOOGLE, tmp_path / "google"))


@pytest.mark.parametrize("path", [GOOGLE, GOOGLE / "bert_model.ckpt", GOOGLE / "bert_model.ckpt.index"])
def test_the_model_computes_what_transformers_computes_with_the_same_weights(path: Path):
    reference = Reference.read(SAME_WEIGHTS / "reference.safetensors")
    model = minibert.load(path)
    assert model.config.hidden_act == "gelu_tanh"
    assert compare(minibert.record(model, reference.inputs), reference).agrees


def test_every_parameter_is_that_of_the_same_model_in_safetensors():
    _, google = read_parameters(GOOGLE)
    _, ours = read_parameters(SAME_WEIGHTS)
    for name, values in ours.items():
        np.testing.assert_array_equal(google[name], values, strict=True)


def test_the_heads_of_pretraining_are_there():
    _, parameters = read_parameters(GOOGLE)
    stored = open_tensor_bundle(GOOGLE / "bert_model.ckpt").tensors
    heads = {
        "heads.masked_lm.dense.kernel": stored["cls/predictions/transform/dense/kernel"].read(),
        "heads.masked_lm.bias": stored["cls/predictions/output_bias"].read(),
        "heads.next_sentence.dense.kernel": stored["cls/seq_relationship/output_weights"].read().T,
    }
    for name, values in heads.items():
        np.testing.assert_array_equal(parameters[name], values)
    trace = record_numpy(GOOGLE, {"input_ids": np.array([[3, 4, 5]])})
    assert trace["heads.next_sentence.logits"].shape == (1, 2)


def test_what_the_optimiser_kept_is_left_out_and_named():
    stored = open_checkpoint(GOOGLE)
    assert len(stored.left_out) == 2 * len(stored.tensors) + 1
    assert "global_step" in stored.left_out
    assert "bert/pooler/dense/kernel/adam_m" in stored.left_out


def test_the_names_of_a_tensorflow_hub_module_and_its_folder_are_known(google: Path):
    tensors = {f"module/{name}": tensor.read() for name, tensor in open_checkpoint(GOOGLE).tensors.items()}
    for path in google.glob("bert_model.ckpt*"):
        path.unlink()
    (google / "variables").mkdir()
    write_tensor_bundle(google / "variables" / "variables", tensors)
    reference = Reference.read(SAME_WEIGHTS / "reference.safetensors")
    assert compare(minibert.record(minibert.load(google), reference.inputs), reference).agrees


def test_google_s_configuration_counts_for_google_s_weights(google: Path):
    config = json.loads((google / "bert_config.json").read_text(encoding="utf-8"))
    (google / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert minibert.load(google).config.hidden_act == "gelu_tanh"
    assert minibert.load(google, hidden_act="gelu_erf").config.hidden_act == "gelu_erf"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("bert/pooler/dense/bias"), r"missing: pooler\.dense\.bias"),
        (lambda tensors: tensors.update({"bert/extra": np.zeros(2)}), r"unexpected: bert/extra \[2\]"),
        (
            lambda tensors: tensors.update({"bert/pooler/dense/kernel": np.zeros((25, 24), np.float32)}),
            r"wrong shape: bert/pooler/dense/kernel is \[25, 24\], the configuration calls for \[25, 25\]",
        ),
        (
            lambda tensors: tensors.update({"pooler/dense/bias": np.zeros(25)}),
            "twice: bert/pooler/dense/bias and pooler/dense/bias are the same parameter",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named_as_they_are_stored(google: Path, change, message: str):
    tensors = {name: tensor.read() for name, tensor in open_checkpoint(google).tensors.items()}
    change(tensors)
    write_tensor_bundle(google / "bert_model.ckpt", tensors)
    with pytest.raises(CheckpointError, match=message):
        minibert.load(google)


def test_a_damaged_parameter_is_found_when_it_is_loaded(google: Path):
    data = google / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[1000] ^= 1
    data.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the checksum of tensor bert/\S+ does not hold"):
        minibert.load(google)


def zip_of(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of a zip as Google packs them, and a home of its own."""
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    files = {f"uncased_L-2_H-25_A-5/{path.name}": path.read_bytes() for path in GOOGLE.iterdir()}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(32))]
    return files | {"uncased_L-2_H-25_A-5/vocab.txt": "\n".join(words).encode()}


def test_the_zip_as_it_is_downloaded_is_a_checkpoint(official: dict[str, bytes], tmp_path: Path):
    archive = zip_of(official, tmp_path / "uncased_L-2_H-25_A-5.zip")
    reference = Reference.read(SAME_WEIGHTS / "reference.safetensors")
    assert compare(minibert.record(minibert.load(archive), reference.inputs), reference).agrees
    assert minibert.Tokenizer.load(archive).tokenize("w3 w4") == ["w3", "w4"]
    [folder] = (tmp_path / "home" / "unpacked").iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    minibert.load(archive)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: {}, "holds no checkpoint; expected bert_config.json and bert_model.ckpt.index"),
        (
            lambda files: files | {"other/bert_config.json": b"{}"},
            r"holds \S+/bert_config.json and other/bert_config.json; expected one",
        ),
        (lambda files: files | {"../vocab.txt": b"w"}, r"holds \S+/vocab.txt and ../vocab.txt"),
        (
            lambda files: files | {"../tokenizer.json": b"w"},
            "a member named '../tokenizer.json', which is no plain relative path",
        ),
        (lambda files: files | {"a/tokenizer.json": bytes(10**8)}, "would inflate .* over the limit of 100 : 1"),
    ],
)
def test_a_zip_that_is_no_checkpoint_leaves_nothing(official: dict[str, bytes], tmp_path: Path, change, message: str):
    archive = zip_of(change(official), tmp_path / "a.zip")
    with pytest.raises(CheckpointError, match=message) as problem:
        minibert.load(archive)
    assert str(archive) in str(problem.value)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not (tmp_path / "vocab.txt").exists()


@pytest.mark.parametrize(
    ("name", "size", "most"),
    [
        ("tokenizer_config.json", (1 << 20) + 1, "1,048,576"),
        ("bert_config.json", (1 << 20) + 1, "1,048,576"),
        ("bert_model.ckpt.index", (4 << 20) + 1, "4,194,304"),
        ("tokenizer.json", (16 << 20) + 1, "16,777,216"),
    ],
)
def test_a_member_larger_than_its_kind_is_refused_before_a_byte_is_hashed_or_unpacked(
    official: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int, most: str
):
    def never(*_: object) -> None:
        raise AssertionError

    for function in ("sha256_of", "unpack"):
        monkeypatch.setattr(f"minibert.checkpoints.zipped.{function}", never)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in (official | {f"uncased_L-2_H-25_A-5/{name}": bytes(size)}).items():
            archive.writestr(member, content)
    with pytest.raises(CheckpointError, match=rf"{name}' has {size:,} bytes unpacked; expected at most {most}"):
        minibert.load(path)
    assert not (tmp_path / "home").exists()


def test_bytes_hidden_in_front_of_a_zip_are_refused_before_they_are_hashed(
    official: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr("minibert.checkpoints.zipped.sha256_of")
    archive = zip_of(official, tmp_path / "a.zip")
    archive.write_bytes(bytes(1000) + archive.read_bytes())
    with pytest.raises(CheckpointError, match="follows hidden bytes"):
        minibert.load(archive)


def test_a_zip_cut_short_or_damaged_is_refused(official: dict[str, bytes], tmp_path: Path):
    archive = zip_of(official, tmp_path / "a.zip")
    content = archive.read_bytes()
    for part in cut_at_each_hundredth(content):
        archive.write_bytes(part)
        with pytest.raises(CheckpointError):
            minibert.load(archive)
    for place in range(0, len(content), len(content) // 50):
        archive.write_bytes(flipped(content, place, 0x10))
        with contextlib.suppress(CheckpointError):  # a time or a permission may be changed
            minibert.load(archive)
