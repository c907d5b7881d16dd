"""`precision_sweep`: one checkpoint in every arithmetic, and how far each is from the float64 truth, layer by layer."""

import csv
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from minibert.atomic_write import write_atomically
from minibert.checkpoints.loading import load
from minibert.errors import CheckpointError, InputError
from minibert.model.tap import layer_output_names
from minibert.plots import ErrorLine, error_growth, save_figure
from minibert.printable import printable_json
from minibert.verification.measures import error_of_each_text, largest, real_positions, root_mean_square
from minibert.verification.oracle import oracle_of, record_numpy
from minibert.verification.trace import Trace, record
from minibert.verification.trace_file import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True)
class Setting:
    """An arithmetic under a name of its own; the other fields are those of BertConfig."""

    name: str
    dtype: str = "float32"
    """Of the operands of matrix products; everything else is float32 or wider."""
    param_dtype: str = "float32"
    """Of the stored weights."""
    precision: str = "highest"
    """Of float32 products on accelerators; on a CPU all three are true float32."""


SETTINGS = (
    Setting("float64", "float64", "float64"),
    Setting("float32 highest"),
    Setting("float32 high", precision="high"),
    Setting("float32 default", precision="default"),
    Setting("bfloat16 compute", "bfloat16"),
    Setting("bfloat16 weights and compute", "bfloat16", "bfloat16"),
    Setting("float16 compute", "float16"),
    Setting("float16 weights and compute", "float16", "float16"),
)


@dataclass(frozen=True)
class Column:
    """The errors of one setting, an entry for each name of the Sweep; infinity and NaN where the arithmetic gave them."""

    setting: Setting
    max_abs_error: tuple[float, ...]
    """The largest absolute error over the real positions of all texts."""
    relative_rms_error: tuple[float, ...]
    """The root mean square of the error over that of the truth, at the real positions of all texts."""


# What is measured: a field of Column, and its title in the table.
MEASURES = {"max_abs_error": "max abs error", "relative_rms_error": "error RMS / RMS"}


