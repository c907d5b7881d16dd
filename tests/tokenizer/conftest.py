"""Tens of thousands of texts: checking types at every call would take most of the time."""

import pytest


@pytest.fixture(autouse=True)
def _no_checks_at_every_call(without_shape_checks: None) -> None:
    """For all tests of this folder."""
