"""`minibert inspect`: what a checkpoint is, before anything of it is loaded."""

import argparse
import math
from typing import Any

from minibert.checkpoints.loading import Blueprint, read_blueprint
from minibert.checkpoints.registry import resolve
from minibert.cli.console import console

PARTS = ("embeddings", "encoder", "pooler")
ACTIVATION_MEANING = {
    "gelu_erf": "exact GELU, x/2 · (1 + erf(x/√2))",
    "gelu_tanh": "tanh approximation of GELU",
    "relu": "max(x, 0)",
    "silu": "x · sigmoid(x)",
}


def add_parser(subparsers: Any) -> None:
    """Register the command `inspect`."""
    parser = subparsers.add_parser(
        "inspect",
        help="show a checkpoint's configuration, parameters, dtype and format",
        description="Show a checkpoint's configuration, parameters by part, dtype, format and activation. Only headers are read.",
    )
    parser.add_argument("name", help="a fetched name or a checkpoint folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the headers and print."""
    folder = resolve(arguments.name)
    _print(str(folder), read_blueprint(folder))
    return 0


def _print(folder: str, blueprint: Blueprint) -> None:
    from rich.table import Table

    config, stored, _, shapes, match = blueprint
    size = sum(path.stat().st_size for path in stored.files)
    dtypes = sorted({tensor.dtype.name for _, tensor in match.parameters.values()})
    facts = {
        "folder": folder,
        "format": f"{stored.format}, {len(stored.files)} file{'s'[: len(stored.files) > 1]}, {size / 1e6:,.1f} MB",
        "stored dtype": ", ".join(dtypes),
        "layers": f"{config.num_hidden_layers}, {config.hidden_size} wide, {config.num_attention_heads} heads of "
        f"{config.head_dim}, feed-forward {config.intermediate_size} wide",
        "vocabulary": f"{config.vocab_size:,} tokens, {config.max_position_embeddings} positions, "
        f"{config.type_vocab_size} token types",
        "activation": f"{config.hidden_act} ({ACTIVATION_MEANING[config.hidden_act]})",
        "LayerNorm epsilon": f"{config.layer_norm_eps:g}",
        "left aside": ", ".join(sorted({f"{head} head" for head in match.heads.values()} | set(match.buffers))) or "nothing",
    }
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, value)
    counts = Table("parameters of", "tensors")
    counts.add_column("count", justify="right")
    for part in PARTS:
        sizes = [math.prod(shape) for path, shape in shapes.items() if path.startswith(f"{part}.")]
        counts.add_row(part, str(len(sizes)), f"{sum(sizes):,}" if sizes else "absent")
    counts.add_row("all", str(len(shapes)), f"{sum(math.prod(shape) for shape in shapes.values()):,}")
    console().print(table)
    console().print(counts)
