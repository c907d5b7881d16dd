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
        runtime_env={"env_vars": ONE_CORE},
    )
    vectors.write_parquet("vectors/")

The model is loaded once in each worker. With `ONE_CORE` a worker keeps to one core, so let there be one for each; on GPUs give
`num_gpus=1` instead of the last two. On a machine of few cores give `ray.init(num_cpus=…)` more than the workers take, or Ray has
none left for reading and waits for ever.

Every batch carries a receipt in the metadata of its schema, as the files of `minibert embed` have it: `minibert similar` searches
the Parquet files that come of it, and refuses them to another model. Counts of texts are not in it, for no worker knows them.
"""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.errors import InputError, TruncationWarning
from minibert.features.corpus.options import CorpusOptions
from minibert.features.corpus.outputs.parquet import RECEIPT_KEY
from minibert.features.corpus.receipt import FORMAT, model_facts, resolved
from minibert.features.corpus.sources.parquet import import_pyarrow
from minibert.features.features import Features
from minibert.features.workers import ONE_CORE

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ONE_CORE", "Embedder"]

OPTIONS = ("pooling", "normalize", "layers", "dim", "on_long", "dtype")


class Embedder:
    """A callable for `map_batches(…, batch_format="pyarrow")`: an Arrow table in, the same with a column of vectors out.

    Args:
        name_or_path: what `Features` takes; a path must be there on every machine.
        text_column: the column of strings; InputError names the columns there are if it is absent or holds something else.
        vector_column: the name of the new column, a fixed-size list of float32, or of float16 with `dtype="float16"`.
        options: of `Features.sentences`: pooling, normalize, layers, dim, on_long, dtype. Raises InputError for others' values.
    """

    def __init__(
        self, name_or_path: str | Path = "minilm-l6", *, text_column: str = "text", vector_column: str = "vector", **options: Any
    ):
        self.features = Features(name_or_path)
        self.text_column = text_column
        self.vector_column = vector_column
        self.options = options
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise InputError(f"{', '.join(unknown)} is no option of sentences(); expected some of {', '.join(OPTIONS)}")
        output_dtype = options.get("dtype", "float32")
        asked = CorpusOptions(output_dtype=output_dtype, **{name: each for name, each in options.items() if name != "dtype"})
        self.receipt = {
            "format": FORMAT,
            **model_facts(name_or_path, self.features),
            **resolved(asked, self.features.recipe).as_json(),
            "text_column": text_column,
            "vector_column": vector_column,
        }

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """The batch with its vectors; the numbers go from the model's memory into Arrow's as they lie."""
        pyarrow = import_pyarrow()
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
        result = batch.append_column(self.vector_column, pyarrow.FixedSizeListArray.from_arrays(numbers, vectors.shape[1]))
        return result.replace_schema_metadata({**(batch.schema.metadata or {}), RECEIPT_KEY: json.dumps(self.receipt)})
