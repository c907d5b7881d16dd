"""What a comparison finds, what it leaves out of account, and what it refuses."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import Trace, TraceError, compare, load, record
from minibert.verification import Reference, Report, Row, diagnose, record_numpy
from minibert.verification.measures import cosine, error_in_floors, real_positions, ulp_distances
from minibert.verification.report import BUDGET, worst_of

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.read(GELU / "reference.safetensors")


@pytest.fixture(scope="module")
def trace(reference: Reference) -> Trace:
    return record(load(GELU), reference.inputs)


def first_disagreement_with(reference: Reference, **overrides: object) -> str:
    report = compare(record(load(GELU, **overrides), reference.inputs), reference)
    assert not report.agrees
    return report.first_disagreement.name


def row(*, error: float = 1e-7, floor: float = 1e-7, name: str = "layers.0.output") -> Row:
    return Row(name, max_abs_error=error, ratio=error_in_floors(error, floor), error_over_rms=error, cosine=1.0)


def test_the_tanh_form_of_gelu_parts_at_the_first_activation(reference: Reference):
    assert first_disagreement_with(reference, hidden_act="gelu_tanh") == "layers.0.feed_forward.activation"


def test_another_epsilon_parts_at_the_first_layer_norm(reference: Reference):
    assert first_disagreement_with(reference, layer_norm_eps=1e-5) == "embeddings.output"


def test_operands_of_fewer_bits_part_at_the_first_product(reference: Reference):
    assert first_disagreement_with(reference, dtype="bfloat16") == "layers.0.attention.query"


def test_nothing_parts_where_everything_agrees(reference: Reference, trace: Trace):
    report = compare(trace, reference)
    assert report.agrees
    assert report.first_disagreement is None


def test_a_mapping_and_a_path_do_as_well(reference: Reference, trace: Trace):
    assert compare(dict(trace), str(reference.path)).rows == compare(trace, reference).rows


def test_the_truth_has_no_error_at_all(reference: Reference):
    report = compare(reference.truth, reference)
    assert {row.max_abs_error for row in report.rows} == {0.0}
    assert {row.ratio for row in report.rows} == {0.0}
    assert min(row.cosine for row in report.rows) == pytest.approx(1.0, abs=1e-12)


def test_the_references_own_float32_agrees_with_its_truth(reference: Reference):
    assert compare(reference.float32, reference).agrees


def test_the_error_and_its_ratio_are_those_of_the_worst_value(reference: Reference):
    wrong = {"layers.0.output": reference.truth["layers.0.output"].copy()}
    wrong["layers.0.output"][0, 2, 3] += 0.25
    (row,) = compare(wrong, reference).rows
    truth = reference.truth["layers.0.output"][reference.inputs["attention_mask"] == 1]
    assert row.max_abs_error == pytest.approx(0.25)
    assert row.ratio == pytest.approx(0.25 / reference.floor["layers.0.output"])
    assert row.error_over_rms == pytest.approx(0.25 / np.sqrt((truth**2).mean()))
    assert row.cosine < 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_never_agrees(reference: Reference, value: float):
    wrong = {name: values.copy() for name, values in reference.truth.items()}
    wrong["layers.1.output"][0, 0, 0] = value
    report = compare(wrong, reference)
    assert report.first_disagreement.name == "layers.1.output"
    assert report.first_disagreement.ratio == math.inf


def test_garbage_at_padded_positions_changes_nothing(reference: Reference, trace: Trace):
    mask = reference.inputs["attention_mask"]
    dirty = {name: values.copy() for name, values in trace.items()}
    for name, values in dirty.items():
        values[~real_positions(name, mask, values.shape)] = math.nan
    padded = [name for name, values in dirty.items() if np.isnan(values).any()]
    assert padded == [name for name in trace if not name.startswith("pooler.")]
    report = compare(dirty, reference)
    assert report.rows == compare(dict(trace), reference).rows
    (note,) = report.notes
    assert "nan in embeddings.word at [1, 4, 0], a padded position, which is left out of account" in note


@pytest.mark.parametrize("name", ["input_ids", "attention_mask", "token_type_ids"])
def test_a_trace_of_other_inputs_is_refused(reference: Reference, trace: Trace, name: str):
    other = Trace(trace.values_by_name, trace.inputs | {name: 1 - np.minimum(trace.inputs[name], 1)})
    with pytest.raises(TraceError, match=f"the trace's {name} is not that of"):
        compare(other, reference)


def test_a_trace_of_fewer_texts_is_refused(reference: Reference, trace: Trace):
    with pytest.raises(TraceError, match="input_ids"):
        first = ({name: values[:1] for name, values in part.items()} for part in (trace, trace.inputs))
        compare(Trace(*first), reference)


@pytest.mark.parametrize(
    ("values", "inputs", "message"),
    [
        (
            {"layers.0.output": np.zeros((4, 6, 24), complex)},
            {},
            r"a trace's layers\.0\.output is complex128 \[4, 6, 24\]; expec",
        ),
        ({"layers.0.output": [[1.0], [2.0, 3.0]]}, {}, r"a trace's layers\.0\.output is a list; expected floating-point"),
        ({"layers.0.output": None}, {}, r"a trace's layers\.0\.output is object \[\]"),
        ({"layers.0.output": np.zeros((3, 6, 24))}, {}, r"with the batch of 4 texts as their first axis"),
        ({}, {"input_ids": None}, "a trace's input_ids is not there"),
        ({}, {"attention_mask": np.ones((4, 5), int)}, r"a trace's attention_mask is int64 \[4, 5\]; expected integers"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_no_trace_cannot_be_made(reference: Reference, values, inputs, message: str):
    with pytest.raises(TraceError, match=message):
        Trace(values, reference.inputs | inputs)


@pytest.mark.usefixtures("without_shape_checks")
def test_what_is_no_trace_cannot_be_compared(reference: Reference, trace: Trace):
    for wrong, message in (
        (None, r"compare\(\) was given a NoneType; expected a Trace"),
        ({"layers.0.output": np.array(["a"])}, r"the trace's layers\.0\.output is <U1 \[1\]; expected floating-point numbers"),
    ):
        with pytest.raises(TraceError, match=message):
            compare(wrong, reference)
    with pytest.raises(TraceError, match=r"diagnose\(\) was given a dict; expected a Trace"):
        diagnose(dict(trace), GELU, reference)


def test_a_trace_needs_no_input_that_has_its_default(reference: Reference, trace: Trace):
    whole = Trace(trace, {"input_ids": reference.inputs["input_ids"]})
    assert (whole.inputs["attention_mask"] == 1).all()
    assert whole.inputs["position_ids"][3].tolist() == [0, 1, 2, 3, 4, 5]


def test_another_setting_of_the_configuration_is_noted(reference: Reference):
    trace = record(load(GELU, hidden_act="gelu_tanh", layer_norm_eps=1e-5), reference.inputs)
    report = compare(trace, GELU)
    assert report.notes[0].startswith("hidden_act is gelu_tanh in the trace's configuration and gelu_erf in that of the truth of")
    assert report.notes[1].startswith("layer_norm_eps is 1e-05 in the trace's configuration and 1e-12 in")


@pytest.mark.parametrize("cut", [np.s_[:, :3], np.s_[:, :, :5], np.s_[0]])
def test_an_array_of_another_shape_is_refused(reference: Reference, cut: object):
    with pytest.raises(TraceError, match="layers.0.output has shape"):
        compare({"layers.0.output": reference.truth["layers.0.output"][cut]}, reference)


def test_without_a_common_name_there_is_nothing_to_compare(reference: Reference, trace: Trace):
    with pytest.raises(TraceError, match="no intermediate in common"):
        compare({"layers.7.output": trace["layers.0.output"]}, reference)


def test_where_few_positions_were_kept_the_others_are_left_out(reference: Reference):
    kept = np.array([0, 3], np.int32)
    name = "layers.0.output"
    few = replace(reference, positions=kept, truth={name: reference.truth[name][:, kept]})
    ours = reference.truth[name].copy()
    ours[:, [1, 2, 4, 5]] = math.nan
    assert compare({name: ours}, few).rows[0].max_abs_error == 0.0


def test_fewer_tokens_than_the_kept_positions_are_refused(reference: Reference):
    kept = np.array([0, 3], np.int32)
    name = "layers.0.output"
    few = replace(reference, positions=kept, truth={name: reference.truth[name][:, kept]})
    with pytest.raises(TraceError, match="has shape"):
        compare({name: reference.truth[name][:, :3]}, few)


def test_a_row_agrees_up_to_the_budget():
    assert BUDGET == 1.5
    assert row(error=1.5, floor=1.0).agrees
    assert not row(error=1.5000001, floor=1.0).agrees


def test_where_the_reference_is_exact_nothing_but_exact_agrees():
    assert row(error=0.0, floor=0.0).agrees
    assert row(error=0.0, floor=0.0).ratio == 0.0
    assert not row(error=1e-30, floor=0.0).agrees
    assert row(error=1e-30, floor=0.0).ratio == math.inf


def test_the_worst_of_several_reports_is_taken_name_by_name():
    first = Report((row(error=2.0, floor=1.0, name="a"), row(error=1.0, floor=1.0, name="b")))
    second = Report((row(error=3.0, floor=2.0, name="a"), row(error=3.0, floor=1.0, name="b")))
    worst_a, worst_b = worst_of([first, second]).rows
    # The larger error of "a" is the one that is smaller in units of its floor.
    assert (worst_a.max_abs_error, worst_a.ratio) == (3.0, 2.0)
    assert worst_b == second.rows[1]


def test_the_ratio_is_that_of_the_worst_text_and_the_error_the_largest_of_all(reference: Reference):
    name = "layers.0.output"
    floor = {**reference.floor, name: np.array([1.0, 0.01, 1.0, 1.0])}
    wrong = reference.truth[name].copy()
    wrong[0, 0, 0] += 0.5
    wrong[1, 0, 0] += 0.25
    (row,) = compare({name: wrong}, replace(reference, floor=floor)).rows
    assert row.max_abs_error == pytest.approx(0.5)
    assert row.ratio == pytest.approx(25.0)


@pytest.mark.parametrize("order", [1, -1])
def test_nan_is_worse_than_any_number(order: int):
    reports = [Report((row(error=error, floor=1.0),)) for error in (5.0, math.nan, 7.0)]
    (worst,) = worst_of(reports[::order]).rows
    assert math.isnan(worst.max_abs_error)
    assert not worst.agrees


def test_a_printed_report_shows_every_row_and_its_verdict():
    lines = str(Report((row(name="embeddings.output"), row(error=4e-7, name="layers.0.output")))).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[0] == "embeddings.output"
    assert lines[1].endswith("agrees")
    assert lines[2].startswith("layers.0.output ")
    assert "4.00e-07" in lines[2]
    assert " 4.00 " in lines[2]
    assert lines[2].endswith("PARTS")


def test_a_report_with_nan_can_be_printed():
    assert "nan" in str(Report((row(error=math.nan),)))


def test_of_scores_query_and_key_must_be_real():
    mask = np.array([[1, 1, 0]])
    real = real_positions("layers.0.attention.scores", mask, (1, 2, 3, 3))
    np.testing.assert_array_equal(real[0, 1], [[True, True, False], [True, True, False], [False] * 3])


def test_of_query_key_and_value_whole_tokens_are_real():
    real = real_positions("layers.0.attention.key", np.array([[1, 0]]), (1, 3, 2, 4))
    np.testing.assert_array_equal(real[0, 2], [[True] * 4, [False] * 4])


def test_of_hidden_states_the_kept_positions_are_real_where_the_mask_is():
    real = real_positions("layers.0.output", np.array([[1, 1, 0, 0]]), (1, 2, 5), np.array([1, 2]))
    np.testing.assert_array_equal(real[0], [[True] * 5, [False] * 5])


def test_the_pooled_output_is_real_throughout():
    assert real_positions("pooler.output", np.array([[1, 0]]), (1, 5)).all()


NUMBERS = st.lists(st.floats(-100.0, 100.0).filter(lambda value: value == 0.0 or abs(value) > 1e-3), min_size=3, max_size=3)


@given(vector=NUMBERS.filter(any), scale=st.floats(0.1, 10.0))
def test_the_cosine_sees_direction_only(vector: list[float], scale: float):
    assert cosine(np.array(vector), scale * np.array(vector)) == pytest.approx(1.0)
    assert cosine(np.array(vector), -scale * np.array(vector)) == pytest.approx(-1.0)


def test_the_cosine_with_zero():
    zero, one = np.zeros(2), np.array([1.0, 0.0])
    assert cosine(zero, zero) == 1.0
    assert cosine(zero, one) == 0.0
    assert cosine(one, np.array([0.0, 2.0])) == 0.0


def test_a_nan_floor_is_never_agreement():
    sound = Report((row(error=1.0, floor=2.0),))
    broken = Report((row(error=1.0, floor=math.nan),))
    assert not worst_of([sound, broken]).agrees


def other(trace: Trace, **metadata: str) -> Trace:
    return Trace(trace.values_by_name, trace.inputs, trace.metadata | metadata)


def test_a_model_or_its_folder_is_a_reference(trace: Trace):
    for reference in (GELU, str(GELU), load(GELU)):
        assert compare(trace, reference).agrees


def test_a_mapping_of_arrays_does_not_say_what_its_inputs_were(trace: Trace):
    with pytest.raises(TraceError, match="does not say what its inputs were; give a Trace"):
        compare(dict(trace), GELU)


def test_two_traces_need_the_parameters(trace: Trace):
    with pytest.raises(TraceError, match="two traces alone do not say which of them is right"):
        compare(trace, trace)
    assert compare(trace, trace, model=GELU).agrees


def test_a_reference_trace_that_is_wrong_itself_is_refused(trace: Trace, reference: Reference):
    wrong = record(load(GELU, hidden_act="gelu_tanh"), reference.inputs)
    with pytest.raises(TraceError, match=r"itself parts from the truth, first at layers\.0\.feed_forward\.activation"):
        compare(trace, wrong, model=GELU)


def test_traces_of_different_checkpoints_are_refused(trace: Trace):
    ours, theirs = other(trace, checkpoint_sha256="a" * 64), other(trace, checkpoint_sha256="b" * 64)
    with pytest.raises(TraceError, match="recorded from weights with sha256 aaaa"):
        compare(ours, theirs, model=GELU)


def test_traces_of_different_configurations_are_refused(trace: Trace):
    config = trace.metadata["config"].replace('"hidden_size": 24', '"hidden_size": 48')
    with pytest.raises(TraceError, match="hidden_size is 48 in the trace's configuration and 24 in that of"):
        compare(other(trace, config=config), trace, model=GELU)


def test_traces_of_different_texts_are_refused_and_the_text_is_named(trace: Trace):
    inputs = trace.inputs | {"input_ids": trace.inputs["input_ids"] ^ 1}
    ours = Trace(trace.values_by_name, inputs, trace.metadata | {"texts": '["a", "c"]'})
    with pytest.raises(TraceError, match="its text 1 is 'c', not 'b'"):
        compare(ours, other(trace, texts='["a", "b"]'), model=GELU)


def test_names_that_the_trace_lacks_are_listed(reference: Reference, trace: Trace):
    report = compare({"layers.0.output": trace["layers.0.output"]}, reference)
    assert "layers.1.output" in report.missing
    assert len(report.missing) == len(reference.truth) - 1


def test_scores_over_heads_are_called_so(reference: Reference):
    batch, heads, tokens, _ = reference.truth["layers.0.attention.scores"].shape
    with pytest.raises(TraceError, match="it attends over heads instead of tokens"):
        compare({"layers.0.attention.scores": np.zeros((batch, tokens, heads, heads))}, reference)


def test_the_place_and_the_token_of_the_largest_error_are_named(reference: Reference):
    wrong = {"layers.0.output": reference.truth["layers.0.output"].copy()}
    wrong["layers.0.output"][1, 3, 5] += 0.25
    (row,) = compare(wrong, reference).rows
    assert (row.worst, row.worst_token) == ((1, 3, 5), int(reference.inputs["input_ids"][1, 3]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_distance_in_units_of_the_last_place_counts_floats(dtype: str):
    one = np.array([1.0], dtype)
    assert ulp_distances(one, one.astype(np.float64)).tolist() == [0.0]
    assert ulp_distances(np.nextafter(one, np.array(2.0, dtype)), np.array([1.0])).tolist() == [1.0]
    assert ulp_distances(np.array([0.0], dtype), np.array([-0.0])).tolist() == [0.0]
    tiny = np.finfo(dtype).smallest_subnormal
    assert ulp_distances(np.array([-tiny], dtype), np.array([float(tiny)])).tolist() == [2.0]
    assert ulp_distances(np.array([math.nan], dtype), np.array([1.0])).tolist() == [math.inf]


def test_of_a_text_masked_as_a_whole_every_token_counts():
    assert real_positions("layers.0.output", np.array([[0, 0], [1, 0]]), (2, 2, 3)).sum(axis=(1, 2)).tolist() == [6, 3]


def in_float64(trace: Trace, error: float = 0.0, **metadata: str) -> Trace:
    """The true values of a trace's inputs, each moved by `error`."""
    truth = record_numpy(GELU, trace.inputs)
    return Trace({name: values + error for name, values in truth.items()}, truth.inputs, metadata)


