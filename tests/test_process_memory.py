"""Memory that a process frees stays with it, in huge pages, if it asks for that."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
from minibert.process_memory import keep_freed_memory

kept = sys.argv[1] == "keep" and keep_freed_memory()
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    array = np.ones(100 << 17)  # 100 MB
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    huge = sum(int(line.split()[1]) for line in open("/proc/self/smaps") if line.startswith("AnonHugePages"))
    return taken, huge

_, huge = faults()
print(kept, faults()[0], huge)
"""
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults are counted as Linux does"),
    pytest.mark.long,
]


def run(word: str) -> list[str]:
    found = subprocess.run([sys.executable, "-c", PROGRAM, word], capture_output=True, text=True, check=True).stdout.split()
    if word == "keep" and found[0] == "False":
        pytest.skip("the C library is not GNU's")
    return found


def test_memory_is_asked_for_once():
    assert int(run("keep")[1]) < 100 < int(run("leave")[1])


def test_memory_comes_in_huge_pages():
    if not HUGE_PAGES.exists() or not re.search(r"\[(always|madvise)\]", HUGE_PAGES.read_text()):
        pytest.skip("this system has no huge pages to give")
    kilobytes = int(run("keep")[2])
    assert kilobytes > 90_000, kilobytes
