"""The NumPy BERT: the truth itself, so it is held against the references in float64 and against the paper's formulas."""

import math
from pathlib import Path

import numpy as np
import pytest

from minibert import CheckpointError, load
from minibert.checkpoints.parameters import read_parameters
from minibert.model.tap import intermediate_names
from minibert.numpy_bert import ACTIVATIONS, NumpyBert, gelu_erf
from minibert.verification import Reference, oracle_of, record_numpy, stored_references

GOLDENS = Path(__file__).parent / "goldens" / "tiny"


@pytest.fixture(params=["gelu", "gelu_new", "relu", "silu"])
def folder(request) -> Path:
    return GOLDENS / request.param


def test_every_intermediate_is_transformers_float64(folder: Path):
    reference = Reference.read(folder / "reference.safetensors")
    trace = record_numpy(folder, reference.inputs)
    assert set(trace) == set(reference.truth)
    for name, truth in reference.truth.items():
        # What is stored is float32 and a correction in float32, exact to about 1e-13 of a value. Padded positions agree, too.
        assert np.abs(trace[name] - truth).max() <= 1e-12 * max(1.0, np.abs(truth).max()), name


def test_the_trained_model_is_transformers_float64(minilm_folder: Path):
    for reference in stored_references("minilm-l6"):
        if reference.positions is not None:
            continue
        trace = record_numpy(minilm_folder, reference.inputs, list(reference.truth))
        for name, truth in reference.truth.items():
            assert np.abs(trace[name] - truth).max() <= 1e-12 * max(1.0, np.abs(truth).max()), name


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_all_arithmetic_is_in_the_dtype_asked_for(dtype: str):
    inputs = Reference.read(GOLDENS / "gelu" / "reference.safetensors").inputs
    trace = record_numpy(GOLDENS / "gelu", inputs, dtype=dtype)
    assert {values.dtype for values in trace.values()} == {np.dtype(dtype)}


def test_a_tap_replaces_what_it_is_shown():
    oracle = oracle_of(GOLDENS / "gelu")
    ids = np.array([[3, 4, 5]])
    output = oracle(ids, tap=lambda name, value: value * 0 if name == "layers.1.output" else value)
    assert not output.hidden_states[-1].any()
    assert output.hidden_states[-2].any()


def test_the_names_are_those_of_the_model_in_data_flow_order():
    oracle = oracle_of(GOLDENS / "silu")
    seen: list[str] = []
    oracle(np.array([[1]]), tap=lambda name, value: (seen.append(name), value)[1])
    assert seen == intermediate_names(3)


def test_the_oracle_of_a_model_has_its_parameters():
    folder = GOLDENS / "relu"
    ids = np.array([[1, 2, 3]])
    of_model, of_folder = oracle_of(load(folder)), oracle_of(folder)
    # Kernels that lie in memory in another order are added up in another one.
    np.testing.assert_allclose(of_model(ids).pooler_output, of_folder(ids).pooler_output, rtol=1e-13)


@pytest.mark.parametrize("x", [-40.0, -8.0, -1.5, -1e-9, 0.0, 1e-300, 0.3, 2.0, 9.0])
def test_erf_gelu_is_right_to_the_last_places(x: float):
    # x/2 · erfc(−x/√2) loses no digits where 1 + erf(…) would.
    assert gelu_erf(np.array([x]))[0] == pytest.approx(x * 0.5 * math.erfc(-x / math.sqrt(2.0)), rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_end_like_the_identity_and_zero(name: str):
    values = ACTIVATIONS[name](np.array([-1e4, 0.0, 1e4]))
    np.testing.assert_allclose(values, [0.0, 0.0, 1e4], atol=1e-12)


def test_a_text_masked_as_a_whole_attends_to_all_tokens_alike():
    probabilities = record_numpy(
        GOLDENS / "gelu", {"input_ids": np.array([[1, 2, 3, 4]]), "attention_mask": np.zeros((1, 4), int)}
    )["layers.0.attention.probabilities"]
    np.testing.assert_allclose(probabilities, 0.25)


def test_the_heads_of_pretraining_are_transformers_in_float64(tmp_path: Path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = saved_pretraining_model(tmp_path, torch, transformers)
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    output = oracle_of(tmp_path)(ids)
    with torch.no_grad():
        expected = theirs.double()(torch.tensor(ids))
    np.testing.assert_allclose(output.masked_lm_logits, expected.prediction_logits.numpy(), atol=1e-12)
    np.testing.assert_allclose(output.next_sentence_logits, expected.seq_relationship_logits.numpy(), atol=1e-12)


def saved_pretraining_model(folder: Path, torch, transformers):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=11, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=7,
        max_position_embeddings=5, type_vocab_size=2, initializer_range=0.5,
    )  # fmt: skip
    model = transformers.BertForPreTraining(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model


def heads_beside(folder: Path, **tensors: np.ndarray) -> Path:
    """A copy of the golden checkpoint with tensors of the masked-language-model head."""
    from shutil import copytree

    from safetensors.numpy import load_file, save_file

    copytree(GOLDENS / "gelu", folder, dirs_exist_ok=True)
    stored = load_file(folder / "model.safetensors")
    names = {
        "dense": "cls.predictions.transform.dense.weight",
        "dense_bias": "cls.predictions.transform.dense.bias",
        "scale": "cls.predictions.transform.LayerNorm.weight",
        "norm_bias": "cls.predictions.transform.LayerNorm.bias",
        "bias": "cls.predictions.bias",
        "decoder": "cls.predictions.decoder.weight",
    }
    head = {
        "dense": np.eye(24, dtype=np.float32), "dense_bias": np.zeros(24, np.float32), "scale": np.ones(24, np.float32),
        "norm_bias": np.zeros(24, np.float32), "bias": np.zeros(37, np.float32),
    }  # fmt: skip
    save_file(stored | {names[part]: values for part, values in (head | tensors).items()}, folder / "model.safetensors")
    return folder


def test_the_masked_language_model_head_ends_in_the_table_of_words(tmp_path: Path):
    oracle = oracle_of(heads_beside(tmp_path))
    seen: dict[str, np.ndarray] = {}
    logits = oracle(np.array([[1, 2]]), tap=lambda name, value: seen.setdefault(name, value)).masked_lm_logits
    expected = seen["heads.masked_lm.output"] @ oracle.parameters["embeddings.word"].astype(np.float64).T
    np.testing.assert_allclose(logits, expected)
    assert oracle(np.array([[1, 2]])).next_sentence_logits is None


def test_a_tied_kernel_that_differs_is_an_error(tmp_path: Path):
    word = read_parameters(GOLDENS / "gelu")[1]["embeddings.word"]
    assert "heads.masked_lm.bias" in read_parameters(heads_beside(tmp_path / "same", decoder=word.copy()))[1]
    with pytest.raises(CheckpointError, match=r"decoder\.weight is not the table of word embeddings"):
        read_parameters(heads_beside(tmp_path / "other", decoder=word + 1))


def test_a_head_of_another_shape_is_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"cls\.predictions\.bias has, in our layout, the shape \[36\]"):
        read_parameters(heads_beside(tmp_path, bias=np.zeros(36, np.float32)))


def test_parameters_stay_in_their_stored_dtype_until_they_are_used():
    config, parameters = read_parameters(GOLDENS / "gelu")
    assert {values.dtype for values in parameters.values()} == {np.dtype(np.float32)}
    assert NumpyBert(config, parameters).parameter("pooler.dense.kernel").dtype == np.float64
