"""Bundles that we write: read by us here, and by TensorFlow where there is one."""

import shutil
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stored_arrays import arrays_of_every_dtype

from minibert.checkpoints.formats.tensor_bundle import open_tensor_bundle, write_tensor_bundle
from minibert.checkpoints.formats.tensor_bundle.entries import DTYPES
from minibert.errors import CheckpointError

FOLDER = Path(__file__).parents[3] / "goldens" / "tensor_bundles"
NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), min_size=1, max_size=30)
ARRAYS = st.sampled_from(sorted(DTYPES.values(), key=str)).flatmap(
    lambda dtype: hnp.arrays(np.uint8 if dtype == ml_dtypes.bfloat16 else dtype, hnp.array_shapes(min_dims=0, min_side=0)).map(
        lambda array: array.astype(dtype)
    )
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, ARRAYS, max_size=40))
def test_what_is_written_is_read_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]):
    prefix = tmp_path_factory.mktemp("bundle") / "a.ckpt"
    write_tensor_bundle(prefix, arrays)
    tensors = open_tensor_bundle(prefix).tensors
    assert sorted(tensors, key=str.encode) == sorted(arrays, key=str.encode)
    for name, array in arrays.items():
        values = tensors[name].read()
        assert (values.dtype, values.shape, values.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("name", ["every_dtype", "two_shards"])
def test_the_data_is_as_tensorflow_wrote_it(tmp_path: Path, name: str):
    """Of one shard the data are the same bytes; of two they are joined."""
    [_, data] = write_tensor_bundle(tmp_path / "a.ckpt", open_tensor_bundle(FOLDER / f"{name}.ckpt").tensors)
    assert data.read_bytes() == (FOLDER / "every_dtype.ckpt.data-00000-of-00001").read_bytes()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(2, complex)}, "cannot hold tensor 'a' of dtype complex128"),
        ({"": np.zeros(2)}, "cannot hold a tensor with the name ''"),
        ({"a\x00b": np.zeros(2)}, "expected text without a NUL"),
    ],
)
def test_what_tensorflow_cannot_hold_is_refused_before_anything_is_written(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
):
    with pytest.raises(CheckpointError, match=message):
        write_tensor_bundle(tmp_path / "a.ckpt", arrays)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_nothing_is(tmp_path: Path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_tensor_bundle(tmp_path / "absent" / "a.ckpt", arrays_of_every_dtype())
    assert list(tmp_path.iterdir()) == []


READ_BY_TENSORFLOW = """
import sys
import numpy as np
import tensorflow as tf
reader, expected = tf.train.load_checkpoint(sys.argv[1]), np.load(sys.argv[2])
assert sorted(reader.get_variable_to_shape_map()) == sorted(expected.files)
for name in expected.files:
    values = reader.get_tensor(name)
    assert values.shape == expected[name].shape and values.tobytes() == expected[name].tobytes(), name
print("equal")
"""


@pytest.mark.reference
def test_tensorflow_reads_what_is_written(tmp_path: Path):
    python = shutil.which("python-with-tensorflow") or sys.executable
    if subprocess.run([python, "-c", "import tensorflow"], capture_output=True).returncode:
        pytest.skip("TensorFlow is not installed, neither here nor behind a command python-with-tensorflow")
    arrays = {name: array for name, array in arrays_of_every_dtype().items() if array.dtype != ml_dtypes.bfloat16}
    write_tensor_bundle(tmp_path / "a.ckpt", arrays)
    np.savez(tmp_path / "expected.npz", **arrays)
    command = [python, "-c", READ_BY_TENSORFLOW, str(tmp_path / "a.ckpt"), str(tmp_path / "expected.npz")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.strip() == "equal", result.stderr
