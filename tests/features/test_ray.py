"""Embedding by Ray Data: the callable by itself, and on a local cluster whose worker dies."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import Features, InputError
from minibert.features import StoredVectors

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")

TEXTS = [f"The bank number {number} of {number % 7} " + "rivers and lakes " * (number % 5) for number in range(600)]


@pytest.fixture(scope="module")
def embedder(minilm_folder: Path) -> Any:
    from minibert.features.ray import Embedder

    return Embedder(minilm_folder)


def test_a_batch_gets_a_column_of_vectors(embedder: Any, features: Features):
    table = embedder(pyarrow.table({"id": [7, 8], "text": TEXTS[:2]}))
    assert table.column_names == ["id", "text", "vector"]
    assert table.schema.field("vector").type == pyarrow.list_(pyarrow.float32(), 384)
    found = table.column("vector").combine_chunks().flatten().to_numpy().reshape(2, 384)
    np.testing.assert_allclose(found, features.sentences(TEXTS[:2]), atol=1e-6)


def test_a_batch_carries_a_receipt_by_which_it_is_searched_and_refused(embedder: Any, features: Features, tmp_path: Path):
    import pyarrow.parquet

    batch = pyarrow.table({"text": TEXTS[:20]}).replace_schema_metadata({b"theirs": b"kept"})
    pyarrow.parquet.write_table(embedder(batch), tmp_path / "part.parquet")
    assert pyarrow.parquet.read_schema(tmp_path / "part.parquet").metadata[b"theirs"] == b"kept"
    stored = StoredVectors.read(tmp_path / "part.parquet")
    assert stored.texts == TEXTS[:20]
    assert features.search(TEXTS[5], stored, 1).indices.tolist() == [[5]]
    with pytest.raises(InputError, match="pooling was 'mean' and is 'cls' now"):
        features.search(TEXTS[5], stored, 1, pooling="cls")


def test_options_that_are_none_are_refused_before_the_first_batch(minilm_folder: Path):
    from minibert.features.ray import Embedder

    with pytest.raises(InputError, match="pooling is 'sum'"):
        Embedder(minilm_folder, pooling="sum")


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"txt": ["a"]}, "there is no column 'text'; the batch has txt"),
        ({"text": [1]}, "the column 'text' is of type int64; expected a string"),
        ({"text": ["a", None]}, "is of type string with 1 nulls"),
        ({"text": ["a"], "vector": [1]}, "there is a column 'vector' already"),
    ],
)
def test_a_batch_without_texts_is_refused(columns: dict[str, list[Any]], message: str, embedder: Any):
    with pytest.raises(InputError, match=message):
        embedder(pyarrow.table(columns))


@pytest.mark.long
@pytest.mark.reference
def test_a_cluster_whose_worker_is_killed_gives_what_one_process_gives(minilm_folder: Path, features: Features, tmp_path: Path):
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    import pyarrow.parquet

    from minibert.features.ray import ONE_CORE, Embedder

    class DyingOnce(Embedder):
        """The first worker that comes to its second batch kills itself there."""

        batches = 0

        def __call__(self, batch: Any) -> Any:
            self.batches += 1
            mark = tmp_path / "died"
            if self.batches == 2 and not mark.exists():
                mark.touch()
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(batch)

    (tmp_path / "texts").mkdir()
    for part in range(6):
        some = {"id": list(range(part * 100, part * 100 + 100)), "text": TEXTS[part * 100 : part * 100 + 100]}
        pyarrow.parquet.write_table(pyarrow.table(some), tmp_path / "texts" / f"{part}.parquet")
    # Two workers on a machine of two cores would leave none for reading.
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        dataset = ray.data.read_parquet(str(tmp_path / "texts"), override_num_blocks=6)
        done = dataset.map_batches(
            DyingOnce,
            fn_constructor_args=(str(minilm_folder),),
            batch_format="pyarrow",
            batch_size=100,
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=1,
            runtime_env={"env_vars": ONE_CORE},
            max_restarts=2,
            max_task_retries=2,
        )
        done.write_parquet(str(tmp_path / "vectors"))
    finally:
        ray.shutdown()
    assert (tmp_path / "died").exists()
    table = pyarrow.parquet.read_table(tmp_path / "vectors").sort_by("id")
    assert table.column("id").to_pylist() == list(range(600))
    assert table.column("text").to_pylist() == TEXTS
    vectors = table.column("vector").combine_chunks().flatten().to_numpy().reshape(600, 384)
    np.testing.assert_allclose(vectors, features.sentences(TEXTS), atol=1e-6)
    for file in (tmp_path / "vectors").iterdir():
        stored = StoredVectors.read(file)
        hits = features.search(stored.texts[:3], stored, 1)
        assert hits.indices.ravel().tolist() == [0, 1, 2]
