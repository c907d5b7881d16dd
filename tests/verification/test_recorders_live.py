"""Recording transformers and other modules of torch, live: against the stored references, and nothing left behind."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import InputError, Trace, TraceError, compare
from minibert.model.tap import layer_output_names
from minibert.verification import (
    Reference,
    diagnose,
    load_transformers,
    record_by_mapping,
    record_transformers,
    stored_references,
)
from minibert.verification.measures import real_positions

pytestmark = pytest.mark.reference

TINY = Path(__file__).parent.parent / "goldens" / "tiny"
PAGE = Path(__file__).parent.parent.parent / "docs" / "record_a_trace.md"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.read(TINY / "gelu" / "reference.safetensors")


@pytest.fixture
def bert() -> Any:
    return load_transformers(TINY / "gelu")


def outputs(model: Any, batch: dict[str, np.ndarray]) -> list[np.ndarray]:
    import torch

    with torch.no_grad():
        output = model(**{name: torch.tensor(array).long() for name, array in batch.items()})
    return [output.last_hidden_state.float().numpy(), output.pooler_output.float().numpy()]


def hooks_of(model: Any) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def assert_truth(trace: Trace, reference: Reference) -> None:
    """What was recorded in float64 is the float64 that was stored, on whatever machine."""
    for name, values in trace.items():
        assert values.dtype == np.float64
        values = values if reference.positions is None or values.ndim != 3 else values[:, reference.positions]
        real = real_positions(name, reference.inputs["attention_mask"], values.shape, reference.positions)
        size = max(1.0, float(np.abs(reference.truth[name]).max()))
        np.testing.assert_allclose(values[real], reference.truth[name][real], atol=1e-11 * size, rtol=0.0, err_msg=name)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("folder", sorted(TINY.iterdir()), ids=lambda folder: folder.name)
def test_every_name_that_attention_forms_is_recorded(folder: Path, attention: str):
    reference = Reference.read(folder / "reference.safetensors")
    trace = record_transformers(load_transformers(folder, attention, "float64"), reference.inputs)
    assert trace.metadata["dtype"] == "float64"
    left_out = {name for name in reference.truth if name.endswith((".scores", ".probabilities"))}
    assert set(reference.truth) - set(trace) == (set() if attention == "eager" else left_out)
    assert_truth(trace, reference)


def test_minilm_is_recorded_as_it_was_stored(minilm_folder: Path):
    model = load_transformers(minilm_folder, dtype="float64")
    for reference in stored_references("minilm-l6"):
        trace = record_transformers(model, reference.inputs, list(reference.truth))
        assert set(trace) == set(reference.truth)
        assert_truth(trace, reference)


def test_minilm_in_float32_agrees_with_its_stored_references(minilm_folder: Path):
    model = load_transformers(minilm_folder)
    names = layer_output_names(6)
    for reference in stored_references("minilm-l6"):
        report = compare(record_transformers(model, reference.inputs, names), reference)
        assert [row.name for row in report.rows] == names
        assert report.agrees, report


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_fewer_bits_are_kept_in_float32_to_the_last_one(reference: Reference, dtype: str):
    import torch

    model = load_transformers(TINY / "gelu", dtype=dtype)
    trace = record_transformers(model, reference.inputs)
    assert trace.metadata["dtype"] == dtype
    last_hidden_state, pooled = outputs(model, reference.inputs)
    np.testing.assert_array_equal(trace["layers.1.output"], last_hidden_state, strict=True)
    np.testing.assert_array_equal(trace["pooler.output"], pooled, strict=True)
    for values in trace.values():
        np.testing.assert_array_equal(torch.tensor(values).to(getattr(torch, dtype)).float().numpy(), values)


def test_only_the_names_asked_for_are_kept(bert: Any, reference: Reference):
    names = ["pooler.output", "layers.1.attention.scores", "embeddings.sum"]
    some, everything = (record_transformers(bert, reference.inputs, given) for given in (names, None))
    assert list(some) == ["embeddings.sum", "layers.1.attention.scores", "pooler.output"]
    for name, values in some.items():
        np.testing.assert_array_equal(values, everything[name])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_recording_changes_no_bit_and_leaves_no_hook(reference: Reference, attention: str):
    model = load_transformers(TINY / "gelu", attention)
    before = outputs(model, reference.inputs)
    trace = record_transformers(model, reference.inputs)
    assert hooks_of(model) == 0
    assert not model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    for left, right in zip(before, outputs(model, reference.inputs), strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(trace["layers.1.output"], before[0])
    np.testing.assert_array_equal(trace["pooler.output"], before[1])


def test_no_hook_is_left_where_the_model_fails(bert: Any, reference: Reference, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bert.encoder.layer[1].output.dense, "forward", fails)
    with pytest.raises(ZeroDivisionError):
        record_transformers(bert, reference.inputs)
    assert hooks_of(bert) == 0


def test_in_training_mode_dropout_is_on_and_the_trace_says_so(bert: Any, reference: Reference):
    import torch

    still = record_transformers(bert, reference.inputs)
    assert "training" not in still.metadata["implementation"]
    bert.train()
    torch.manual_seed(0)
    trace = record_transformers(bert, reference.inputs)
    assert bert.training
    assert "in training mode: dropout is on" in trace.metadata["implementation"]
    np.testing.assert_array_equal(trace["embeddings.sum"], still["embeddings.sum"])
    assert np.mean(trace["embeddings.output"] == 0.0) > 0.02


def test_a_model_with_a_bert_inside_is_recorded_without_its_head(reference: Reference):
    from transformers import BertForMaskedLM

    model = BertForMaskedLM.from_pretrained(TINY / "gelu", attn_implementation="eager").eval()
    trace = record_transformers(model, reference.inputs)
    assert trace.metadata["implementation"] == "transformers BertModel inside BertForMaskedLM on torch, attention eager"
    assert set(trace) == {name for name in reference.truth if not name.startswith("pooler.")}
    np.testing.assert_array_equal(trace["layers.1.output"], record_transformers(model.bert, reference.inputs)["layers.1.output"])


def test_the_metadata_has_what_compare_and_readers_need(bert: Any, reference: Reference):
    metadata = record_transformers(bert, reference.inputs).metadata
    assert metadata["implementation"] == "transformers BertModel on torch, attention eager"
    assert (metadata["dtype"], metadata["device"]) == ("float32", "cpu")
    assert '"torch"' in metadata["versions"]
    assert '"hidden_act": "gelu_erf"' in metadata["config"]


def test_a_configuration_that_minibert_refuses_is_left_out(bert: Any, reference: Reference):
    bert.config.is_decoder = True
    trace = record_transformers(bert, reference.inputs)
    assert "config" not in trace.metadata
    assert "layers.1.output" in trace


def test_a_feed_forward_part_in_chunks_is_recorded_whole(bert: Any, reference: Reference):
    whole = record_transformers(bert, reference.inputs)
    for layer in bert.encoder.layer:
        layer.chunk_size_feed_forward = 2
    for name, values in record_transformers(bert, reference.inputs).items():
        np.testing.assert_allclose(values, whole[name], atol=1e-5)


def test_a_compiled_model_is_recorded_operation_by_operation(bert: Any, reference: Reference):
    plain = record_transformers(bert, reference.inputs)
    bert.compile(backend="eager")
    outputs(bert, reference.inputs)
    trace = record_transformers(bert, reference.inputs)
    assert list(trace) == list(plain)
    np.testing.assert_array_equal(trace["pooler.output"], plain["pooler.output"])


def test_a_batch_of_torchs_tensors_is_taken(bert: Any, reference: Reference):
    import torch

    batch = {name: torch.tensor(array) for name, array in reference.inputs.items()}
    trace = record_transformers(bert, batch, ["pooler.output"])
    np.testing.assert_array_equal(trace.inputs["input_ids"], reference.inputs["input_ids"])
    np.testing.assert_array_equal(trace["pooler.output"], record_transformers(bert, reference.inputs)["pooler.output"])


def test_positions_of_ones_own_are_passed_on(bert: Any, reference: Reference):
    positions = np.tile(np.arange(6)[::-1], (4, 1))
    trace = record_transformers(bert, reference.inputs | {"position_ids": positions})
    table = bert.embeddings.position_embeddings.weight.detach().numpy()
    np.testing.assert_array_equal(trace["embeddings.position"], table[positions])
    np.testing.assert_array_equal(trace.inputs["position_ids"], positions)


def test_scores_that_are_never_formed_are_refused(reference: Reference):
    model = load_transformers(TINY / "gelu", "sdpa")
    with pytest.raises(TraceError, match=r"sdpa attention never forms layers\.0\.attention\.scores; load the model with attn_"):
        record_transformers(model, reference.inputs, ["layers.0.attention.scores"])


def test_scores_of_an_attention_function_that_makes_others_are_left_out(
    bert: Any, reference: Reference, monkeypatch: pytest.MonkeyPatch
):
    from transformers.models.bert import modeling_bert

    right = modeling_bert.eager_attention_forward

    def without_scale(module: Any, *arguments: Any, **options: Any) -> Any:
        return right(module, *arguments, **options | {"scaling": 1.0 if module.layer_idx == 1 else options["scaling"]})

    monkeypatch.setattr(modeling_bert, "eager_attention_forward", without_scale)
    trace = record_transformers(bert, reference.inputs)
    assert set(reference.truth) - set(trace) == {"layers.1.attention.scores"}
    diagnosis = diagnose(trace, TINY / "gelu")
    assert diagnosis is not None
    assert (diagnosis.first, diagnosis.fault) == ("layers.1.attention.probabilities", "scale_missing")
    with pytest.raises(TraceError, match=r"something else than the scaled products of query and key; leave layers\.1\.attent"):
        record_transformers(bert, reference.inputs, ["layers.1.attention.scores"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_scores_are_recorded_in_training_mode_too(reference: Reference, dtype: str):
    model = load_transformers(TINY / "gelu", dtype=dtype).train()
    assert set(record_transformers(model, reference.inputs)) == set(reference.truth)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autocast_is_diagnosed_from_every_name(minilm_folder: Path, minilm_tokenizer: Any, dtype: str, attention: str):
    import torch

    batch = dict(minilm_tokenizer(["The bank raised rates.", "A river bank, with trees that nobody counted."]))
    with torch.autocast("cpu", dtype=getattr(torch, dtype)):
        trace = record_transformers(load_transformers(minilm_folder, attention), batch)
    diagnosis = diagnose(trace, minilm_folder)
    assert diagnosis is not None
    assert (diagnosis.first, diagnosis.fault) == ("layers.0.attention.query", dtype)


def test_a_name_that_the_model_does_not_have_is_refused(bert: Any, reference: Reference):
    with pytest.raises(TraceError, match=r"layers\.2\.output is no intermediate of this model"):
        record_transformers(bert, reference.inputs, ["layers.2.output"])


def test_an_id_outside_the_table_is_refused(bert: Any, reference: Reference):
    with pytest.raises(InputError, match=r"input_ids\[0, 0\] is 37; vocab_size = 37 allows 0 to 36"):
        record_transformers(bert, reference.inputs | {"input_ids": np.full((4, 6), 37)})


def test_what_has_no_bert_inside_is_refused(reference: Reference):
    from torch import nn

    for other in (nn.Linear(2, 2), "minilm-l6"):
        with pytest.raises(TraceError, match=f"was given a {type(other).__name__}; expected transformers' BertModel"):
            record_transformers(other, reference.inputs)


def test_loading_shows_no_progress_and_leaves_it_as_it_was(capfd: pytest.CaptureFixture[str]):
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    load_transformers(TINY / "gelu")
    assert logging.is_progress_bar_enabled() == before
    assert "Loading" not in capfd.readouterr().err


def torch_model(layer: Callable[[], Any]) -> Any:
    """A table of five rows and three layers behind it, of torch's modules."""
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table = nn.Embedding(5, 4)
            self.blocks = nn.ModuleList(layer() for _ in range(3))

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            hidden = self.table(input_ids)
            for block in self.blocks:
                hidden = block(hidden)
            return hidden

    return Model().eval()


