"""The libraries that measure, which are an extra: imported when the first number is asked for."""

from importlib import import_module
from typing import Any

from minibert.errors import InputError


def imported(module: str) -> Any:
    """The module of this name; InputError that says how to install what it belongs to."""
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"metrics need {module.partition('.')[0]}, which is not installed; run: pip install 'minibert[training]'"
        ) from None
