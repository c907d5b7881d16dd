import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from minibert import Bert, load
from minibert.checkpoints.blueprint import parameters_of
from minibert.errors import CheckpointError, ConfigError

TINY = Path(__file__).parents[1] / "goldens" / "tiny" / "gelu"
IDS = np.array([[1, 5, 9, 2]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint, to be changed."""
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(TINY / name, tmp_path / name)
    return tmp_path


def change_config(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))


def change_tensors(folder: Path, *, without: Iterable[str] = (), dtype: Any = None, **changes: np.ndarray) -> None:
    tensors = load_file(folder / "model.safetensors") | changes
    kept = {name: array.astype(dtype or array.dtype) for name, array in tensors.items() if name not in without}
    save_file(kept, folder / "model.safetensors")


def parameters(model: Bert) -> dict[str, np.ndarray]:
    return {path: np.asarray(variable.get_value()) for path, variable in parameters_of(model).items()}


def our_layout(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Our path and our array for a tensor of Hugging Face's, written down a second time."""
    for pattern, ours in (
        (r"^encoder\.layer\.", "encoder.layers."),
        (r"_embeddings\.weight$", ""),
        (r"(?<=embeddings\.)LayerNorm", "layer_norm"),
        (r"attention\.self", "attention"),
        (r"attention\.output\.dense", "attention.projection"),
        (r"attention\.output\.LayerNorm", "attention.layer_norm"),
        (r"(?<=\d\.)intermediate\.dense", "feed_forward.intermediate"),
        (r"(?<=\d\.)output\.dense", "feed_forward.projection"),
        (r"(?<=\d\.)output\.LayerNorm", "feed_forward.layer_norm"),
        (r"layer_norm\.weight$", "layer_norm.scale"),
        (r"\.weight$", ".kernel"),
    ):
        name = re.sub(pattern, ours, name)
    return name, array.T if name.endswith(".kernel") else array


def test_every_parameter_is_the_stored_tensor_in_our_layout(tiny_folder: Path):
    expected = dict(our_layout(*item) for item in load_file(tiny_folder / "model.safetensors").items())
    found = parameters(load(tiny_folder))
    assert set(found) == set(expected)
    for path, array in expected.items():
        assert found[path].dtype == np.float32, path
        np.testing.assert_array_equal(found[path], array, err_msg=path)


def test_the_configuration_is_that_of_the_folder(tiny_folder: Path):
    values = json.loads((tiny_folder / "config.json").read_text())
    activation = {"gelu": "gelu_erf", "gelu_new": "gelu_tanh"}.get(values["hidden_act"], values["hidden_act"])
    config = load(tiny_folder).config
    assert config.hidden_act == activation
    assert (config.hidden_size, config.num_hidden_layers) == (values["hidden_size"], values["num_hidden_layers"])


def test_a_path_may_be_text():
    assert load(str(TINY)).config.hidden_size == 24


def test_shards_load_as_the_one_file_does(folder: Path):
    expected = parameters(load(folder))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {name: f"model-{index % 2}.safetensors" for index, name in enumerate(names)}
    for shard in set(weight_map.values()):
        save_file({name: tensors[name] for name in names if weight_map[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    found = parameters(load(folder))
    assert {path: array.tobytes() for path, array in found.items()} == {path: array.tobytes() for path, array in expected.items()}


def test_overrides_are_fields_of_the_configuration():
    config = load(TINY, hidden_act="relu", precision="high", dtype="bfloat16").config
    assert (config.hidden_act, config.precision, config.dtype) == ("relu", "high", "bfloat16")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_weights_of_any_floating_dtype_load_into_float32(folder: Path, dtype: Any):
    change_tensors(folder, dtype=dtype)
    expected = load_file(TINY / "model.safetensors")["embeddings.word_embeddings.weight"].astype(dtype)
    found = parameters(load(folder))
    assert {array.dtype.name for array in found.values()} == {"float32"}
    np.testing.assert_array_equal(found["embeddings.word"], expected.astype(np.float32))


@pytest.mark.parametrize("param_dtype", ["bfloat16", "float16"])
def test_param_dtype_chooses_how_parameters_are_held(param_dtype: str):
    found = parameters(load(TINY, param_dtype=param_dtype))
    assert {array.dtype.name for array in found.values()} == {param_dtype}


def test_a_checkpoint_without_a_pooler_gives_a_model_without_one(folder: Path):
    change_tensors(folder, without=["pooler.dense.weight", "pooler.dense.bias"])
    model = load(folder)
    assert model.pooler is None
    assert model(IDS).pooler_output is None
    np.testing.assert_array_equal(model(IDS).last_hidden_state, load(TINY)(IDS).last_hidden_state)


@pytest.mark.parametrize("half", ["weight", "bias"])
def test_half_a_pooler_is_an_error(folder: Path, half: str):
    change_tensors(folder, without=[f"pooler.dense.{half}"])
    with pytest.raises(CheckpointError, match=rf"1 tensors do not fit.*\n  missing: pooler\.dense\.{half}"):
        load(folder)


def test_task_heads_and_buffers_leave_the_model_as_it_is(folder: Path):
    more = {"cls.predictions.bias": np.ones(37, np.float32), "embeddings.position_ids": np.arange(19)[None]}
    change_tensors(folder, **more)
    np.testing.assert_array_equal(load(folder)(IDS).pooler_output, load(TINY)(IDS).pooler_output)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"vocab_size": 36}, "wrong shape: embeddings.word_embeddings.weight is [37, 24]"),
        ({"type_vocab_size": 2}, "wrong shape: embeddings.token_type_embeddings.weight is [3, 24]"),
        ({"max_position_embeddings": 512}, "wrong shape: embeddings.position_embeddings.weight is [19, 24]"),
        ({"intermediate_size": 24}, "wrong shape: encoder.layer.1.output.dense.weight is [24, 40]"),
        ({"num_hidden_layers": 3}, "missing: encoder.layer.2.attention.self.query.weight"),
        ({"num_hidden_layers": 1}, "unexpected: encoder.layer.1.attention.self.query.weight"),
    ],
)
def test_a_configuration_of_another_shape_is_an_error(folder: Path, changes: dict[str, int], problem: str):
    change_config(folder, **changes)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert str(folder / "model.safetensors") in str(caught.value)
    assert problem in str(caught.value)


def test_a_configuration_beyond_all_memory_is_an_error_before_anything_is_allocated(folder: Path):
    largest = {
        "vocab_size": 10_000_000,
        "hidden_size": 65_536,
        "intermediate_size": 1_048_576,
        "num_attention_heads": 1,
    }
    change_config(folder, **largest)
    with pytest.raises(CheckpointError, match=r"the configuration calls for \[10000000, 65536\]"):
        load(folder)


def test_more_layers_than_tensors_is_an_error_before_the_model_is_built(folder: Path, monkeypatch: pytest.MonkeyPatch):
    change_config(folder, num_hidden_layers=1000)
    monkeypatch.setattr("minibert.checkpoints.blueprint.Bert", None)
    with pytest.raises(CheckpointError, match="too few for num_hidden_layers = 1000"):
        load(folder)


@pytest.mark.parametrize("field", ["dtype", "param_dtype"])
def test_float64_without_jax_float64_is_an_error_not_float32(folder: Path, field: str):
    with pytest.raises(ConfigError, match="JAX_ENABLE_X64=1"):
        load(folder, **{field: "float64"})


def test_weights_beyond_the_range_of_param_dtype_are_an_error_not_infinity(folder: Path):
    name = "encoder.layer.0.output.dense.bias"
    change_tensors(folder, **{name: np.full(24, 1e5, np.float32)})
    with pytest.raises(CheckpointError, match=f"{name} has values too large for param_dtype float16"):
        load(folder, param_dtype="float16")


def test_a_configuration_out_of_range_is_an_error(folder: Path):
    change_config(folder, hidden_size=10**9)
    with pytest.raises(ConfigError, match=r"config\.json: hidden_size is 1000000000"):
        load(folder)


def test_a_folder_without_a_configuration_is_an_error(folder: Path):
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"neither config\.json nor bert_config\.json"):
        load(folder)