BLOCKS = {"names": {"embeddings.output": "table", "layers.{i}.output": "blocks.{i}"}}


def test_any_module_of_torch_is_recorded_and_left_as_it_was():
    import torch
    from torch import nn

    model, batch = torch_model(lambda: nn.Linear(4, 4)), {"input_ids": np.array([[1, 4, 2]])}
    before = model(torch.tensor(batch["input_ids"]))
    trace = record_by_mapping(model, batch, BLOCKS)
    assert list(trace) == ["embeddings.output", "layers.0.output", "layers.1.output", "layers.2.output"]
    np.testing.assert_array_equal(trace["layers.2.output"], before.detach().numpy(), strict=True)
    assert hooks_of(model) == 0
    assert torch.equal(model(torch.tensor(batch["input_ids"])), before)
    assert (trace.metadata["dtype"], trace.metadata["device"]) == ("float32", "cpu")
    assert trace.metadata["implementation"].endswith("Model")


def test_bfloat16_in_torch_is_kept_in_float32():
    from torch import nn

    model = torch_model(lambda: nn.Linear(4, 4)).bfloat16()
    trace = record_by_mapping(model, {"input_ids": [[1, 4, 2]]}, BLOCKS)
    assert trace.metadata["dtype"] == "bfloat16"
    table = model.table.weight.detach().float().numpy()
    np.testing.assert_array_equal(trace["embeddings.output"], table[[[1, 4, 2]]], strict=True)


