"""The precision study: what each arithmetic gives, what the table says of it, and that nothing stays switched on."""

import csv
import io
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file

from minibert import CheckpointError, ConfigError, InputError, Tokenizer, load, record
from minibert.verification import Reference, record_numpy
from minibert.verification.sweep import MEASURES, SETTINGS, Column, Setting, Sweep, precision_sweep

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"
NAMES = ("embeddings.output", "layers.0.output", "layers.1.output", "pooler.output")
BATCH = {"input_ids": np.array([[1, 5, 9, 2], [3, 4, 0, 0]]), "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]])}
FLOAT64, HIGHEST, HIGH, DEFAULT, BFLOAT16, BFLOAT16_WEIGHTS, FLOAT16, FLOAT16_WEIGHTS = SETTINGS


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return precision_sweep(GELU, BATCH)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a tiny checkpoint, to be changed."""
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(GELU / name, tmp_path / name)
    return tmp_path


def scale_tensor(folder: Path, name: str, factor: float) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {name: tensors[name] * np.float32(factor)}, folder / "model.safetensors")


def a_sweep(**errors: tuple[float, ...]) -> Sweep:
    columns = tuple(Column(Setting(name), values, values) for name, values in errors.items())
    names = tuple(f"layers.{layer}.output" for layer in range(len(columns[0].max_abs_error)))
    return Sweep(names, columns, checkpoint="tiny", device="cpu", texts=2, tokens=6, versions={"jax": "1"}, notes=("A note.",))


def test_float64_agrees_with_the_oracle_to_twelve_digits(tiny_folder: Path):
    inputs = Reference.read(tiny_folder / "reference.safetensors").inputs
    sweep = precision_sweep(tiny_folder, inputs, settings=[FLOAT64])
    assert (sweep.names[0], sweep.names[-1]) == ("embeddings.output", "pooler.output")
    assert max(sweep["float64"].max_abs_error) < 1e-12


def test_minilm_in_float64_agrees_with_the_oracle_to_twelve_digits(minilm_folder: Path, minilm_tokenizer: Tokenizer):
    batch = minilm_tokenizer(["The bank raised rates.", "A river bank.", "Was that a movie? It was absolutely fantastic!"])
    sweep = precision_sweep(minilm_folder, batch, settings=[FLOAT64])
    assert len(sweep.names) == 8
    assert max(sweep["float64"].max_abs_error) < 1e-12


def test_every_setting_has_a_column_and_every_output_an_entry(sweep: Sweep):
    assert [column.setting for column in sweep.columns] == list(SETTINGS)
    assert sweep.names == NAMES
    for column in sweep.columns:
        assert len(column.max_abs_error) == len(column.relative_rms_error) == len(NAMES)
        assert all(map(math.isfinite, column.max_abs_error + column.relative_rms_error))


def test_the_errors_are_those_of_the_real_positions(sweep: Sweep):
    truth = record_numpy(GELU, BATCH)["layers.1.output"]
    ours = np.asarray(record(load(GELU, dtype="bfloat16"), BATCH)["layers.1.output"], np.float64)
    real = BATCH["attention_mask"] == 1
    column = sweep["bfloat16 compute"]
    assert column.max_abs_error[2] == np.abs(ours - truth)[real].max()
    expected = np.sqrt(((ours - truth)[real] ** 2).mean() / (truth[real] ** 2).mean())
    assert column.relative_rms_error[2] == pytest.approx(expected, rel=1e-12)


def test_fewer_bits_give_larger_errors(sweep: Sweep):
    in_order = ["float64", "float32 highest", "float16 compute", "bfloat16 compute"]
    errors = [sweep[name].relative_rms_error[-1] for name in in_order]
    assert errors == sorted(errors)
    assert errors[0] < 1e-14 < 1e-8 < errors[1] < 1e-6 < 1e-5 < errors[2] < errors[3]


def test_the_embeddings_have_no_product_so_only_weights_of_fewer_bits_change_them(sweep: Sweep):
    at_embeddings = {column.setting.name: column.max_abs_error[0] for column in sweep.columns}
    assert at_embeddings["bfloat16 compute"] == at_embeddings["float16 compute"] == at_embeddings["float32 highest"]
    assert at_embeddings["float32 highest"] < at_embeddings["float16 weights and compute"]
    assert at_embeddings["float16 weights and compute"] < at_embeddings["bfloat16 weights and compute"]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="accelerators compute the three differently")
def test_on_a_cpu_the_precisions_of_float32_are_all_there_and_said_to_be_the_same(sweep: Sweep):
    assert sweep["float32 highest"].max_abs_error == sweep["float32 high"].max_abs_error
    assert sweep["float32 highest"].max_abs_error == sweep["float32 default"].max_abs_error
    assert sweep.notes == ("float32 highest, float32 high and float32 default gave the same, bit for bit",)


@pytest.mark.parametrize("enabled", [False, True])
def test_float64_is_as_it_was_afterwards(enabled: bool):
    with jax.enable_x64(enabled):
        sweep = precision_sweep(GELU, BATCH, settings=[FLOAT64, HIGHEST])
        assert jax.config.jax_enable_x64 is enabled
    assert max(sweep["float64"].max_abs_error) < 1e-12
    assert min(sweep["float32 highest"].max_abs_error) > 1e-9


def test_float64_is_off_again_after_an_error(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        assert jax.config.jax_enable_x64
        raise RuntimeError("on purpose")

    before = jax.config.jax_enable_x64
    monkeypatch.setattr("minibert.verification.sweep.record", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        precision_sweep(GELU, BATCH, settings=[FLOAT64])
    assert jax.config.jax_enable_x64 is before


def test_activations_beyond_float16_are_reported_not_hidden(folder: Path):
    scale_tensor(folder, "encoder.layer.1.intermediate.dense.weight", 3e4)
    sweep = precision_sweep(folder, BATCH, settings=[HIGHEST, FLOAT16])
    assert max(sweep["float32 highest"].max_abs_error) < 1e-3
    overflown = sweep["float16 compute"].max_abs_error
    assert [math.isfinite(error) for error in overflown] == [True, True, False, False]
    assert sweep.notes == ("float16 compute gave values that are no finite numbers, first in layers.1.output",)
    assert "nan" in str(sweep)


def test_weights_beyond_float16_leave_a_column_of_nan_and_a_note(folder: Path):
    scale_tensor(folder, "pooler.dense.weight", 1e5)
    sweep = precision_sweep(folder, BATCH, settings=[FLOAT16_WEIGHTS, HIGHEST])
    assert all(map(math.isnan, sweep["float16 weights and compute"].max_abs_error))
    assert all(map(math.isfinite, sweep["float32 highest"].max_abs_error))
    (note,) = sweep.notes
    assert note.startswith("float16 weights and compute could not be run: ")
    assert "pooler.dense.weight has values too large for param_dtype float16" in note


def test_weights_that_are_no_numbers_are_refused(folder: Path):
    scale_tensor(folder, "encoder.layer.0.output.LayerNorm.bias", math.nan)
    with pytest.raises(CheckpointError, match=r"values in layers\.0\.output that are no finite numbers even in float64"):
        precision_sweep(folder, BATCH)


def test_a_model_without_a_pooler_has_no_row_for_it(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if "pooler" not in name}, folder / "model.safetensors")
    assert precision_sweep(folder, BATCH, settings=[HIGHEST]).names == NAMES[:-1]


def test_an_output_that_is_zero_has_its_error_itself_instead_of_a_share(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    zeros = {name: np.zeros_like(tensors[name]) for name in ("pooler.dense.weight", "pooler.dense.bias")}
    save_file(tensors | zeros, folder / "model.safetensors")
    assert precision_sweep(folder, BATCH, settings=[HIGHEST])["float32 highest"].relative_rms_error[-1] == 0.0


def test_no_settings_are_refused():
    with pytest.raises(InputError, match="settings is empty"):
        precision_sweep(GELU, BATCH, settings=[])


def test_two_settings_of_one_name_are_refused():
    with pytest.raises(InputError, match="two settings are named 'float32 high'"):
        precision_sweep(GELU, BATCH, settings=[HIGH, DEFAULT, replace(FLOAT64, name="float32 high")])


def test_a_setting_that_no_model_has_is_refused():
    with pytest.raises(ConfigError, match="dtype is 'float8'"):
        precision_sweep(GELU, BATCH, settings=[Setting("float8", dtype="float8")])


def test_a_batch_that_the_model_cannot_take_is_refused():
    with pytest.raises(InputError, match=r"input_ids\[0, 1\] is 99"):
        precision_sweep(GELU, {"input_ids": np.array([[1, 99]])})


def test_a_setting_that_was_not_run_is_named_beside_those_that_were():
    with pytest.raises(KeyError, match="'float8' is not in this sweep, which holds one, two"):
        a_sweep(one=(1.0,), two=(2.0,))["float8"]


def test_the_table_has_a_row_for_each_name_and_a_column_for_each_setting():
    lines = str(a_sweep(one=(1e-7, 2.5e-3), two=(0.0, math.inf))).splitlines()
    assert " ".join(" ".join(lines).split()).startswith("tiny on cpu against NumPy in float64 (texts: 2, tokens: 6)")
    assert [line.split() for line in lines if line.startswith("layers.")] == 2 * [
        ["layers.0.output", "1.0e-07", "0.0e+00"],
        ["layers.1.output", "2.5e-03", "inf"],
    ]
    assert lines[-1] == "A note."


def test_on_a_narrow_terminal_the_numbers_stay_whole(sweep: Sweep):
    console = Console(file=io.StringIO(), width=80)
    console.print(sweep)
    rows = [line.split() for line in console.file.getvalue().splitlines() if line.startswith("pooler.")]
    assert [row[1:] for row in rows] == [
        [f"{getattr(column, measure)[-1]:.1e}" for column in sweep.columns] for measure in MEASURES
    ]


def test_brackets_in_a_name_are_shown_as_they_are():
    shown = replace(a_sweep(one=(1.0,)), checkpoint="[red]/[/]", notes=("[bold]",))
    assert "[red]/[/]" in str(shown)
    assert "[bold]" in str(shown)


def test_json_holds_everything_with_null_for_what_is_no_number():
    values = json.loads(a_sweep(one=(1e-7, 2.5e-3), two=(math.nan, math.inf)).to_json())
    one, two = values["columns"]
    assert one["setting"] == {"name": "one", "dtype": "float32", "param_dtype": "float32", "precision": "highest"}
    assert one["max_abs_error"] == one["relative_rms_error"] == [1e-7, 2.5e-3]
    assert two["max_abs_error"] == two["relative_rms_error"] == [None, None]
    assert values["names"] == ["layers.0.output", "layers.1.output"]
    assert (values["checkpoint"], values["device"], values["texts"], values["tokens"]) == ("tiny", "cpu", 2, 6)
    assert (values["versions"], values["notes"]) == ({"jax": "1"}, ["A note."])


def test_csv_has_a_row_for_each_setting_and_name(sweep: Sweep):
    rows = list(csv.DictReader(io.StringIO(sweep.to_csv())))
    assert [(row["setting"], row["intermediate"]) for row in rows] == [
        (setting.name, name) for setting in SETTINGS for name in NAMES
    ]
    assert [float(row[measure]) for row in rows[-4:] for measure in MEASURES] == [
        error for pair in zip(*(getattr(sweep.columns[-1], measure) for measure in MEASURES), strict=True) for error in pair
    ]
    assert (rows[-1]["dtype"], rows[-1]["param_dtype"], rows[-1]["precision"]) == ("float16", "float16", "highest")


@pytest.mark.parametrize("ending", [".json", ".csv"])
def test_a_sweep_is_saved_by_the_ending_of_the_path(tmp_path: Path, ending: str):
    sweep = a_sweep(one=(1.0,))
    sweep.save(tmp_path / f"sweep{ending}")
    expected = {".json": sweep.to_json(), ".csv": sweep.to_csv()}[ending]
    assert (tmp_path / f"sweep{ending}").read_text() == expected


def test_another_ending_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"ends in '.txt'; a sweep is written as .json, .csv, .png, .svg, .pdf"):
        a_sweep(one=(1.0,)).save(tmp_path / "sweep.txt")
    assert list(tmp_path.iterdir()) == []
