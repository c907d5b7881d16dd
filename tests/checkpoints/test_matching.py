from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert import Bert, BertConfig
from minibert.checkpoints.blueprint import parameters_of, read_parameters_of
from minibert.checkpoints.matching import MOST_LISTED, Match, has_pooler, match_tensors
from minibert.checkpoints.tensors import open_checkpoint
from minibert.errors import CheckpointError

TINY = Path(__file__).parents[1] / "goldens" / "tiny" / "gelu"
CONFIG = BertConfig.read(TINY)
HEADS = {
    "cls.predictions.bias": "masked LM",
    "cls.predictions.decoder.bias": "masked LM",
    "cls.predictions.decoder.weight": "masked LM",
    "cls.predictions.transform.dense.weight": "masked LM",
    "cls.predictions.transform.dense.bias": "masked LM",
    "cls.predictions.transform.LayerNorm.weight": "masked LM",
    "cls.predictions.transform.LayerNorm.bias": "masked LM",
    "cls.seq_relationship.weight": "next sentence",
    "cls.seq_relationship.bias": "next sentence",
    "classifier.weight": "classification",
    "classifier.bias": "classification",
    "qa_outputs.weight": "question answering",
    "qa_outputs.bias": "question answering",
}
NUMBERS = np.arange(3, dtype=np.float32)


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    """The tensors of a sound checkpoint, to be changed."""
    return load_file(TINY / "model.safetensors")


def match(folder: Path, tensors: dict[str, np.ndarray], *, pooler: bool = True) -> Match:
    save_file(tensors, folder / "model.safetensors")
    variables = parameters_of(Bert(CONFIG, rngs=None, add_pooling_layer=pooler))
    shapes = {path: variable.get_value().shape for path, variable in variables.items()}
    return match_tensors(open_checkpoint(folder), shapes, CONFIG.num_hidden_layers)


def values(found: Match) -> dict[str, bytes]:
    return {path: tensor.read().tobytes() for path, (_, tensor) in found.parameters.items()}


def problems(folder: Path, tensors: dict[str, np.ndarray]) -> list[str]:
    """The lines of the one error."""
    with pytest.raises(CheckpointError) as caught:
        match(folder, tensors)
    return str(caught.value).split("\n  ")


def test_every_tensor_of_a_sound_checkpoint_has_its_parameter(tmp_path: Path, tensors: dict[str, np.ndarray]):
    found = match(tmp_path, tensors)
    assert len(found.parameters) == len(tensors)
    assert {row.hf for row, _ in found.parameters.values()} == set(tensors)
    assert (found.heads, found.buffers) == ({}, [])


def test_all_problems_are_listed_in_one_error(tmp_path: Path, tensors: dict[str, np.ndarray]):
    del tensors["encoder.layer.1.output.dense.weight"]
    tensors["encoder.layer.2.output.dense.weight"] = np.zeros((24, 40), np.float32)
    tensors["embeddings.word_embeddings.weight"] = np.zeros((36, 24), np.float32)
    tensors["encoder.layer.0.intermediate.dense.weight"] = np.zeros((24, 40), np.float32)
    tensors["pooler.dense.bias"] = np.zeros(24, np.int32)
    tensors["bert.pooler.dense.weight"] = tensors["pooler.dense.weight"]
    lines = problems(tmp_path, tensors)
    assert lines[0].startswith(f"{tmp_path / 'model.safetensors'}: 6 tensors do not fit the configuration")
    assert sorted(lines[1:]) == [
        "missing: encoder.layer.1.output.dense.weight (our encoder.layers.1.feed_forward.projection.kernel), "
        "expected shape [24, 40]",
        "twice: bert.pooler.dense.weight and pooler.dense.weight are the same parameter",
        "unexpected: encoder.layer.2.output.dense.weight [24, 40] is no parameter of this model",
        "wrong dtype: pooler.dense.bias is int32, expected one of float64, float32, float16, bfloat16",
        "wrong shape: embeddings.word_embeddings.weight is [36, 24], the configuration calls for [37, 24]",
        "wrong shape: encoder.layer.0.intermediate.dense.weight is [24, 40], the configuration calls for [40, 24]",
    ]


def test_of_very_many_problems_the_rest_is_counted(tmp_path: Path, tensors: dict[str, np.ndarray]):
    tensors |= {f"made.up.{number}": np.zeros(0, np.float32) for number in range(MOST_LISTED + 5)}
    lines = problems(tmp_path, tensors)
    assert f"{MOST_LISTED + 5:,} tensors do not fit" in lines[0]
    assert len(lines) == 1 + MOST_LISTED + 1
    assert lines[-1] == "and 5 more"


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int8, np.bool_])
def test_weights_that_are_no_floats_are_refused(tmp_path: Path, tensors: dict[str, np.ndarray], dtype: type):
    tensors["pooler.dense.bias"] = np.zeros(24, dtype)
    assert problems(tmp_path, tensors)[1:] == [
        f"wrong dtype: pooler.dense.bias is {np.dtype(dtype).name}, expected one of float64, float32, float16, bfloat16"
    ]