def test_an_input_that_is_written_over_is_recorded_as_it_came():
    from torch import nn

    model = torch_model(lambda: nn.ReLU(inplace=True))
    names = {"embeddings.output": "table", "layers.0.attention.output": {"module": "blocks.0", "input": 0}}
    trace = record_by_mapping(model, {"input_ids": [[1, 4, 2]]}, {"names": names})
    table = model.table.weight.detach().numpy()
    assert (table < 0).any()
    for values in trace.values():
        np.testing.assert_array_equal(values, table[[[1, 4, 2]]])


def test_no_hook_is_left_where_a_module_of_torch_fails():
    from torch import nn

    model = torch_model(lambda: nn.Linear(4, 3))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        record_by_mapping(model, {"input_ids": [[1]]}, BLOCKS)
    assert hooks_of(model) == 0


def test_a_part_of_torch_that_several_share_is_refused():
    from torch import nn

    shared = nn.Linear(4, 4)
    with pytest.raises(TraceError, match=r"layers\.0\.output was computed 3 times: blocks\.0 is called by several parts"):
        record_by_mapping(torch_model(lambda: shared), {"input_ids": [[1]]}, BLOCKS)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("table.weight", "table.weight is a Parameter; expected a module of torch"),
        ("blocks.3", "no part 'blocks.3'; the nearest is blocks, with 0, 1, 2 below it"),
        ("tabel", "no part 'tabel'; the nearest is the model, with table, blocks below it"),
    ],
)
def test_a_path_to_no_module_of_torch_is_refused(module: str, message: str):
    from torch import nn

    model = torch_model(lambda: nn.Linear(4, 4))
    with pytest.raises(TraceError) as problem:
        record_by_mapping(model, {"input_ids": [[1]]}, {"names": {"embeddings.word": "table", "embeddings.output": module}})
    assert message in str(problem.value)
    assert hooks_of(model) == 0


