"""Folders of transformers' own `save_pretrained`, opened without torch: every tensor, every head, with and without a pooler."""

import json
import sys

import numpy as np
import pytest
from record_transformers_folders import FOLDER, TENSORS, described
from test_loading import our_layout

import minibert
from minibert.checkpoints.blueprint import parameters_of, read_blueprint
from minibert.checkpoints.parameters import read_parameters
from minibert.checkpoints.tensors import open_checkpoint
from minibert.cli.main import main

WRITTEN: dict[str, dict[str, str]] = json.loads(TENSORS.read_text(encoding="utf-8"))
FOLDERS = sorted(WRITTEN)
IDS = np.array([[2, 7, 31, 3], [2, 39, 3, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
TYPES = np.array([[0, 0, 1, 1], [0, 0, 0, 0]])

BOTH = {"masked LM", "next sentence"}
HEADS = {
    "model": set(),
    "sharded": BOTH,
    "float16": set(),
    "bfloat16": set(),
    "without_pooler": set(),
    "masked_lm": {"masked LM"},
    "classification": {"classification"},
    "question_answering": {"question answering"},
    "gamma_beta": BOTH,
    "torch_zip": BOTH,
    "torch_stream": {"question answering"},
    "torch_shards": BOTH,
}
WITHOUT_A_POOLER = {"without_pooler", "masked_lm", "question_answering", "torch_stream"}
FORMATS = {
    "sharded": "safetensors, sharded",
    "torch_zip": "PyTorch",
    "torch_stream": "PyTorch",
    "torch_shards": "PyTorch, sharded",
}


@pytest.fixture
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any import of them fails, also where another test has imported them before."""
    for name in ("torch", "transformers", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, name, None)


def stored(folder: str) -> dict[str, np.ndarray]:
    """The tensors by their names of today, heads included; a test of its own says that they are those that were written."""
    today = {}
    for name, tensor in open_checkpoint(FOLDER / folder).tensors.items():
        name = (
            name.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        )
        today[name] = tensor.read()
    return today


@pytest.mark.usefixtures("_without_torch")
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_tensor_is_the_one_that_was_written_bit_for_bit(folder: str):
    checkpoint = open_checkpoint(FOLDER / folder)
    arrays = {name: tensor.read() for name, tensor in checkpoint.tensors.items()}
    assert {name: described(array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()} == WRITTEN[folder]
    assert checkpoint.format == FORMATS.get(folder, "safetensors")


@pytest.mark.usefixtures("_without_torch")
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_parameter_is_float32_and_the_stored_tensor(folder: str):
    variables = parameters_of(minibert.load(FOLDER / folder))
    of_the_encoder = {name: values for name, values in stored(folder).items() if name.startswith(("embed", "encoder", "pooler"))}
    of_the_encoder.pop("embeddings.position_ids", None)
    expected = dict(our_layout(*item) for item in of_the_encoder.items())
    assert set(variables) == set(expected)
    for path, variable in variables.items():
        # The wider dtype holds every number of the narrower ones.
        np.testing.assert_array_equal(variable.get_value(), expected[path].astype(np.float32), err_msg=path, strict=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_folders_of_narrow_dtypes_hold_nothing_wider(dtype: str):
    assert {array.dtype.name for array in stored(dtype).values()} == {dtype}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_pooler_is_there_where_one_was_saved(folder: str):
    model = minibert.load(FOLDER / folder)
    assert (model.pooler is None) == (folder in WITHOUT_A_POOLER)
    assert (model(IDS).pooler_output is None) == (folder in WITHOUT_A_POOLER)


@pytest.mark.parametrize("folder", FOLDERS)
def test_heads_are_set_aside_and_told(folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    match = read_blueprint(FOLDER / folder).match
    not_of_heads = ("bert.", "embeddings.", "encoder.", "pooler.")
    assert set(match.heads) == {name for name in WRITTEN[folder] if not name.startswith(not_of_heads)}
    assert set(match.heads.values()) == HEADS[folder]
    monkeypatch.setattr("minibert.cli.main.keep_compiled_programs", lambda: None)
    assert main(["inspect", str(FOLDER / folder)]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ heads ")]
    assert line.split("│")[2].strip() == (", ".join(f"{head} head" for head in sorted(HEADS[folder])) or "none")


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_heads_of_pretraining_are_read_with_the_parameters(folder: str):
    _, parameters = read_parameters(FOLDER / folder)
    tensors, expected = stored(folder), {}
    if "masked LM" in HEADS[folder]:
        expected |= {
            "heads.masked_lm.dense.kernel": tensors["cls.predictions.transform.dense.weight"].T,
            "heads.masked_lm.dense.bias": tensors["cls.predictions.transform.dense.bias"],
            "heads.masked_lm.layer_norm.scale": tensors["cls.predictions.transform.LayerNorm.weight"],
            "heads.masked_lm.layer_norm.bias": tensors["cls.predictions.transform.LayerNorm.bias"],
            "heads.masked_lm.bias": tensors["cls.predictions.bias"],
        }
    if "next sentence" in HEADS[folder]:
        expected["heads.next_sentence.dense.kernel"] = tensors["cls.seq_relationship.weight"].T
        expected["heads.next_sentence.dense.bias"] = tensors["cls.seq_relationship.bias"]
    found = {name: values for name, values in parameters.items() if name.startswith("heads.")}
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name, strict=True)


@pytest.mark.reference
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_hidden_states_are_those_of_transformers(folder: str):
    import torch
    from transformers import BertModel

    theirs, report = BertModel.from_pretrained(
        FOLDER / folder, dtype=torch.float32, add_pooling_layer=folder not in WITHOUT_A_POOLER, output_loading_info=True
    )
    assert not report["missing_keys"]
    batch = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
    with torch.no_grad():
        expected = theirs.eval()(**{name: torch.tensor(array) for name, array in batch.items()})
    output = minibert.load(FOLDER / folder)(**batch)
    real = MASK == 1
    np.testing.assert_allclose(
        np.asarray(output.last_hidden_state)[real], expected.last_hidden_state.numpy()[real], atol=1e-5, rtol=0.0
    )
    if folder not in WITHOUT_A_POOLER:
        np.testing.assert_allclose(output.pooler_output, expected.pooler_output.numpy(), atol=1e-5, rtol=0.0)
