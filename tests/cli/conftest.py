"""Fixtures of the commands' tests."""

import pytest


@pytest.fixture
def no_compilation_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands switch the cache on for the whole process; tests behind must not find it on."""
    monkeypatch.setattr("minibert.cli.main.keep_compiled_programs", lambda: None)


@pytest.fixture(autouse=True)
def _no_checks_at_every_call(without_shape_checks: None) -> None:
    """Commands run as users have them; the checks of shapes are on where the arrays are computed."""