def test_a_nested_tensor_is_refused():
    import torch
    from torch import nn

    class Nest(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return torch.nested.nested_tensor(list(hidden))

    with pytest.raises(TraceError, match=r"the output of blocks\.0 is a nested tensor"):
        record_by_mapping(torch_model(Nest), {"input_ids": [[1]]}, BLOCKS)


@pytest.fixture(scope="module")
def page(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page of the documentation, run from its top to its end: its Python, with the mapping file saved as it says."""
    folder = tmp_path_factory.mktemp("page")
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, code in re.findall(r"^```(python|toml)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE):
            if language == "toml":
                (folder / "mapping.toml").write_text(code)
            else:
                exec(compile(code, str(PAGE), "exec"), names)
            if "by_hand" not in names and (folder / "theirs.safetensors").exists():
                names["by_hand"] = Trace.read(folder / "theirs.safetensors")
    return names | {"mapping": folder / "mapping.toml"}


def test_the_page_keeps_its_promise_of_20_lines():
    (recorder,) = (
        code for code in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE) if "hook" in code
    )
    assert len([line for line in recorder.splitlines() if line]) <= 20


def test_the_pages_two_ways_give_the_same_values(page: dict[str, Any]):
    by_hand, by_mapping = page["by_hand"], page["trace"]
    assert len(by_hand) == 1 + 6 * 3
    assert len(by_mapping) == 4 + 6 * 7
    for name, values in by_hand.items():
        np.testing.assert_array_equal(by_mapping[name], values)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(by_mapping.inputs[name], by_hand.inputs[name])


def test_the_pages_report_agrees_as_it_says(page: dict[str, Any]):
    assert [row.name for row in page["report"].rows] == list(page["by_hand"])
    assert page["report"].agrees, page["report"]


@pytest.mark.parametrize("texts", ["pair", "single"])
def test_the_pages_implementation_is_bert(page: dict[str, Any], texts: str):
    reference = next(reference for reference in stored_references("minilm-l6") if reference.path.stem == texts)
    trace = record_by_mapping(copy.deepcopy(page["model"]).double(), reference.inputs, page["mapping"])
    kept = [name for name in trace if name in reference.truth]
    assert len(kept) == 2 + 6 * 6
    assert_truth(Trace({name: trace[name] for name in kept}, trace.inputs), reference)


def test_a_fault_in_the_pages_implementation_is_found_where_it_is(page: dict[str, Any]):
    import torch

    model = copy.deepcopy(page["model"]).double()
    model.encoder.layers[3].activation = lambda values: torch.nn.functional.gelu(values, approximate="tanh")
    reference = next(reference for reference in stored_references("minilm-l6") if reference.path.stem == "single")
    report = compare(record_by_mapping(model, reference.inputs, page["mapping"]), reference)
    assert report.first_disagreement.name == "layers.3.feed_forward.activation"


def test_a_checkpoint_is_loaded_by_its_name_or_folder(minilm_folder: Path):
    assert load_transformers("minilm-l6").config.num_hidden_layers == 6
    assert load_transformers(str(TINY / "gelu")).config.hidden_size == 24


@pytest.mark.parametrize(
    ("option", "message"), [({"attention": "what"}, "with attention 'what'"), ({"dtype": "int8"}, "dtype is 'int8'")]
)
def test_an_attention_or_dtype_that_does_not_exist_is_one_sentence(option: dict, message: str):
    with pytest.raises(InputError, match=message):
        load_transformers(TINY / "gelu", **option)


def test_one_module_in_two_places_is_refused(bert: Any, reference: Reference):
    bert.encoder.layer[1] = bert.encoder.layer[0]
    with pytest.raises(TraceError, match=r"two layers of the model are one and the same module.*copy\.deepcopy"):
        record_transformers(bert, reference.inputs)
