"""Worker processes: the same vectors as in one process, and an end to all of them."""

import gc
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minibert import Features
from minibert.errors import InputError, WorkerError
from minibert.features.layers import Layers

WORDS = ["the", "bank", "of", "a", "river", "raised", "its", "rates"]
TEXTS = [" ".join(WORDS[: 1 + number % len(WORDS)]) for number in range(60)]

PARENT = """
import sys, time
from minibert import Features
features = Features(sys.argv[1], workers=1)
print(features.engine.workers.processes[0].pid, flush=True)
features.sentences(["the bank"])
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def with_workers(tiny: Path):
    features = Features(tiny, workers=2)
    yield features
    features.close()


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_ended(process: int) -> None:
    for _ in range(300):
        if not is_running(process):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {process} is still there")


def test_workers_give_what_one_process_gives(tiny: Path, with_workers: Features):
    alone = Features(tiny)
    np.testing.assert_allclose(with_workers.sentences(TEXTS), alone.sentences(TEXTS), atol=1e-6)
    for found, expected in zip(
        with_workers.words(TEXTS, layers="concat-last-2"), alone.words(TEXTS, layers="concat-last-2"), strict=True
    ):
        assert found.words == expected.words
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    assert with_workers.device == "cpu, a process a core" and re.fullmatch(r"cpu, \d+ cores?", alone.device)


def test_two_calls_give_the_same_bits_whichever_worker_takes_a_batch(with_workers: Features):
    np.testing.assert_array_equal(with_workers.sentences(TEXTS), with_workers.sentences(TEXTS))


@pytest.mark.long
def test_a_bfloat16_model_goes_to_workers_too(tiny: Path):
    features = Features(tiny, workers=1, dtype="bfloat16")
    np.testing.assert_allclose(features.sentences(TEXTS), Features(tiny, dtype="bfloat16").sentences(TEXTS), atol=2e-2)
    features.close()


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
@pytest.mark.long
def test_a_killed_worker_is_told_of_and_the_others_can_be_closed(tiny: Path):
    features = Features(tiny, workers=2)
    features.sentences(TEXTS)
    workers = features.engine.workers
    assert workers is not None
    for process in workers.processes:
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"a worker process ended with status -9, perhaps for lack of memory; use fewer"):
        features.sentences(TEXTS)
    features.close()


@pytest.mark.long
def test_after_close_the_processes_are_gone_and_more_work_is_refused(tiny: Path):
    features = Features(tiny, workers=2)
    features.sentences(TEXTS[:1])
    processes = features.engine.workers.processes
    features.close()
    features.close()
    assert all(process.poll() is not None for process in processes)
    with pytest.raises(WorkerError, match="the workers were closed; make new Features"):
        features.sentences(TEXTS[:1])


@pytest.mark.long
def test_the_last_reference_ends_the_processes(tiny: Path):
    features = Features(tiny, workers=1)
    processes = features.engine.workers.processes
    del features
    gc.collect()
    assert all(process.poll() is not None for process in processes)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.long
def test_a_worker_ends_when_its_parent_is_killed(tiny: Path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tiny)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert parent.stdout.readline() == "ready\n"
    assert is_running(worker)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until_ended(worker)


def test_what_a_worker_fails_at_is_one_sentence(with_workers: Features):
    arrays = {name: np.zeros((1, 16), np.int32) for name in ("input_ids", "position_ids", "wrong_name")}
    with pytest.raises(WorkerError, match=r"a worker process failed: TypeError: .*wrong_name"):
        with_workers.engine.workers.start(arrays, Layers.of("last"), None)()


@pytest.mark.parametrize(
    ("workers", "found"),
    [(-1, "workers is -1"), ("all", "workers is 'all'"), (True, "workers is True"), (1.5, "workers is 1.5")],
)
def test_a_wrong_number_of_workers_is_refused(tiny: Path, without_shape_checks: None, workers: object, found: str):
    with pytest.raises(InputError, match=f"{found}; expected a whole number, 0 for none, or 'cores'"):
        Features(tiny, workers=workers)


def test_workers_and_devices_exclude_each_other(tiny: Path):
    import jax

    with pytest.raises(InputError, match="give one of the two"):
        Features(tiny, workers=1, devices=jax.devices())
