"""In which order rows come: a function of seed and step alone, so that nothing has to be stored to go on with it."""

import numpy as np


class Order:
    """Every epoch all rows once, in an order of its own; the last batch of an epoch may be smaller."""

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.steps_per_epoch = -(-rows // batch_size)
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def batch(self, step: int) -> list[int]:
        """The numbers of the rows of a step, which is counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        return self._order[place * self.batch_size : (place + 1) * self.batch_size].tolist()
