"""Faults planted in models by JAX code, and what the NumPy candidates make of the traces: the right name, and no false alarm."""

from functools import cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from fault_trials import Trials
from flax import nnx
from small_models import inputs_for, small_model

from minibert import Bert, InputError, Tokenizer, Trace, compare, record
from minibert.model.tap import layer_output_names
from minibert.verification import Reference, diagnose, oracle_of, plant
from minibert.verification.diagnosis import region_of
from minibert.verification.faults import FAULTS
from minibert.verification.oracle import computed_reference, inputs_of
from minibert.verification.trace import Recorder

# A diagnosis computes each layer dozens of times; the checks of shapes are on where the command and doctor are tested.
pytestmark = pytest.mark.usefixtures("without_shape_checks")

SEEDS = (0, 1)
GOLDENS = Path(__file__).parent.parent / "goldens"


def recorded(model: Bert, batch: dict[str, np.ndarray], names: list[str] | None = None) -> Trace:
    """A trace without compilation, which takes longer than everything else here."""
    inputs = inputs_of(oracle_of(model), batch)
    recorder = Recorder(None if names is None else frozenset(names))
    model.forward(**{name: jnp.asarray(values) for name, values in inputs.items()}, tap=recorder)
    return Trace({name: np.asarray(values) for name, values in recorder.recorded.items()}, inputs)


@cache
def case(seed: int) -> tuple[Bert, dict[str, np.ndarray], Reference]:
    """A model, inputs and their truth. The models differ where a fault is none if it is what the configuration says."""
    model = small_model(seed, hidden_act=("gelu_erf", "gelu_tanh")[seed], layer_norm_eps=(1e-12, 1e-5)[seed])
    batch = inputs_for(model.config, seed)
    return model, batch, computed_reference(model, batch)


def test_every_fault_is_found_where_it_is_and_called_by_its_name():
    trials = Trials()
    for seed in SEEDS:
        model, batch, reference = case(seed)
        # The second model is for the faults that the first one has by its configuration.
        faults = [fault for fault in FAULTS if fault not in trials.planted]
        trials.run(model, reference, lambda faulty, batch=batch: recorded(faulty, batch), faults, seed)
    print(trials)
    assert trials.planted == set(FAULTS)
    assert len(trials.misses) <= 0.05 * trials.total, trials.misses


@pytest.mark.reference
@pytest.mark.long
def test_every_fault_is_found_in_the_trained_model(minilm: Bert, minilm_tokenizer: Tokenizer):
    batch = minilm_tokenizer(["The bank raised rates.", "A river bank.", "Crème brûlée in 東京?", ""])
    # The last text is masked as a whole, which is where a weak mask shows.
    batch["attention_mask"][3] = 0
    batch["token_type_ids"][0, 3:] = 1
    reference = computed_reference(minilm, batch)
    trials = Trials()
    trials.run(minilm, reference, lambda faulty: record(faulty, batch), list(FAULTS), seed=0)
    print(trials)
    # Its LayerNorms take off a mean that is small beside the spread, where one pass over the numbers does no harm.
    assert {fault for fault, _ in trials.misses} <= {"one_pass_variance"}
    assert len(trials.misses) <= 0.05 * trials.total, trials.misses


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (0, 2, 3, 4))])
def test_nothing_is_reported_of_a_model_without_a_fault(seed: int):
    model = small_model(seed)
    for number in range(10):
        batch = inputs_for(model.config, 100 * seed + number, texts=1 + seed, tokens=2 * seed + 2)
        report = compare(recorded(model, batch), computed_reference(model, batch))
        assert report.agrees, report.verdict


@pytest.mark.parametrize("fault", ["gelu_tanh", "relu", "query_key_swapped", "pre_layer_norm", "mask_inverted", "layers_swapped"])
def test_the_outputs_of_layers_are_enough_for_many_faults(fault: str):
    model = small_model(0, hidden_act="gelu_erf")
    batch = inputs_for(model.config, 0)
    names = layer_output_names(model.config.num_hidden_layers)
    diagnosis = diagnose(recorded(plant(model, fault), batch, names), model)
    assert (diagnosis.first, diagnosis.fault) == ("layers.0.output", fault)


