"""Sources of tensors, as the writers of checkpoints take them, that are made or fail when they are read."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np


class Source:
    """A tensor that is made when it is read."""

    def __init__(self, values: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: Any = np.float32):
        self.values, self.shape, self.dtype = values, shape, np.dtype(dtype)

    def read(self) -> np.ndarray:
        return self.values()


def raises(problem: Exception) -> Callable[[], NoReturn]:
    """What a source reads when it cannot be read."""

    def read() -> NoReturn:
        raise problem

    return read
