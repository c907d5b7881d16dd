"""The arrays in the fixtures of tests/goldens/tensor_bundles: made from whole numbers, so that every NumPy makes the same."""

import ml_dtypes
import numpy as np

DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "int16", "int8", "uint8", "bool")


def whole_numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Whole numbers from -100 to 99."""
    return np.random.default_rng(seed).integers(-100, 100, size=shape)


def arrays_of_every_dtype() -> dict[str, np.ndarray]:
    """One array of each dtype, a number without axes, and an array without numbers."""
    arrays = {f"each/{name}": (whole_numbers(3, 5, seed=place) / 8).astype(name) for place, name in enumerate(DTYPES)}
    return arrays | {"number": np.array(7, np.int64), "nothing": np.zeros((0, 4), np.float32)}


def partitioned_arrays() -> dict[str, np.ndarray]:
    """Arrays that are stored in slices along one axis, long enough for slices that begin beyond 64 and beyond 8,192."""
    return {"rows": whole_numbers(200, 3).astype(np.float32), "columns": whole_numbers(2, 9000).astype(np.float16)}


def bfloat16_arrays() -> dict[str, np.ndarray]:
    """Two arrays of bfloat16."""
    return {name: (whole_numbers(4, 6, seed=place) / 16).astype(ml_dtypes.bfloat16) for place, name in enumerate("ab")}