OF_EMBEDDINGS = ("positions_off_by_two", "token_type_missing")
OF_LAYERS = ("gelu_tanh", "epsilon_1e_5", "query_key_swapped", "kernel_untransposed", "scale_missing", "mask_inverted")
OF_ANY = ("residual_missing", "gamma_beta_swapped", "layers_swapped", "layer_duplicated", "tf32")


@pytest.mark.parametrize("fault", [*OF_EMBEDDINGS, *OF_LAYERS, *OF_ANY])
def test_a_fault_in_a_layer_of_which_nothing_was_recorded_is_found_there(fault: str):
    model = small_model(0, hidden_act="silu", layer_norm_eps=1e-3, num_hidden_layers=4)
    batch = inputs_for(model.config, 0)
    trace = recorded(plant(model, fault, layer=1), batch, ["layers.0.output", "layers.3.output"])
    diagnosis = diagnose(trace, model)
    shown = FAULTS[fault].first.format(i=1)
    first = "layers.0.output" if region_of(shown) == "embeddings" else "layers.3.output"
    places = {"layers.0.output": ("embeddings",), "layers.3.output": ("layers.1",)}
    if fault == "layers_swapped":
        places["layers.3.output"] = ("layers.1", "layers.2")
    elif FAULTS[fault].everywhere:
        places["layers.3.output"] = ("layers.1", "layers.2", "layers.3")
    assert (diagnosis.first, diagnosis.fault, diagnosis.regions) == (first, fault, places[first])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_parameters_of_few_bits_are_told_from_arithmetic_of_few_bits(dtype: str):
    model, batch, reference = case(0)
    faulty = nnx.clone(model)
    for _, parameter in nnx.iter_graph(faulty):
        if isinstance(parameter, nnx.Param):
            parameter.set_value(parameter.get_value().astype(dtype).astype(np.float32))
    for names in (None, layer_output_names(model.config.num_hidden_layers)):
        diagnosis = diagnose(recorded(faulty, batch, names), model, reference)
        assert (diagnosis.fault, diagnosis.detail, diagnosis.exact) == (dtype, "parameters alone", True)
        assert diagnosis.residual <= 1.5


def test_a_fault_in_every_layer_is_found_from_the_last_output_alone():
    model = small_model(0, hidden_act="gelu_erf", num_hidden_layers=12)
    faulty = model
    for layer in range(12):
        faulty = plant(faulty, "gelu_tanh", layer=layer)
    diagnosis = diagnose(recorded(faulty, inputs_for(model.config, 0), ["layers.11.output"]), model)
    assert (diagnosis.first, diagnosis.fault) == ("layers.11.output", "gelu_tanh")


def test_it_says_where_nothing_was_recorded():
    model, batch, reference = case(0)
    trace = recorded(model, batch, ["layers.1.output"])
    wrong = Trace({name: np.sin(9.0 * values) for name, values in trace.items()}, trace.inputs)
    diagnosis = diagnose(wrong, model, reference)
    assert diagnosis.fault is None
    assert "Nothing of embeddings and layers.0 was recorded, where the fault may be as well: record the output" in str(diagnosis)


def test_a_fault_in_every_layer_is_found_in_every_layer():
    model = small_model(0, hidden_act="gelu_erf", num_hidden_layers=3)
    faulty = model
    for layer in range(3):
        faulty = plant(faulty, "gelu_tanh", layer=layer)
    diagnosis = diagnose(recorded(faulty, inputs_for(model.config, 0)), model)
    assert diagnosis.regions == ("layers.0", "layers.1", "layers.2")
    assert "tanh GELU" in str(diagnosis)
    assert "in layers.0, layers.1 and layers.2." in str(diagnosis)


def test_arithmetic_of_few_bits_is_said_to_go_on_to_the_end():
    model, batch, reference = case(0)
    last = model.config.num_hidden_layers - 1
    diagnosis = diagnose(recorded(plant(model, "bfloat16", layer=last), batch), model, reference)
    assert diagnosis.regions == (f"layers.{last}", "pooler")


