"""Assertions for tests of your own BERT, with pytest or without.

from minibert.verification.testing import assert_traces_agree

def test_my_port_is_bert():
    assert_traces_agree(record_by_mapping(my_model, batch, "my_names.toml"), "minilm-l6")
"""

from collections.abc import Mapping, Sequence

import numpy as np

from minibert.model.tap import data_flow_order
from minibert.verification.compare import compare, reference_for
from minibert.verification.diagnosis import diagnose
from minibert.verification.oracle import Model
from minibert.verification.reference import Reference
from minibert.verification.report import Report
from minibert.verification.trace import Trace


def assert_traces_agree(
    trace: Mapping[str, np.ndarray],
    reference: Reference | Trace | Model,
    *,
    model: Model | None = None,
    names: Sequence[str] | None = None,
) -> Report:
    """Raise AssertionError, with the whole report and the likely reason, unless a trace agrees with a reference at every name.

    Args:
        trace: what is tested, a Trace or a mapping of names to arrays; `minibert.compare` has the details.
        reference: a model by its name, folder or object, whose true values are computed; a stored reference or a trace, or
            the path of one.
        model: the checkpoint, where the reference is a trace that does not name it; the likely reason needs it too.
        names: intermediates that the trace must have, all of which must agree; by default those that it has.

    Returns the report. Raises TraceError as `minibert.compare` does.
    """
    found = reference_for(trace, reference, model=model)
    report = compare(trace, found)
    absent = sorted(set(names or ()) - {row.name for row in report.rows}, key=data_flow_order)
    if absent:
        raise AssertionError(f"the trace lacks {', '.join(absent)}, which the test asks for")
    if report.agrees:
        return report
    known = model
    if known is None and not isinstance(reference, Reference | Trace) and found.path is None:
        known = reference
    diagnosis = None if known is None or not isinstance(trace, Trace) else diagnose(trace, known, found)
    reason = "" if diagnosis is None else f"\n{diagnosis}"
    raise AssertionError(f"{report.verdict}\n{report}{reason}")
