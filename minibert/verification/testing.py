"""Assertions for tests of your own BERT, with pytest or without.

from minibert.verification.testing import assert_traces_agree

def test_my_port_is_bert():
    assert_traces_agree(record_by_mapping(my_model, batch, "my_names.toml"), "minilm-l6")
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minibert.checkpoints.integrity import weights_sha256
from minibert.checkpoints.registry import find_weights
from minibert.errors import MinibertError, TraceError
from minibert.model.tap import data_flow_order
from minibert.verification.compare import compare, reference_for
from minibert.verification.diagnosis import diagnose
from minibert.verification.oracle import Model, oracle_of
from minibert.verification.reference import Reference
from minibert.verification.report import Report
from minibert.verification.trace import Trace

EXPECTED = "a Trace, a mapping of names to arrays, or the path of a trace file; models and references are the second argument"


def assert_traces_agree(
    trace: Mapping[str, np.ndarray] | Path | str,
    reference: Reference | Trace | Model,
    *,
    model: Model | None = None,
    names: Sequence[str] | None = None,
) -> Report:
    """Raise AssertionError, with the whole report and the likely reason, unless a trace agrees with a reference at every name.

    Args:
        trace: what is tested, a Trace, the path of a trace file, or a mapping of names to arrays, which only a stored reference
            or a trace can be held against; `minibert.compare` has the details.
        reference: a model by its name, folder or object, whose true values are computed; a stored reference or a trace, or
            the path of one.
        model: the checkpoint, where the reference is a stored one or a trace; by default the fetched checkpoint whose sha256
            its metadata names. A trace cannot be the reference without it, and without it a stored reference gives no reason.
        names: intermediates that the trace must have, all of which must agree; by default those that it has.

    Returns the report. Raises TraceError as `minibert.compare` does, for a trace or a reference that is
    none, and for names that are a string.
    """
    if isinstance(names, str):
        raise TraceError(f"names is the string {names!r}; expected a list of names, names=[{names!r}]")
    trace = _trace_of(trace)
    if not isinstance(reference, Reference | Trace | Model):
        raise TraceError(
            f"the reference is a {type(reference).__name__}; expected a model, a Reference, a Trace, or a name or path"
        )
    found = reference_for(trace, reference, model=model)
    report = compare(trace, found)
    absent = sorted(set(names or ()) - {row.name for row in report.rows}, key=data_flow_order)
    if absent:
        raise AssertionError(f"the trace lacks {', '.join(absent)}, which the test asks for")
    if report.agrees:
        return report
    reason = ""
    if isinstance(trace, Trace):
        known = _model_of(reference, found) if model is None else model
        diagnosis = None if known is None else diagnose(trace, known, found)
        reason = "" if diagnosis is None else f"\n{diagnosis}"
    raise AssertionError(f"{report.verdict}\n{report}{reason}")


def _trace_of(trace: object) -> Mapping[str, np.ndarray]:
    if isinstance(trace, Mapping):
        return trace
    if not isinstance(trace, str | Path):
        raise TraceError(f"the trace is a {type(trace).__name__}; expected {EXPECTED}")
    if not os.path.isfile(trace):
        what = "is a folder" if os.path.isdir(trace) else "does not exist"
        raise TraceError(f"the trace {str(trace)!r} {what}; expected {EXPECTED}")
    return Trace.read(trace)


def _model_of(reference: Reference | Trace | Model, found: Reference) -> Model | None:
    """The parameters that a reference's values come from: its own if it is a model, or else those that its metadata names."""
    if not isinstance(reference, Reference | Trace) and not (isinstance(reference, str | Path) and os.path.isfile(reference)):
        return reference
    sha256 = found.metadata.get("checkpoint_sha256")
    # A checkpoint that cannot be read, or was changed since it was fetched, only means that there is no reason to show.
    with contextlib.suppress(MinibertError, OSError):
        folder = find_weights(sha256) if sha256 else None
        if folder is not None and weights_sha256(folder)[1] == sha256:
            return oracle_of(folder)
    return None
