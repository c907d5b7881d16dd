"""`minibert verify`: hold a checkpoint or a trace against the truth, another implementation, a trace or another checkpoint."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from minibert.checkpoints.blueprint import read_blueprint
from minibert.checkpoints.integrity import weights_sha256
from minibert.checkpoints.loading import load
from minibert.checkpoints.registry import checkpoint_folder, editions, find_weights, folder_of, lookup, resolve
from minibert.cli.console import console
from minibert.cli.fetch import DEFAULT_NAME
from minibert.cli.texts import tokenized
from minibert.config import DTYPES, PRECISIONS, BertConfig
from minibert.errors import CheckpointError, InputError, MinibertError, TraceError
from minibert.model import Bert
from minibert.model.tap import layer_output_names
from minibert.printable import counted, listed, printable
from minibert.tokenizer import Tokenizer
from minibert.verification import (
    Diagnosis,
    Reference,
    Report,
    Trace,
    compare,
    diagnose,
    load_transformers,
    record,
    record_transformers,
    stored_references,
)
from minibert.verification.compare import reference_for
from minibert.verification.published import PublishedReport, check_published, published_values
from minibert.verification.reference import is_reference_file, is_trace_path
from minibert.verification.report import BUDGET, worst_of
from minibert.verification.sample_texts import sample_batch
from minibert.verification.sweep import precision_sweep

IMPLEMENTATIONS = ("numpy", "transformers")
"""What else than a file or a checkpoint can be the reference."""

REPORT_ENDINGS = (".html", ".json", ".csv")
SWEEP_ENDINGS = (".json", ".csv", ".png", ".svg", ".pdf")

DEVICES = ("cpu", "gpu", "tpu")


class Outcome(NamedTuple):
    """A comparison, and what a diagnosis needs: the trace with every name, the folder that gives the truth, and the reference."""

    report: Report
    trace: Callable[[], Trace]
    folder: Path
    reference: Reference
    model: Bert | None = None
    """What was compared, where that is the checkpoint itself by its default reference."""


def add_parser(subparsers: Any) -> None:
    """Register the command `verify`."""
    parser = subparsers.add_parser(
        "verify",
        help="find out whether and where a model or a trace parts from a reference, and why",
        description="Compare every intermediate of a model, or of a trace file, with the true values, in units of the error that "
        "float32 makes in any case. A checkpoint that comes with stored references is held against those, any other one "
        "against the NumPy BERT in float64; then against the values that others published of it. Exit status 0 if all agree, 1 "
        "if one parts.",
    )
    parser.add_argument(
        "subject", nargs="?", default=DEFAULT_NAME, help="a name, a folder or a trace file (default: %(default)s)"
    )
    parser.add_argument(
        "reference",
        nargs="?",
        help="numpy, transformers, a trace file, a stored reference or a checkpoint (default: what comes with the subject)",
    )
    parser.add_argument("--against", metavar="REFERENCE", help="the same, as an option")
    parser.add_argument("--device", choices=DEVICES, help="where the model runs (default: JAX's own choice)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the model's products (default: float32)")
    parser.add_argument("--precision", choices=PRECISIONS, help="of float32 products on accelerators (default: highest)")
    parser.add_argument("--text", action="append", metavar="TEXT", help="run on this text, and on others that are given so")
    parser.add_argument("--all", action="store_true", help="show every intermediate, not only the outputs of layers")
    parser.add_argument("--sweep", action="store_true", help="run the model in every precision and show how the error grows")
    parser.add_argument(
        "--output", metavar="FILE", help="also write the report: .html, .json or .csv; of a sweep .json, .csv, .png or .svg"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print the table, the verdict and the likely reason; status 0 or 1."""
    if arguments.reference is not None and arguments.against is not None:
        raise InputError("the reference was given twice, by its place and by --against; give it once")
    against = arguments.reference if arguments.against is None else arguments.against
    if arguments.output:
        _check_output(Path(arguments.output), SWEEP_ENDINGS if arguments.sweep else REPORT_ENDINGS)
    if arguments.sweep:
        return _sweep(arguments, against)
    with _on_device(arguments.device), jax.enable_x64(arguments.dtype == "float64" or jax.config.jax_enable_x64):  # type: ignore[attr-defined]
        outcomes = _of_trace(arguments, against) if _is_trace(arguments.subject) else _of_model(arguments, against)
    worst = worst_of([outcome.report for outcome in outcomes])
    worst = replace(worst, compared={"subject": arguments.subject, **worst.compared})
    parting = next((outcome for outcome in outcomes if not outcome.report.agrees), None)
    diagnosis = None
    if parting is not None:
        diagnosis = _diagnosis(parting)
        worst = replace(worst, diagnosis=None if diagnosis is None else str(diagnosis))
    published = _published(arguments, outcomes[0]) if parting is None else None
    if arguments.output:
        said = tuple(map(str, published.results)) if isinstance(published, PublishedReport) else ()
        replace(worst, notes=(*worst.notes, *said)).save(arguments.output)
    _print(arguments.subject, worst, outcomes, show_all=arguments.all)
    name = arguments.subject
    if parting is None:
        texts = sum(len(outcome.reference.inputs["input_ids"]) for outcome in outcomes)
        print(f"{name} agrees: {counted(texts, 'text')}, {counted(len(worst.rows), 'intermediate')} each")
        return _print_published(name, published)
    print(f"{name} PARTS: {worst.verdict}")
    if diagnosis is not None:
        print(diagnosis)
    return 1


