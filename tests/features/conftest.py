"""The default checkpoint's features, made once for all tests of this folder."""

from pathlib import Path

import pytest

from minibert import Features


@pytest.fixture(scope="session")
def features(minilm_folder: Path) -> Features:
    return Features(minilm_folder)