def test_what_no_candidate_explains_is_said_to_be_unexplained():
    model, batch, reference = case(0)
    trace = recorded(model, batch)
    wrong = dict(trace)
    wrong["layers.1.attention.context"] = np.sin(9.0 * wrong["layers.1.attention.context"])
    diagnosis = diagnose(Trace(wrong, trace.inputs), model, reference)
    assert (diagnosis.first, diagnosis.fault) == ("layers.1.attention.context", None)
    assert "None of the known faults explains it" in str(diagnosis)


def test_tanh_gelu_is_found_from_a_stored_trace_of_layer_outputs_alone(minilm_folder: Path):
    trace = Trace.read(GOLDENS / "minilm_tanh_gelu.safetensors")
    diagnosis = diagnose(trace, minilm_folder)
    assert (diagnosis.first, diagnosis.fault) == ("layers.0.output", "gelu_tanh")
    assert diagnosis.regions == tuple(f"layers.{layer}" for layer in range(6))
    assert diagnosis.residual <= 1.5


def test_a_model_that_agrees_has_no_diagnosis():
    model, batch, reference = case(0)
    assert diagnose(recorded(model, batch), model, reference) is None


def test_planting_leaves_the_model_as_it_was():
    model, batch, _ = case(0)
    before = recorded(model, batch)
    for fault in FAULTS:
        if fault != model.config.hidden_act and not fault.startswith("epsilon"):
            plant(model, fault, layer=1)
    after = recorded(model, batch)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("fault", "layer", "message"),
    [
        ("gelu", 0, "'gelu' is no known fault; the faults are gelu_tanh, "),
        ("relu", 9, "layer is 9; the model has layers 0 to"),
        ("relu", True, "layer is True"),
        ("gelu_erf", 0, "the model's activation is gelu_erf already"),
        ("epsilon_1e_12", 0, "layer_norm_eps is 1e-12 already"),
    ],
)
def test_what_cannot_be_planted_is_an_error(fault: str, layer, message: str):
    model = small_model(0, hidden_act="gelu_erf", layer_norm_eps=1e-12)
    with pytest.raises(InputError, match=message):
        plant(model, fault, layer=layer)


def test_two_layers_are_needed_to_confuse_them():
    with pytest.raises(InputError, match="needs two layers"):
        plant(small_model(0, num_hidden_layers=1), "layers_swapped")


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("embeddings.sum", "embeddings"),
        ("layers.11.attention.query", "layers.11"),
        ("pooler.dense", "pooler"),
        ("heads.masked_lm.logits", "heads.masked_lm"),
    ],
)
def test_an_intermediate_belongs_to_a_region(name: str, region: str):
    assert region_of(name) == region


@pytest.mark.parametrize(
    "name",
    ["embeddings.word", "embeddings.output", "layers.0.attention.query", "layers.1.attention.probabilities", "layers.1.output"],
)
@pytest.mark.parametrize("masked_as_a_whole", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_few_wrong_values_are_no_fault_that_is_known(name: str, masked_as_a_whole: bool):
    model, batch, _ = case(0)
    if not masked_as_a_whole:
        batch = {key: values[:-1] for key, values in batch.items()}
    trace = recorded(model, batch)
    values = trace[name].copy()
    values[0, 0].flat[:2] += 0.5
    diagnosis = diagnose(Trace(trace.values_by_name | {name: values}, trace.inputs), model)
    assert (diagnosis.first, diagnosis.fault) == (name, None)


@pytest.mark.long
def test_dropout_is_named_though_the_tokens_outnumber_the_width_of_a_head():
    model = small_model(2, max_position_embeddings=24)
    batch = inputs_for(model.config, 2, tokens=24)
    assert batch["input_ids"].shape[1] > model.config.head_dim
    diagnosis = diagnose(recorded(plant(model, "dropout_left_on", layer=1), batch), model)
    assert (diagnosis.fault, diagnosis.regions) == ("dropout_left_on", ("layers.1",))
    trace = recorded(model, batch)
    # What nobody can tell from dropout by itself is not called so without dropout behind it.
    wrong = trace["layers.1.attention.context"] * 1.01
    assert diagnose(Trace(trace.values_by_name | {"layers.1.attention.context": wrong}, trace.inputs), model).fault is None