def _published(arguments: argparse.Namespace, outcome: Outcome) -> PublishedReport | str | None:
    """What others published of the checkpoint, checked, or why it was not; None where there is nothing to check or to say."""
    if outcome.model is None:
        return None
    records = published_values(_known_as(arguments.subject, outcome.folder))
    for option, needed in (("dtype", "float32"), ("precision", "highest")):
        given = getattr(arguments, option)
        if records and given not in (None, needed):
            not_checked = f"{counted(len(records), 'published value')} {'is' if len(records) == 1 else 'are'} not checked"
            return f"{not_checked} with --{option} {given}: they were computed in true float32"
    with _on_device(arguments.device):
        return check_published(outcome.folder, records, model=outcome.model) if records else None


def _known_as(subject: str, folder: Path) -> str:
    """The checkpoint's name in the registry, by which it was given or which its weights have; else their sha256."""
    try:
        entry = lookup(subject)
        if folder == checkpoint_folder(entry):
            return entry.name
    except MinibertError:
        pass  # a path
    _, sha256 = weights_sha256(folder)
    named = (entry.name for entry in editions() if any(file.sha256 == sha256 for file in entry.files))
    return next(named, sha256)


def _print_published(name: str, published: PublishedReport | str | None) -> int:
    """Status 1 if one parts."""
    if not isinstance(published, PublishedReport):
        if published is not None:
            print(published)
        return 0
    console().print(published)
    print(published.summary)
    for result in published.parting:
        print(f"{name}, {printable(str(result))}")
    return 0 if published.agrees else 1


def _diagnosis(parting: Outcome) -> Diagnosis | None:
    trace, folder, reference = parting.trace(), parting.folder, parting.reference
    if reference.path is None and set(trace) <= set(reference.truth):
        return diagnose(trace, folder, reference)
    # A stored reference has its own floor, and not every name; what it lacks is found with the floor of the NumPy BERT.
    return diagnose(trace, folder) or diagnose(trace, folder, reference)


def _sweep(arguments: argparse.Namespace, against: str | None) -> int:
    for option in ("dtype", "precision", "device"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option} was given beside --sweep, which runs all; leave it out")
    if against is not None:
        raise InputError("a reference was given beside --sweep, which measures against the NumPy BERT; leave it out")
    if _is_trace(arguments.subject):
        raise InputError(f"{arguments.subject} is a trace, and --sweep runs a checkpoint; give a name or a folder")
    folder = resolve(arguments.subject)
    sweep = precision_sweep(folder, _batch(folder, read_blueprint(folder).config, arguments.text))
    if arguments.output:
        sweep.save(arguments.output)
    console().print(sweep)
    return 0


def _of_model(arguments: argparse.Namespace, against: str | None) -> list[Outcome]:
    """A checkpoint, run here, against whatever the caller chose."""
    folder = resolve(arguments.subject)
    chosen = {name: getattr(arguments, name) for name in ("dtype", "precision") if getattr(arguments, name) is not None}
    model = load(folder, **chosen)
    # Stored references have the floor of float32; float64 is held to more.
    if against is None and not arguments.text and arguments.dtype != "float64":
        references = _stored(arguments.subject)
        if references:
            _check_weights(folder, references)
            names = layer_output_names(model.config.num_hidden_layers, pooler=model.pooler is not None)
            return [_against_stored(model, reference, names, folder) for reference in references]
    if against is None or not _is_trace(against):
        true_folder = folder if against in (None, *IMPLEMENTATIONS) else _checkpoint(str(against))
        batch = _batch(folder, model.config, arguments.text)
        trace = record(model, batch)
        theirs = None if against != "transformers" else record_transformers(load_transformers(folder), batch)
        reference = reference_for(trace, true_folder if theirs is None else theirs, model=true_folder)
        is_default = against is None and not arguments.text
        return [Outcome(compare(trace, reference), lambda: trace, true_folder, reference, model if is_default else None)]
    if arguments.text:
        raise InputError("--text was given beside a reference that has its own inputs; leave it out")
    path = Path(against)
    inputs = Reference.read(path).inputs if is_reference_file(path) else Trace.read(path).inputs
    trace = record(model, inputs)
    reference = reference_for(trace, path, model=folder)
    return [Outcome(compare(trace, reference), lambda: trace, folder, reference)]


