"""Fixtures that every test can use: the default checkpoint, the tiny golden models, a random model, and no shape checks."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

import hypothesis
import jaxtyping
import pytest

# How long an example takes says nothing about minibert: machines are busy.
hypothesis.settings.register_profile("minibert", deadline=None)
hypothesis.settings.load_profile("minibert")

GOLDENS = Path(__file__).parent / "goldens"
TINY_NAMES = ("gelu", "gelu_new", "relu", "silu")

with_checks = jaxtyping.jaxtyped

# Of a function that is called thousands of times the first calls are checked, and then one in so many.
CALLS_CHECKED = 200
CHECKED_OF_LATER_CALLS = 16


def has_shapes(annotation: Any) -> bool:
    """Whether an annotation has one of jaxtyping's in it; one that is still a string may have."""
    if isinstance(annotation, str) or getattr(annotation, "__module__", "").startswith("jaxtyping"):
        return True
    return any(has_shapes(part) for part in (annotation if isinstance(annotation, list) else get_args(annotation)))


@functools.wraps(with_checks)
def with_checks_when_called(function: Any = None, **options: Any) -> Any:
    """jaxtyping's decorator, which its import hook puts before every function, at the function's first call.

    Making the checks of all functions takes many seconds in every process, most are never called there, and one inside
    another is made anew at every call of the outer one. A function none of whose annotations has a shape stays as it is:
    mypy checks those. The first calls with checks on are checked as before.
    """
    if function is None:
        return functools.partial(with_checks_when_called, **options)
    if not isinstance(function, FunctionType):
        return with_checks(function, **options)
    if not any(has_shapes(annotation) for annotation in function.__annotations__.values()):
        return function
    checked: list[Callable[..., Any]] = []
    calls = 0

    @functools.wraps(function)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        nonlocal calls
        calls += 1
        if jaxtyping.config.jaxtyping_disable or (calls > CALLS_CHECKED and calls % CHECKED_OF_LATER_CALLS):
            return function(*arguments, **keywords)
        if not checked:
            checked.append(with_checks(function, **options))
        return checked[0](*arguments, **keywords)

    return wrapped


jaxtyping.jaxtyped = with_checks_when_called


def pytest_configure(config: pytest.Config) -> None:
    """One compilation cache for all processes of a run, those that tests start included, and for the runs after it.

    JAX reads the environment when it is imported, which is later. A cache of the caller's own is left as it is.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and hasattr(config, "cache"):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(config.cache.mkdir("compilation"))
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


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
