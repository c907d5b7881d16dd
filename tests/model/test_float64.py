"""The model in float64, where it must equal the references' float64 to the last digits that they keep."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = Path(__file__).parent.parent / "goldens" / "tiny"

# A process of its own: JAX decides about float64 once.
COMPARISON = """
import json, sys
from pathlib import Path
import numpy as np
from minibert import load, record
from minibert.verification import Reference
from minibert.verification.compare import real_positions

found = {}
for folder in map(Path, sys.argv[1:]):
    reference = Reference.read(folder / "reference.safetensors")
    trace = record(load(folder, dtype="float64", param_dtype="float64"), reference.inputs)
    assert set(trace) == set(reference.truth)
    for name, values in trace.items():
        truth = reference.truth[name]
        real = real_positions(name, reference.inputs["attention_mask"], truth.shape)
        error = np.abs(values - truth)[real].max() / max(1.0, np.abs(truth).max())
        found[f"{folder.name} {name}"] = [str(values.dtype), error]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def errors() -> dict[str, tuple[str, float]]:
    folders = [str(folder) for folder in sorted(TINY.iterdir())]
    child = subprocess.run(
        [sys.executable, "-c", COMPARISON, *folders],
        env=os.environ | {"JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def test_every_intermediate_is_float64(errors: dict[str, tuple[str, float]]):
    assert {dtype for dtype, _ in errors.values()} == {"float64"}


def test_every_intermediate_agrees_with_the_truth_to_twelve_digits(errors: dict[str, tuple[str, float]]):
    assert {name: error for name, (_, error) in errors.items() if not error < 1e-12} == {}
