"""`minibert inspect`: what a checkpoint is, in whatever format, before anything of it is loaded."""

import argparse
import math
from typing import Any

from minibert.checkpoints.dialects import GOOGLE, in_few_words
from minibert.checkpoints.registry import resolve
from minibert.checkpoints.survey import Survey, survey
from minibert.checkpoints.tensors import StoredTensors
from minibert.cli.console import console
from minibert.errors import CheckpointError, named
from minibert.printable import counted

PARTS = ("embeddings", "encoder", "pooler")
ACTIVATION_MEANING = {
    "gelu_erf": "exact GELU, x/2 · (1 + erf(x/√2))",
    "gelu_tanh": "tanh approximation of GELU",
    "relu": "max(x, 0)",
    "silu": "x · sigmoid(x)",
}
MOST_PROBLEMS = 50


def add_parser(subparsers: Any) -> None:
    """Register the command `inspect`."""
    parser = subparsers.add_parser(
        "inspect",
        help="show a checkpoint's format, configuration, parameters and heads",
        description="Show a checkpoint's format, configuration, parameters by part, dtypes, activation, heads, and what is "
        "missing or unknown. Only headers are read, unless --tensors is given. The exit status is 1 if it cannot be loaded.",
    )
    parser.add_argument("name", help="a fetched name, a checkpoint folder, a file of weights, a zip, or the prefix of a bundle")
    parser.add_argument("--tensors", action="store_true", help="show every tensor, with statistics that find a corrupt one")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the headers and print."""
    path = resolve(arguments.name)
    found = survey(path)
    _print_facts(arguments.name, found)
    _print_parts(found)
    broken = _print_tensors(found.stored) if arguments.tensors else 0
    if found.reason is not None:
        console().print(f"It cannot be loaded: {found.reason}", style="red", markup=False)
    for problem in found.problems[:MOST_PROBLEMS]:
        console().print(f"{problem.kind}: {problem.what}", style="red", markup=False)
    if len(found.problems) > MOST_PROBLEMS:
        console().print(f"and {len(found.problems) - MOST_PROBLEMS:,} more that do not fit", style="red")
    return 0 if found.fits and not broken else 1


def _print_facts(path: str, found: Survey) -> None:
    from rich.table import Table
    from rich.text import Text

    config, stored = found.config, found.stored
    size = sum(file.stat().st_size for file in stored.files)
    facts = {
        "checkpoint": named(path),
        "format": f"{stored.format}, {counted(len(stored.files), 'file')}, {size / 1e6:,.1f} MB",
        "names": f"as {stored.dialect.name} spells them",
        "stored dtype": ", ".join(sorted({tensor.dtype.name for tensor in stored.tensors.values()})),
    }
    if config is not None:
        meaning = ACTIVATION_MEANING[config.hidden_act]
        google = (
            ", which Google's checkpoints mean by gelu" if stored.dialect is GOOGLE and config.hidden_act == "gelu_tanh" else ""
        )
        facts |= {
            "layers": f"{config.num_hidden_layers}, {config.hidden_size} wide, {config.num_attention_heads} heads of "
            f"{config.head_dim}, feed-forward {config.intermediate_size} wide",
            "vocabulary": f"{config.vocab_size:,} tokens, {config.max_position_embeddings} positions, "
            f"{config.type_vocab_size} token types",
            "activation": f"{config.hidden_act} ({meaning}{google})",
            "LayerNorm epsilon": f"{config.layer_norm_eps:g}",
        }
    heads = sorted(set(found.match.heads.values()))
    facts["heads"] = ", ".join(f"{head} head" for head in heads) or "none"
    facts["left aside"] = ", ".join([*found.match.buffers, *in_few_words(stored.left_out)]) or "nothing"
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, Text(value))
    console().print(table)


def _print_parts(found: Survey) -> None:
    from rich.table import Table

    if not found.shapes:
        return
    counts = Table("parameters of", "tensors")
    counts.add_column("count", justify="right")
    for part in PARTS:
        sizes = [math.prod(shape) for path, shape in found.shapes.items() if path.startswith(f"{part}.")]
        counts.add_row(part, str(len(sizes)), f"{sum(sizes):,}" if sizes else "absent")
    counts.add_row("all", str(len(found.shapes)), f"{sum(math.prod(shape) for shape in found.shapes.values()):,}")
    console().print(counts)


def _print_tensors(stored: StoredTensors) -> int:
    """Every tensor with what its values are like; the result is how many cannot be right."""
    from rich.table import Table
    from rich.text import Text

    from minibert.verification.doctor.tensor_statistics import statistics_of

    table = Table()
    table.add_column("tensor", overflow="fold")
    table.add_column("dtype")
    table.add_column("shape")
    for title in ("mean", "deviation", "largest"):
        table.add_column(title, justify="right")
    table.add_column("remark", overflow="fold")
    broken = 0
    for name, tensor in stored.tensors.items():
        # Text: brackets in a name are no colours.
        row: list[Text | str] = [Text(named(name)), tensor.dtype.name, str(list(tensor.shape))]
        if tensor.dtype.kind not in "fV":
            table.add_row(*row, "", "", "", "")
            continue
        try:
            found = statistics_of(tensor.read())
        except CheckpointError as problem:
            broken += 1
            table.add_row(*row, "", "", "", Text(str(problem)))
            continue
        remark = ""
        if found.first_broken is not None:
            broken += 1
            remark = f"{found.nans:,} NaN, {found.infinities:,} infinite, first at {list(found.first_broken)}"
        elif found.count and found.is_constant:
            remark = f"every value is {found.smallest:g}"
        table.add_row(*row, f"{found.mean:.3g}", f"{found.deviation:.3g}", f"{found.magnitude:.3g}", remark)
    console(200).print(table)
    return broken
