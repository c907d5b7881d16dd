"""Fixtures of the commands' tests."""

import pytest


@pytest.fixture
def no_compilation_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands switch the cache on for the whole process; tests behind must not find it on."""
    monkeypatch.setattr("minibert.cli.main.keep_compiled_programs", lambda: None)
