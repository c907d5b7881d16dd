"""`minibert verify`: hold a checkpoint against its stored references, layer by layer."""

import argparse
from pathlib import Path
from typing import Any

from minibert.checkpoints.integrity import sha256_of
from minibert.checkpoints.loading import load
from minibert.checkpoints.registry import lookup, resolve
from minibert.checkpoints.tensors import open_checkpoint
from minibert.cli.console import console
from minibert.cli.fetch import DEFAULT_NAME
from minibert.errors import TraceError
from minibert.model.tap import layer_output_names
from minibert.verification import Reference, Report, compare, record, stored_references
from minibert.verification.report import BUDGET, worst_of


def add_parser(subparsers: Any) -> None:
    """Register the command `verify`."""
    parser = subparsers.add_parser(
        "verify",
        help="compare a checkpoint with stored references, layer by layer",
        description="Run the model on the stored texts and compare the embeddings, every layer and the pooler with the "
        "reference's float64 results. Exit status 0 if all agree, 1 if one parts.",
    )
    parser.add_argument("name", nargs="?", default=DEFAULT_NAME, help="a fetched name (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print the table and the verdict; status 0 or 1."""
    name = lookup(arguments.name).name
    references = stored_references(name)
    folder = resolve(name)
    _check_weights(folder, references)
    model = load(folder)
    names = layer_output_names(model.config.num_hidden_layers, pooler=model.pooler is not None)
    worst = worst_of([compare(record(model, reference.inputs, names), reference) for reference in references])
    _print(worst, references[0])
    texts = sum(len(reference.texts) for reference in references)
    if worst.first_disagreement is not None:
        print(f"{name} PARTS from its references, first at {worst.first_disagreement.name}")
        return 1
    print(f"{name} agrees with its references: {texts} texts, {len(worst.rows)} intermediates each")
    return 0


def _check_weights(folder: Path, references: list[Reference]) -> None:
    """Refuse weights that are not those that the references were recorded from, instead of calling them wrong."""
    weights = open_checkpoint(folder).files[0]
    found = sha256_of(weights)
    for reference in references:
        recorded = reference.metadata.get("checkpoint_sha256")
        if recorded != found:
            raise TraceError(
                f"{weights} has sha256 {found}, but {reference.path} was recorded from weights with sha256 {recorded}; "
                "fetch the checkpoint again, or record new references"
            )


def _print(report: Report, reference: Reference) -> None:
    console().print(
        f"against {reference.metadata.get('implementation')}, float64; ratio: to the error of its float32, at most {BUDGET}"
    )
    console().print(report)
