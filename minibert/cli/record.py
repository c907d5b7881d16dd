"""`minibert record`: texts to a trace file, by minibert, by its NumPy BERT or by transformers."""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from minibert.checkpoints.blueprint import read_blueprint
from minibert.checkpoints.integrity import weights_sha256
from minibert.checkpoints.loading import load
from minibert.checkpoints.registry import resolve
from minibert.cli.texts import add_texts, texts_given, tokenized
from minibert.config import DTYPES, BertConfig
from minibert.errors import InputError
from minibert.model.tap import intermediate_names
from minibert.printable import listed
from minibert.verification import Trace, load_transformers, record, record_numpy, record_transformers
from minibert.verification.trace import check_names

# Each implementation, and the arithmetic that it does, first what it does unless it is told.
IMPLEMENTATIONS = {
    "minibert": ("float32", "float64", "bfloat16", "float16"),
    "numpy": ("float64", "float32"),
    "transformers": ("float32", "float64", "bfloat16", "float16"),
}
ATTENTIONS = ("eager", "sdpa")
MOST_BYTES = 8 << 30
"""A larger trace hardly fits into memory beside the model, nor later beside the truth that it is held against."""
MOST_NAMES_SHOWN = 12


def add_parser(subparsers: Any) -> None:
    """Register the command `record`."""
    parser = subparsers.add_parser(
        "record",
        help="write what a model computes inside into a trace file",
        description="Run a checkpoint on texts, in one batch, and write its named intermediates into a trace file, which "
        "minibert.compare() reads.",
    )
    parser.add_argument("name", help="a fetched name or a checkpoint folder")
    add_texts(parser)
    parser.add_argument("--output", required=True, metavar="FILE", help="the trace file to write, a safetensors file")
    parser.add_argument(
        "--implementation", choices=IMPLEMENTATIONS, default="minibert", help="what computes it (default: %(default)s)"
    )
    parser.add_argument("--attention", choices=ATTENTIONS, help="of transformers (default: eager, which forms every name)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the arithmetic (default: float32, of numpy float64)")
    parser.add_argument(
        "--names",
        action="append",
        default=[],
        metavar="NAME[,NAME]",
        help="keep these only; * stands for anything between two dots: 'layers.*.output' (default: all)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Record, write, and print what was written."""
    if arguments.attention and arguments.implementation != "transformers":
        raise InputError(f"--attention is for transformers, and {arguments.implementation} computes this; leave it out")
    dtypes = IMPLEMENTATIONS[arguments.implementation]
    dtype = arguments.dtype or dtypes[0]
    if dtype not in dtypes:
        raise InputError(
            f"--dtype {dtype} is none that {arguments.implementation} computes in; choose one of {', '.join(dtypes)}"
        )
    texts = list(texts_given(arguments.texts, arguments.files, "record"))
    folder = resolve(arguments.name)
    blueprint = read_blueprint(folder)
    known = intermediate_names(blueprint.config.num_hidden_layers, pooler=blueprint.add_pooling_layer)
    batch = tokenized(folder, texts, blueprint.config)
    patterns = [pattern for given in arguments.names for pattern in given.split(",")]
    if arguments.implementation == "numpy":
        # Which heads it has, it alone knows, and it computes them all.
        _check_size(known, batch, blueprint.config, dtype)
        trace = record_numpy(folder, batch, dtype=dtype)
        if patterns:
            trace = Trace({name: trace[name] for name in _chosen(patterns, list(trace))}, trace.inputs, trace.metadata)
    else:
        formed = [name for name in known if arguments.attention != "sdpa" or not name.endswith((".scores", ".probabilities"))]
        names = _chosen(patterns, known, formed) if patterns else formed
        never = [name for name in names if name not in formed]
        if never:
            raise InputError(f"--attention {arguments.attention} never forms {listed(never)}; give --attention eager")
        _check_size(names, batch, blueprint.config, dtype)
        if arguments.implementation == "minibert":
            with jax.enable_x64(dtype == "float64"):
                trace = record(load(folder, dtype=dtype), batch, names)
        else:
            trace = record_transformers(load_transformers(folder, arguments.attention or "eager", dtype), batch, names)
    trace.metadata |= {"texts": json.dumps(texts), "checkpoint_sha256": weights_sha256(folder)[1]}
    output = Path(arguments.output)
    trace.save(output)
    _print(trace, output)
    return 0


def _chosen(patterns: Sequence[str], known: list[str], formed: list[str] | None = None) -> list[str]:
    """The `known` names that a pattern fits; those that are not `formed` only where nothing else does."""
    chosen: set[str] = set()
    for pattern in patterns:
        form = re.compile(re.escape(pattern).replace(r"\*", "[^.]+"))
        fitting = {name for name in known if form.fullmatch(name)}
        if not fitting:
            check_names([pattern], known)
        chosen |= (fitting & set(known if formed is None else formed)) or fitting
    return [name for name in known if name in chosen]


def _check_size(names: Sequence[str], batch: Mapping[str, np.ndarray], config: BertConfig, dtype: str) -> None:
    texts, tokens = batch["input_ids"].shape
    widths = {"scores": config.num_attention_heads * tokens, "probabilities": config.num_attention_heads * tokens}
    widths |= {"intermediate": config.intermediate_size, "activation": config.intermediate_size}
    rows = {name: texts if name.startswith("pooler.") else texts * tokens for name in names}
    values = sum(count * widths.get(name.split(".")[-1], config.hidden_size) for name, count in rows.items())
    size = values * (8 if dtype == "float64" else 4)
    if size > MOST_BYTES:
        raise InputError(
            f"{len(names)} intermediates of {texts:,} texts of {tokens} tokens take {size / 1e9:,.0f} GB; a trace is for a few "
            "texts: give fewer, or fewer --names, such as 'layers.*.output'"
        )


def _print(trace: Trace, output: Path) -> None:
    texts, tokens = trace.inputs["input_ids"].shape
    names = list(trace)
    shown = ", ".join(names) if len(names) <= MOST_NAMES_SHOWN else f"{names[0]} to {names[-1]}"
    print(f"wrote {output}, {output.stat().st_size:,} bytes: {texts} text{'s'[: texts > 1]} of {tokens} tokens, padding included")
    print(f"{len(names)} intermediate{'s'[: len(names) > 1]}: {shown}")
    print(f"computed by {trace.metadata['implementation']} in {trace.metadata['dtype']} on {trace.metadata['device']}")
