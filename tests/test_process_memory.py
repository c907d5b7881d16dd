"""Memory that a step frees stays with a process that asks for it."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from minibert.process_memory import keep_freed_memory

kept = sys.argv[1] == "keep" and keep_freed_memory()
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(100 << 17)  # 100 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(kept, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults are counted as Linux does")
@pytest.mark.long
def test_memory_is_asked_for_once():
    kept, asked_again = [
        subprocess.run([sys.executable, "-c", PROGRAM, word], capture_output=True, text=True, check=True).stdout.split()
        for word in ("keep", "leave")
    ]
    if kept[0] == "False":
        pytest.skip("the C library is not GNU's")
    assert int(kept[1]) < 100 < int(asked_again[1])