@pytest.mark.parametrize("shape", [(24, 1), (1, 24), (), (0,), (25,)])
def test_shapes_are_neither_broadcast_nor_reshaped(tmp_path: Path, tensors: dict[str, np.ndarray], shape: tuple[int, ...]):
    tensors["pooler.dense.bias"] = np.zeros(shape, np.float32)
    assert problems(tmp_path, tensors)[1:] == [
        f"wrong shape: pooler.dense.bias is {list(shape)}, the configuration calls for [24]"
    ]


def test_the_old_names_gamma_and_beta_are_taken(tmp_path: Path, tensors: dict[str, np.ndarray]):
    expected = values(match(tmp_path, tensors))
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in tensors.items()
    }
    assert sum(name.endswith(("gamma", "beta")) for name in renamed) == 10
    assert values(match(tmp_path, renamed)) == expected


def test_gamma_outside_a_layer_norm_is_unexpected(tmp_path: Path, tensors: dict[str, np.ndarray]):
    tensors["pooler.dense.gamma"] = NUMBERS
    assert problems(tmp_path, tensors)[1:] == ["unexpected: pooler.dense.gamma [3] is no parameter of this model"]


def test_the_prefix_bert_is_taken(tmp_path: Path, tensors: dict[str, np.ndarray]):
    expected = values(match(tmp_path, tensors))
    assert values(match(tmp_path, {f"bert.{name}": array for name, array in tensors.items()})) == expected


def test_any_other_prefix_is_unexpected(tmp_path: Path, tensors: dict[str, np.ndarray]):
    tensors["bert.bert.pooler.dense.bias"] = tensors.pop("pooler.dense.bias")
    assert [line.partition(":")[0] for line in problems(tmp_path, tensors)[1:]] == ["missing", "unexpected"]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma"),
        ("embeddings.LayerNorm.bias", "bert.embeddings.LayerNorm.beta"),
        ("pooler.dense.bias", "bert.pooler.dense.bias"),
    ],
)
def test_one_parameter_under_two_spellings_is_refused(tmp_path: Path, tensors: dict[str, np.ndarray], name: str, other: str):
    tensors[other] = tensors[name]
    lines = problems(tmp_path, tensors)[1:]
    assert len(lines) == 1
    assert lines[0].startswith("twice: ")
    assert name in lines[0]
    assert other in lines[0]


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_buffers_of_positions_are_left_aside(tmp_path: Path, tensors: dict[str, np.ndarray], prefix: str):
    expected = values(match(tmp_path, tensors))
    buffers = {f"{prefix}embeddings.{name}": np.arange(19)[None] for name in ("position_ids", "token_type_ids")}
    found = match(tmp_path, tensors | buffers)
    assert sorted(found.buffers) == sorted(buffers)
    assert values(found) == expected


def test_task_heads_are_left_aside_and_told(tmp_path: Path, tensors: dict[str, np.ndarray]):
    expected = values(match(tmp_path, tensors))
    found = match(tmp_path, tensors | dict.fromkeys(HEADS, NUMBERS))
    assert found.heads == HEADS
    assert values(found) == expected


def test_task_heads_with_the_old_names_are_left_aside(tmp_path: Path, tensors: dict[str, np.ndarray]):
    name = "cls.predictions.transform.LayerNorm.gamma"
    assert match(tmp_path, tensors | {name: NUMBERS}).heads == {name: "masked LM"}


def test_an_unknown_head_is_unexpected(tmp_path: Path, tensors: dict[str, np.ndarray]):
    tensors["cls.predictions.more.weight"] = NUMBERS
    assert problems(tmp_path, tensors)[1:] == ["unexpected: cls.predictions.more.weight [3] is no parameter of this model"]


@pytest.mark.parametrize("left", [[], ["pooler.dense.bias"], ["bert.pooler.dense.weight"], ["pooler.more"]])
def test_any_tensor_of_the_pooler_counts_as_a_pooler(tmp_path: Path, left: list[str]):
    save_file(dict.fromkeys(["embeddings.LayerNorm.bias", *left], NUMBERS), tmp_path / "model.safetensors")
    assert has_pooler(open_checkpoint(tmp_path)) == bool(left)


def test_without_a_pooler_a_model_without_one_fits(tmp_path: Path, tensors: dict[str, np.ndarray]):
    bare = {name: array for name, array in tensors.items() if not name.startswith("pooler.")}
    assert len(match(tmp_path, bare, pooler=False).parameters) == len(tensors) - 2


@pytest.mark.parametrize("stored", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("wanted", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", ["pooler.dense.kernel", "pooler.dense.bias", "embeddings.word"])
def test_a_parameter_is_read_into_our_layout_and_dtype(
    tmp_path: Path, tensors: dict[str, np.ndarray], name: str, stored: type, wanted: type
):
    found = match(tmp_path, {name: array.astype(stored) for name, array in tensors.items()})
    row, _ = found.parameters[name]
    array = np.asarray(read_parameters_of(found.parameters, np.dtype(wanted))[name])
    expected = tensors[row.hf].astype(stored).astype(wanted)
    assert array.dtype == wanted
    assert array.tobytes() == (expected.T if row.transposed else expected).tobytes()
