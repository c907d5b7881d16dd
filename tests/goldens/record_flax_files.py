"""Records tests/goldens/flax_files/*.msgpack: files that flax.serialization wrote, which minibert reads without it.

    python tests/goldens/record_flax_files.py

`bert.msgpack` is the tiny model of tests/goldens/tiny/gelu with the names and layout of transformers' Flax BERT, as its
`save_pretrained` wrote them (`flax.serialization.to_bytes` of the parameters); the others hold what is easy to get wrong.
"""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

FOLDER = Path(__file__).parent / "flax_files"
CHUNK_BYTES = 16
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")


def main() -> None:
    """Writes each tree with flax."""
    import flax.serialization

    FOLDER.mkdir(exist_ok=True)
    for name, tree in trees().items():
        flax.serialization.MAX_CHUNK_SIZE = CHUNK_BYTES if name == "chunked" else 1 << 30
        (FOLDER / f"{name}.msgpack").write_bytes(flax.serialization.to_bytes(tree))


def trees() -> dict[str, dict[str, Any]]:
    """The nested arrays that each file holds."""
    return {
        "bert": flax_bert(),
        "dtypes": {
            "array": {dtype: np.arange(-6, 6).astype(of_name(dtype)).reshape(3, 4) for dtype in DTYPES},
            "flags": np.array([[True, False, True]]),
            "without_axes": {"bfloat16": np.array(1.5, ml_dtypes.bfloat16), "int8": np.array(-3, np.int8)},
            "scalar": {"float32": np.float32(2.5), "int64": np.int64(-1), "bool": np.bool_(True)},
            "without_elements": {"vector": np.zeros(0, np.float32), "cube": np.zeros((2, 0, 3), ml_dtypes.bfloat16)},
            "not_a_number": np.array([np.nan, np.inf, -np.inf, -0.0], np.float32),
            "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
            "no arrays in here": {},
            "ä ☃ 🤗": np.arange(2, dtype=np.int16),
        },
        "chunked": {
            "whole": np.arange(4, dtype=np.float32),
            "matrix": np.arange(9, dtype=np.float32).reshape(3, 3),
            "half": {"precision": np.arange(10, dtype=np.float32).astype(ml_dtypes.bfloat16).reshape(2, 5)},
            "exact": np.arange(32, dtype=np.uint8).reshape(2, 4, 4),
        },
        "small": {"a": {"b": np.array([[1.0, -2.0]], np.float16), "ä": np.uint8(7)}, "c": np.arange(51, dtype=np.uint16)[:3]},
    }


def of_name(dtype: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def flax_bert() -> dict[str, Any]:
    """The tiny model, as transformers named its parameters in Flax and laid them out."""
    from safetensors.numpy import load_file

    tree: dict[str, Any] = {}
    for name, array in sorted(load_file(Path(__file__).parent / "tiny" / "gelu" / "model.safetensors").items()):
        *modules, kind = name.split(".")
        branch = tree
        for module in modules:
            branch = branch.setdefault(module, {})
        if kind == "bias":
            branch["bias"] = array
        elif modules[-1] == "LayerNorm":
            branch["scale"] = array
        elif modules[-1].endswith("embeddings"):
            branch["embedding"] = array
        else:
            branch["kernel"] = np.ascontiguousarray(array.T)
    return tree


if __name__ == "__main__":
    main()