def _against_stored(model: Bert, reference: Reference, names: list[str], folder: Path) -> Outcome:
    """At the names that every stored reference has; the others are recorded only where a diagnosis needs them."""
    report = compare(record(model, reference.inputs, names), reference)
    return Outcome(report, lambda: record(model, reference.inputs), folder, reference, model)


def _of_trace(arguments: argparse.Namespace, against: str | None) -> list[Outcome]:
    """A trace file against whatever the caller chose, by default the truth of the checkpoint that it names."""
    for option in ("dtype", "precision", "device", "text"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option} is for models that run here, and {arguments.subject} is a trace; leave it out")
    trace = Trace.read(arguments.subject)
    is_file = against is not None and _is_trace(against)
    is_named = is_file or against in (None, *IMPLEMENTATIONS)
    folder = _checkpoint_of(trace, arguments.subject) if is_named else _checkpoint(str(against))
    reference: Trace | Path = folder
    if against == "transformers":
        reference = record_transformers(load_transformers(folder), trace.inputs)
    elif is_file:
        reference = Path(str(against))
    found = reference_for(trace, reference, model=folder)
    return [Outcome(compare(trace, found), lambda: trace, folder, found)]


def _checkpoint_of(trace: Trace, path: str) -> Path:
    sha256 = trace.metadata.get("checkpoint_sha256")
    folder = find_weights(sha256) if sha256 else None
    if folder is None:
        named = (
            f"was recorded from weights with sha256 {sha256}, which are not here" if sha256 else "does not name its checkpoint"
        )
        raise TraceError(f"{path} {named}; give the checkpoint: minibert verify {path} CHECKPOINT")
    return folder


def _is_trace(given: str) -> bool:
    """Whether it is the file of a trace or of a stored reference."""
    return Path(given).is_file() and is_trace_path(Path(given))


def _stored(subject: str) -> list[Reference]:
    """The references that come with minibert for the subject; none for a folder."""
    try:
        return stored_references(lookup(subject).name)
    except MinibertError:
        return []


def _checkpoint(against: str) -> Path:
    try:
        return resolve(against)
    except CheckpointError as problem:
        raise InputError(
            f"{against!r} is no reference; expected numpy, transformers, the path of a trace or of a stored reference, or a "
            f"checkpoint, but {problem}"
        ) from None


def _batch(folder: Path, config: BertConfig, texts: list[str] | None) -> Mapping[str, np.ndarray]:
    if texts:
        return tokenized(folder, texts, config)
    return sample_batch(Tokenizer.from_folder(folder_of(folder)), config)


@contextmanager
def _on_device(kind: str | None) -> Iterator[None]:
    if kind is None:
        yield
        return
    try:
        device = jax.devices(kind)[0]
    except RuntimeError:
        found = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise InputError(f"--device {kind}: JAX finds none here, only {found}; install the JAX that drives it") from None
    with jax.default_device(device):
        yield


def _check_weights(folder: Path, references: list[Reference]) -> None:
    """Refuse weights that are not those that the references were recorded from, instead of calling them wrong."""
    weights, found = weights_sha256(folder)
    for reference in references:
        recorded = reference.metadata.get("checkpoint_sha256")
        if recorded != found:
            raise TraceError(
                f"{weights} has sha256 {found}, but {reference.path} was recorded from weights with sha256 {recorded}; "
                "fetch the checkpoint again, or record new references"
            )


def _check_output(path: Path, endings: Sequence[str]) -> None:
    """Before the comparison, which takes a while."""
    if path.suffix.lower() not in endings:
        raise InputError(f"{path} ends in {path.suffix!r}; it is written as {', '.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} cannot be written: its folder does not exist")


def _print(subject: str, report: Report, outcomes: list[Outcome], *, show_all: bool) -> None:
    reference = outcomes[0].reference
    implementation = reference.metadata.get("implementation", "an unnamed implementation")
    truth = "float64"
    if reference.path is None:
        truth = f"the parameters of {outcomes[0].folder.name} in minibert's NumPy BERT, float64"
        implementation = "the truth" if implementation == "minibert NumpyBert" else implementation
    console().print(f"against {implementation}, {truth}; ratio: to the error of its float32, at most {BUDGET}")
    first = report.first_disagreement
    shown = [row for row in report.rows if show_all or row is first or (row.name.endswith("output") and row.name.count(".") != 3)]
    console().print(Report(tuple(shown), report.missing, report.notes))
    if len(shown) < len(report.rows):
        print(f"{len(report.rows) - len(shown)} more intermediates are compared; --all shows them")
    if _is_trace(subject) and report.missing:
        print(f"the trace lacks {counted(len(report.missing), 'intermediate')} of the model: {listed(report.missing)}")
    for note in report.notes:
        print(note)
