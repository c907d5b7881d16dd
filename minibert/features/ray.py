"""`Embedder`: vectors of more text than one machine holds, by Ray Data (the extra `ray`), which schedules, moves and retries.

    import ray
    from minibert.features.ray import Embedder

    texts = ray.data.read_parquet("texts/")
    vectors = texts.map_batches(
        Embedder,
        fn_constructor_args=("minilm-l6",),
        batch_format="pyarrow",
        batch_size=4096,
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=1,
    )
    vectors.write_parquet("vectors/")

The model is loaded once in each worker. On a machine of few cores give `ray.init(num_cpus=…)` more than the workers take, or
Ray has none left for reading and waits for ever.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.errors import InputError, TruncationWarning
from minibert.features.features import Features

if TYPE_CHECKING:
    import pyarrow


class Embedder:
    """A callable for `map_batches(…, batch_format="pyarrow")`: an Arrow table in, the same with a column of vectors out.

    Args:
        name_or_path: what `Features` takes; a path must be there on every machine.
        text_column: the column of strings; InputError names the columns there are if it is absent or holds something else.
        vector_column: the name of the new column, a fixed-size list of float32, or of float16 with `dtype="float16"`.
        options: of `Features.sentences`: pooling, normalize, layers, dim, on_long, dtype.
    """

    def __init__(
        self, name_or_path: str | Path = "minilm-l6", *, text_column: str = "text", vector_column: str = "vector", **options: Any
    ):
        self.features = Features(name_or_path)
        self.text_column = text_column
        self.vector_column = vector_column
        self.options = options

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """The batch with its vectors; the numbers go from the model's memory into Arrow's as they lie."""
        import pyarrow

        if self.text_column not in batch.column_names:
            raise InputError(f"there is no column {self.text_column!r}; the batch has {', '.join(batch.column_names)}")
        if self.vector_column in batch.column_names:
            raise InputError(f"there is a column {self.vector_column!r} already; give another vector_column")
        column = batch.column(self.text_column)
        if not (pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)) or column.null_count:
            nulls = f" with {column.null_count} nulls" if column.null_count else ""
            raise InputError(f"the column {self.text_column!r} is of type {column.type}{nulls}; expected a string in every row")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)  # Once a batch would be too often.
            vectors = self.features.sentences(column.to_pylist(), **self.options)
        numbers = pyarrow.array(np.ascontiguousarray(vectors).reshape(-1))
        return batch.append_column(self.vector_column, pyarrow.FixedSizeListArray.from_arrays(numbers, vectors.shape[1]))