def test_a_folder_without_weights_is_an_error(folder: Path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no weights that are read"):
        load(folder)


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 20_000, -1])
def test_weights_cut_short_are_an_error(folder: Path, kept: int):
    size = (folder / "model.safetensors").stat().st_size
    os.truncate(folder / "model.safetensors", kept % size)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not a sound safetensors file"):
        load(folder)


@pytest.mark.parametrize("name", ["minilm-l7", "", "no/such/folder", "no\0name", "n" * 5_000])
def test_an_unknown_name_is_an_error(name: str):
    with pytest.raises(CheckpointError, match="neither a folder|does not exist"):
        load(name)


def test_a_file_of_weights_is_loaded_with_the_configuration_beside_it(folder: Path):
    assert load(folder / "model.safetensors").config == load(folder).config


def test_a_file_that_is_no_weights_is_an_error(folder: Path):
    with pytest.raises(CheckpointError, match=r"config\.json has no suffix of a file of weights; known are \.safetensors"):
        load(folder / "config.json")


def test_no_parameter_is_drawn_at_random_on_the_way(monkeypatch: pytest.MonkeyPatch):
    drawn = []
    initializer = jax.nn.initializers.truncated_normal

    def watched(*arguments: Any) -> Any:
        draw = initializer(*arguments)

        def watched_draw(*arguments: Any) -> jax.Array:
            drawn.append(draw(*arguments))
            return drawn[-1]

        return watched_draw

    monkeypatch.setattr(jax.nn.initializers, "truncated_normal", watched)
    model = load(TINY)
    assert drawn == []
    assert all(isinstance(variable.get_value(), jax.Array) for variable in parameters_of(model).values())
    Bert(model.config, rngs=nnx.Rngs(0))
    assert len(drawn) == 16  # three embeddings, six kernels in each of two layers, the pooler's


