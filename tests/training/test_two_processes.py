"""Training by two processes that talk to each other, two devices each, as two machines would."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import OBJECTIVE, BagOfWords, small_options, small_rows

from minibert.training.inference import logits_of
from minibert.training.loop import fit

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="JAX's processes on CPUs talk by gloo, on Linux"),
]

HERE = Path(__file__).parent


def run_both(folder: Path, what: str) -> list[subprocess.CompletedProcess[str]]:
    """What became of the two processes, which meet at a port that is free."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    command = [sys.executable, str(HERE / "process_child.py"), port]
    children = [
        subprocess.Popen(
            [*command, str(number), str(folder), what], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in (0, 1)
    ]
    try:
        outputs = [child.communicate(timeout=120) for child in children]
    finally:
        for child in children:
            child.kill()
    return [
        subprocess.CompletedProcess(child.args, child.returncode, *output)
        for child, output in zip(children, outputs, strict=True)
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    children = run_both(tmp_path_factory.mktemp("processes") / "training", "whole")
    assert [child.returncode for child in children] == [0, 0], "".join(child.stderr for child in children)
    return [json.loads(child.stdout.splitlines()[-1]) for child in children]


@pytest.fixture(scope="module")
def alone() -> Any:
    return fit(BagOfWords(), small_rows(24), OBJECTIVE, small_options(epochs=1))


def test_both_see_the_losses_that_one_process_has(found: list[dict[str, Any]], alone: Any):
    assert found[0]["devices"] == 4
    assert found[0]["losses"] == found[1]["losses"]
    np.testing.assert_allclose(found[0]["losses"], [record["loss"] for record in alone.records], rtol=1e-5)


def test_each_makes_its_own_rows_only(found: list[dict[str, Any]]):
    assert [of_process["batches"] for of_process in found] == [[[0, 4, 4]] * 3, [[4, 8, 4]] * 3]


def test_each_holds_less_than_the_whole(found: list[dict[str, Any]], alone: Any):
    # Of a bag of words the last layer's kernel is cut, and its moments.
    assert found[0]["bytes"] == found[1]["bytes"] == alone.bytes_per_device - 3 * 8 * 2 * 4 // 2


def test_a_checkpoint_that_both_write_is_restored_to_the_bit(found: list[dict[str, Any]]):
    assert [of_process["restored apart"] for of_process in found] == [[[], []]] * 2


def test_a_resumed_training_ends_in_the_same_bits(found: list[dict[str, Any]]):
    for of_process in found:
        assert of_process["resumed"] == of_process["losses"]
        assert of_process["apart"] == []


def test_an_evaluation_by_both_is_that_of_one(found: list[dict[str, Any]], alone: Any):
    expected = float(sum(row.sum() for row in logits_of(alone.model, small_rows(8), batch_size=8)))
    assert found[0]["sum"] == found[1]["sum"]
    np.testing.assert_allclose(found[0]["sum"], expected, atol=1e-5)


def test_where_one_is_killed_the_other_ends_with_an_error(tmp_path: Path):
    survivor, victim = run_both(tmp_path / "training", "killed")
    assert victim.returncode == -signal.SIGKILL
    # JAX itself ends a process whose partner has been silent for too long, 100 seconds where nobody says otherwise.
    assert survivor.returncode not in (0, -signal.SIGKILL)
    assert "another task died" in survivor.stderr or "Gloo" in survivor.stderr