@dataclass(frozen=True)
class Sweep:
    """The study: every setting's error at the embeddings, at each layer and at the pooler; `print(sweep)` shows a table."""

    names: tuple[str, ...]
    """The intermediates, in data-flow order."""
    columns: tuple[Column, ...]
    checkpoint: str
    device: str
    texts: int
    tokens: int
    """Of all texts together, without padding."""
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    """What else is to be said, a sentence each: settings that gave the same, values that are no numbers."""

    @property
    def title(self) -> str:
        """What was run, where, and against what."""
        return f"{self.checkpoint} on {self.device} against NumPy in float64 (texts: {self.texts}, tokens: {self.tokens})"

    def __getitem__(self, setting: str) -> Column:
        """The column of the setting of that name."""
        for column in self.columns:
            if column.setting.name == setting:
                return column
        known = ", ".join(column.setting.name for column in self.columns)
        raise KeyError(f"{setting!r} is not in this sweep, which holds {known}")

    def __rich__(self) -> "Table":
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        notes = escape("\n".join(self.notes))
        table = Table(title=escape(self.title), caption=notes, caption_justify="left")
        table.box, table.show_edge, table.padding = box.SIMPLE_HEAD, False, 0
        # On a narrow terminal the names are cut short; the numbers stay whole.
        table.add_column("", overflow="ellipsis")
        for column in self.columns:
            table.add_column(escape(column.setting.name).replace(" ", "\n"), justify="right", no_wrap=True)
        for measure, title in MEASURES.items():
            table.add_section()
            table.add_row(f"[bold]{title}[/]")
            for place, name in enumerate(self.names):
                table.add_row(name, *(_cell(getattr(column, measure)[place]) for column in self.columns))
        return table

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=1000)
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def save(self, path: Path | str) -> None:
        """Write the sweep as JSON or CSV or draw it, by the ending of `path`: .json, .csv, .png, .svg or .pdf.

        Raises InputError for another ending, where nothing can be written, and for a picture where matplotlib is missing.
        """
        path = Path(path)
        forms = {".json": self.to_json, ".csv": self.to_csv}
        pictures = (".png", ".svg", ".pdf")
        if path.suffix in pictures:
            save_figure(self.figure(), path)
            return
        if path.suffix not in forms:
            raise InputError(f"{path} ends in {path.suffix!r}; a sweep is written as {', '.join([*forms, *pictures])}")
        with write_atomically(path) as file:
            file.write(forms[path.suffix]().encode())

    def figure(self) -> "Figure":
        """The growth of the error as a chart; dashes say that the weights, too, have fewer bits than float32.

        Raises InputError where matplotlib is missing.
        """
        lines = [
            ErrorLine(
                column.setting.name,
                column.setting.dtype,
                column.setting.param_dtype in ("bfloat16", "float16"),
                column.relative_rms_error,
            )
            for column in self.columns
        ]
        return error_growth(self.names, lines, self.title, self.notes)

    def to_json(self) -> str:
        """Everything in the sweep; numbers that JSON has not, infinity and NaN, are null."""
        return printable_json(dataclasses.asdict(self))

    def to_csv(self) -> str:
        """A row for each setting and intermediate, under a line of titles."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        fields = [field.name for field in dataclasses.fields(Setting)]
        writer.writerow(["setting", *fields[1:], "intermediate", *MEASURES])
        for column in self.columns:
            setting = dataclasses.astuple(column.setting)
            for name, *errors in zip(self.names, *(getattr(column, measure) for measure in MEASURES), strict=True):
                writer.writerow([*setting, name, *errors])
        return text.getvalue()


def precision_sweep(name_or_path: str | Path, batch: Mapping[str, Any], *, settings: Sequence[Setting] = SETTINGS) -> Sweep:
    """Run a checkpoint on a batch in each setting and hold the output of every layer against the float64 NumPy BERT.

    Args:
        name_or_path: a name of the registry that has been fetched, or a checkpoint folder.
        batch: the keyword arguments of `model(...)`, as a Tokenizer gives them.
        settings: the arithmetics, in the order of the columns. JAX's float64 is enabled for those that ask for it, and only
            while they run.

    A setting whose weights cannot hold the checkpoint's values has NaN everywhere, and a note that says why.

    Raises:
        CheckpointError: no such checkpoint, or a broken one: also one whose true values are no finite numbers.
        ConfigError: a setting that BertConfig refuses.
        InputError: a batch that the model cannot take, no settings at all, or two of one name.
    """
    _check_settings(settings)
    oracle = oracle_of(name_or_path)
    names = tuple(layer_output_names(oracle.config.num_hidden_layers, pooler="pooler.dense.kernel" in oracle.parameters))
    truth = record_numpy(oracle, batch, names)
    _check_truth(truth, name_or_path)
    columns: list[Column] = []
    notes: list[str] = []
    settings_of_bits: dict[bytes, list[str]] = {}
    for setting in settings:
        try:
            trace = _record_in(setting, name_or_path, batch, names)
        except CheckpointError as problem:
            # The oracle has read this checkpoint: what remains are values too large for the weights' dtype.
            notes.append(f"{setting.name} could not be run: {problem}")
            columns.append(Column(setting, (math.nan,) * len(names), (math.nan,) * len(names)))
            continue
        column = _errors(setting, trace, truth)
        columns.append(column)
        broken = [name for name, error in zip(names, column.max_abs_error, strict=True) if not math.isfinite(error)]
        if broken:
            notes.append(f"{setting.name} gave values that are no finite numbers, first in {broken[0]}")
        bits = hashlib.sha256(b"".join(trace[name].tobytes() for name in names)).digest()
        settings_of_bits.setdefault(bits, []).append(setting.name)
    for same in settings_of_bits.values():
        if len(same) > 1:
            notes.append(f"{', '.join(same[:-1])} and {same[-1]} gave the same, bit for bit")
    mask = truth.inputs["attention_mask"]
    return Sweep(
        names,
        tuple(columns),
        checkpoint=str(name_or_path),
        device=jax.devices()[0].device_kind,
        texts=len(mask),
        tokens=int(mask.sum()),
        versions=json.loads(versions("minibert", "jax", "jaxlib", "flax", "numpy", "scipy")),
        notes=tuple(notes),
    )


def _check_settings(settings: Sequence[Setting]) -> None:
    if not settings:
        raise InputError("settings is empty; give at least one Setting")
    names = [setting.name for setting in settings]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two settings are named {min(repeated)!r}; give each a name of its own")


def _check_truth(truth: Trace, name_or_path: str | Path) -> None:
    for name, values in truth.items():
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{name_or_path} gives values in {name} that are no finite numbers even in float64: its weights are broken; "
                "fetch or save it again"
            )


def _record_in(setting: Setting, name_or_path: str | Path, batch: Mapping[str, Any], names: Sequence[str]) -> Trace:
    with jax.enable_x64("float64" in (setting.dtype, setting.param_dtype)):
        model = load(name_or_path, dtype=setting.dtype, param_dtype=setting.param_dtype, precision=setting.precision)
        return record(model, batch, list(names))


def _errors(setting: Setting, trace: Trace, truth: Trace) -> Column:
    mask = truth.inputs["attention_mask"]
    max_abs_errors, relative_rms_errors = [], []
    for name, true in truth.items():
        max_abs_errors.append(largest(error_of_each_text(name, trace[name], true, mask).tolist()))
        real = real_positions(name, mask, true.shape)
        error, size = (root_mean_square(values[real]) for values in (trace[name].astype(np.float64) - true, true))
        relative_rms_errors.append(error / size if size else error)
    return Column(setting, tuple(max_abs_errors), tuple(relative_rms_errors))


def _cell(error: float) -> str:
    return f"{error:.1e}" if math.isfinite(error) else f"[bold red]{error}[/]"