def test_float32_is_judged_as_float32_though_the_reference_trace_is_float64(trace: Trace):
    assert compare(trace, in_float64(trace, dtype="float64"), model=GELU).agrees


@pytest.mark.parametrize("metadata", [{"dtype": "float64"}, {}])
def test_float64_is_held_to_float64_whatever_it_is_compared_with(trace: Trace, metadata: dict[str, str]):
    exact, moved = in_float64(trace, **metadata), in_float64(trace, 1e-9, **metadata)
    for reference in (GELU, trace, exact):
        assert compare(exact, reference, model=GELU).agrees
        assert not compare(moved, reference, model=GELU).agrees


def test_a_trace_of_other_weights_than_the_checkpoints_is_refused(trace: Trace):
    with pytest.raises(
        TraceError, match="recorded from weights with sha256 abab.*; give the checkpoint that it was recorded from"
    ):
        compare(other(trace, checkpoint_sha256="ab" * 32), GELU)


def test_names_of_whole_layers_that_a_trace_lacks_are_listed_without_a_stored_reference(trace: Trace):
    partial = Trace({name: trace[name] for name in trace if not name.startswith("layers.1.")}, trace.inputs, trace.metadata)
    report = compare(partial, GELU)
    assert report.agrees
    assert [name for name in trace if name.startswith("layers.1.")] == list(report.missing)
    assert "not in the trace: layers.1.attention.query" in str(report)


def test_weights_that_are_no_numbers_are_not_called_the_traces_fault(trace: Trace):
    model = load(GELU)
    scale = model.encoder.layers[1].feed_forward.layer_norm.scale
    scale.set_value(scale[...].at[3].set(math.nan))
    with pytest.raises(
        TraceError, match=r"the true values of layers\.1\.feed_forward\.output are no finite numbers even in float64"
    ):
        compare(trace, model)


def test_a_folder_whose_name_looks_like_a_file_is_a_checkpoint(trace: Trace, tmp_path: Path):
    shutil.copytree(GELU, tmp_path / "bert.v2")
    assert compare(trace, tmp_path / "bert.v2").agrees
