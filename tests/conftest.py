"""Fixtures that every test can use: the default checkpoint, the tiny golden models, a random model, and no shape checks."""

import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

GOLDENS = Path(__file__).parent / "goldens"
TINY_NAMES = ("gelu", "gelu_new", "relu", "silu")


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The fetched default checkpoint; skips where it is absent, unless MINIBERT_REQUIRE_CHECKPOINT is set."""
    from minibert.checkpoints.registry import resolve
    from minibert.errors import CheckpointError

    try:
        return resolve("minilm-l6")
    except CheckpointError as problem:
        if os.environ.get("MINIBERT_REQUIRE_CHECKPOINT"):
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
def minilm(minilm_folder):
    """The default checkpoint's model, loaded once; do not change it."""
    from minibert import load

    return load(minilm_folder)


@pytest.fixture(scope="session")
def minilm_tokenizer(minilm_folder):
    from minibert import Tokenizer

    return Tokenizer.from_folder(minilm_folder)


@pytest.fixture(params=TINY_NAMES)
def tiny_folder(request) -> Path:
    """A small random checkpoint written by transformers, with its reference trace; one for each activation."""
    return GOLDENS / "tiny" / request.param


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """Turns the run-time shape checks off, so that bad input reaches minibert as it does in a user's program."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
