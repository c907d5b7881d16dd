"""Fixtures of the corpus' tests: an engine without a model, a small corpus, and a job over it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_features import FakeFeatures, fake_facts, some_texts

from minibert.features.corpus import ChunkSize, CorpusOptions, Outcome, TextFiles, embed_corpus

NUMBER = 43
SMALL = ChunkSize(8, 1 << 20)

Job = Callable[..., Outcome]


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where syncing costs nothing, if the system has one: for tests of many jobs, in which its order is what counts."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="minibert-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A file of 43 lines."""
    path = tmp_path / "texts.txt"
    path.write_text("".join(text + "\n" for text in some_texts(NUMBER)))
    return path


@pytest.fixture
def job(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Embeds the corpus in chunks of 8 into the file that it is given; options as of CorpusOptions or embed_corpus."""
    monkeypatch.setattr("minibert.features.corpus.job.model_facts", fake_facts)

    def run(output: Path, *, features: Any = None, source: Any = None, restart: bool = False, report: Any = None, **options: Any):
        return embed_corpus(
            features or FakeFeatures(),
            source or TextFiles([str(corpus)]),
            output,
            CorpusOptions(**options),
            name_or_path="fake",
            restart=restart,
            report=report,
            chunk_size=SMALL,
        )

    return run
