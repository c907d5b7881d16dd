"""Files are read byte by byte here, thousands of them: checking types at every call would take most of the time."""

import pytest


@pytest.fixture(autouse=True)
def _no_checks_at_every_call(without_shape_checks: None) -> None:
    """For all tests of this folder."""