@pytest.mark.parametrize("param_dtype", ["float32", "bfloat16"])
def test_a_model_is_free_of_the_file(folder: Path, param_dtype: str):
    model = load(folder, param_dtype=param_dtype)
    before = {path: array.tobytes() for path, array in parameters(model).items()}
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(bytes((folder / "model.safetensors").stat().st_size))
    assert {path: array.tobytes() for path, array in parameters(model).items()} == before


CHILD = """
import sys

import jax

import minibert

def highest_resident_bytes():
    # VmHWM is this program's own, where getrusage on Linux also counts the program that started it.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

jax.devices()
before = highest_resident_bytes()
model = minibert.load(sys.argv[1])
jax.block_until_ready(jax.tree.leaves(model))
print(highest_resident_bytes() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_loading_holds_the_weights_once(folder: Path):
    sizes = {"vocab_size": 30_522, "hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1_536}
    change_config(folder, num_attention_heads=12, max_position_embeddings=512, type_vocab_size=2, **sizes)
    random = np.random.default_rng(0)
    shapes = {24: 384, 40: 1_536, 37: 30_522, 19: 512, 3: 2}
    tensors = {}
    for name, array in load_file(TINY / "model.safetensors").items():
        shape = [shapes[length] for length in array.shape]
        for layer in range(0, 6, 2) if name.startswith("encoder.") else [0]:
            of_layer = re.sub(r"\d+", lambda number, layer=layer: str(int(number.group()) + layer), name)
            tensors[of_layer] = random.standard_normal(shape, np.float32)
    save_file(tensors, folder / "model.safetensors")
    weights = sum(array.nbytes for array in tensors.values())
    assert 85e6 < weights < 95e6
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, timeout=120, env=environment
    )
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) <= 1.3 * weights
