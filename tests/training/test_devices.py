"""Training on several devices: the same curve as on one, with the parameters where the table says they are."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from small_training import small_model, small_options

from minibert.errors import InputError
from minibert.model.paths import path_of
from minibert.training.optimiser import OptimiserOptions
from minibert.training.parallel import PARTITIONS, SHARD, Placement, share_of
from minibert.training.step import first_state

pytestmark = pytest.mark.long

HERE = Path(__file__).parent


def run_child(*arguments: Any) -> dict[str, Any]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        # Compiled in a hurry: the programs are many and small.
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1",
    }
    child = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=600)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_child(HERE / "devices_child.py", tmp_path_factory.mktemp("devices"))


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("devices", ["data", "shard", "4x2"])
def test_the_losses_with_dropout_are_those_of_one_device(devices: str, accumulation: int, found: dict[str, Any]):
    alone, spread = found[f"1x1 {accumulation}"], found[f"{devices} {accumulation}"]
    assert len(alone["losses"]) == 3 and alone["spread"] > 1e-3
    np.testing.assert_allclose(spread["losses"], alone["losses"], rtol=1e-5)


def test_parameters_and_moments_lie_in_pieces(found: dict[str, Any]):
    assert found["1x1 1"]["pieces"] == found["data 1"]["pieces"] == {}
    assert found["data 1"]["bytes"] == found["1x1 1"]["bytes"]
    for devices, times, pieces in (("shard", 1, 8), ("4x2", 4, 2)):
        for accumulation in (1, 2):
            of_layout = found[f"{devices} {accumulation}"]["pieces"]
            kernels = [path for path in of_layout if path.endswith("layers.0.attention.query.kernel")]
            # The parameter's own and Adam's two moments.
            assert len(kernels) == 3
            assert all(of_layout[path] == [times, pieces] for path in of_layout)
    most_is_cut = found["shard 1"]["bytes"] / found["1x1 1"]["bytes"]
    assert 1 / 8 < most_is_cut < 0.3


def test_a_checkpoint_goes_on_under_another_layout(found: dict[str, Any]):
    np.testing.assert_allclose(found["moved"], found["1x1 1"]["losses"], rtol=1e-5)
    assert found["restored"] == [[], []]
    assert found["restored pieces"] > 20


def test_each_device_drops_others_of_its_rows(found: dict[str, Any]):
    assert found["masks"]["devices"] == 8
    assert found["masks"]["as on one"]
    assert found["masks"]["correlation"] < 5 / np.sqrt(4000)


def test_logits_are_those_of_one_device(found: dict[str, Any]):
    assert found["logits"] < 1e-5


COLUMNS, ROWS, EVERYWHERE = PartitionSpec(None, SHARD), PartitionSpec(SHARD, None), PartitionSpec()
MEANT = {
    "embeddings.word": COLUMNS,
    "embeddings.position": COLUMNS,
    "embeddings.token_type": COLUMNS,
    "attention.query.kernel": COLUMNS,
    "attention.key.kernel": COLUMNS,
    "attention.value.kernel": COLUMNS,
    "attention.projection.kernel": ROWS,
    "feed_forward.intermediate.kernel": COLUMNS,
    "feed_forward.projection.kernel": ROWS,
    "pooler.dense.kernel": COLUMNS,
    "heads.masked_lm.dense.kernel": COLUMNS,
    "heads.sequence_classification.dense.kernel": COLUMNS,
}


class FourPieces(Placement):
    """A layout as over four devices, of which there is one: it tells where things would lie."""

    def __init__(self) -> None:
        super().__init__("1x1")
        self.mesh = jax.sharding.AbstractMesh((1, 4), ("data", SHARD))
        self.everywhere = jax.sharding.NamedSharding(self.mesh, EVERYWHERE)


@pytest.mark.parametrize("head", ["sequence_classification", "masked_lm"])
def test_every_parameter_and_its_moments_match_the_row_that_is_meant_for_it(head: str):
    model = small_model(head, num_labels=4)
    state = first_state(model, 3, OptimiserOptions())
    seen = set()
    for keys, sharding in jax.tree_util.tree_leaves_with_path(FourPieces().shardings(state)):
        path = path_of(keys)
        meant = next((name for name in MEANT if path.endswith(name)), None)
        # The position of two token types is cut along the hidden size as well; biases and LayerNorms lie everywhere.
        assert sharding.spec == (EVERYWHERE if meant is None else MEANT[meant]), path
        seen.add(meant)
    assert seen >= {None, "embeddings.word", f"heads.{head}.dense.kernel"}
    assert PARTITIONS[-1] == ("", EVERYWHERE)


def test_an_axis_that_the_devices_do_not_divide_lies_everywhere():
    shardings = FourPieces().shardings(small_model(num_labels=3))
    assert shardings.heads["sequence_classification"].dense.kernel.get_value().spec == EVERYWHERE


@pytest.mark.parametrize("devices", ["", "datas", "0x1", "2", "1x", "x2", "2x2x2", "１x1", "-1x1", "1000000x1"])
def test_other_words_for_devices_are_refused(devices: str):
    with pytest.raises(InputError, match=r"devices is .*; expected data, shard, or a number of groups by their size, 4x2"):
        Placement(devices)


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(InputError, match=r"devices is '999x2', which takes 1998; there are \d+"):
        Placement("999x2")


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    placement = Placement("1x1")
    placement.count = 4
    placement.check_batch_size(8, 2)
    with pytest.raises(InputError, match="a batch of 6 rows cannot be spread evenly over 4 devices; give a multiple of 4"):
        placement.check_batch_size(6)
    with pytest.raises(InputError, match="in each of 3 parts; give a multiple of 12"):
        placement.check_batch_size(8, 3)


def test_a_process_alone_gives_all_rows():
    assert share_of(8) == slice(0, 8)
    assert small_options().devices == "data"
