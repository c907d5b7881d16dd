"""Lists of ids through a model: packed into batches, several of them under way, in this process or in others."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Float, Int32

from minibert.cores import cores
from minibert.features.layers import Layers
from minibert.features.packing import TOKENS_AT_A_TIME, TOKENS_AT_A_TIME_ELSEWHERE, Packed, Shapes, pack
from minibert.features.programs import Programs
from minibert.features.workers import Workers
from minibert.model import Bert
from minibert.model.throughput import for_throughput

Ids = Sequence[Int32[np.ndarray, " _"]]


class Engine:
    """A model, laid out for speed on some devices or in some worker processes, that takes lists of ids.

    `model` is what runs: the given one laid out for speed.
    """

    def __init__(
        self,
        model: Bert,
        longest: int,
        pad_token_id: int,
        devices: Sequence[jax.Device] | None = None,
        number_of_workers: int = 0,
    ):
        devices = jax.local_devices() if devices is None else list(devices)
        self.pad_token_id = pad_token_id
        self.model = for_throughput(model)
        on_cpu = number_of_workers or devices[0].platform == "cpu"
        self.workers = Workers(self.model, number_of_workers) if number_of_workers else None
        self._runner: Workers | Programs = self.workers or Programs(self.model, devices)
        self.shapes = Shapes(
            longest,
            TOKENS_AT_A_TIME["cpu"] if on_cpu else TOKENS_AT_A_TIME_ELSEWHERE,
            1 if number_of_workers else len(devices),
        )
        self._under_way = 2 * number_of_workers if number_of_workers else 1 + (cores() if on_cpu else 1)
        self.shapes_seen: set[tuple[int, int]] = set()
        """For each a program was compiled, or one for each set of options."""
        self.tokens = 0
        """Tokens of texts that were computed, and with the padding of their batches `computed_tokens`."""
        self.computed_tokens = 0

    def token_vectors(self, ids: Ids, layers: Layers) -> Iterator[tuple[int, Float[np.ndarray, "_ width"]]]:
        """For each list of ids its place and a vector a token, in the order in which they are done."""
        for batch, vectors in self._run(ids, layers, None):
            for text, (row, begin, _) in zip(batch.texts.tolist(), batch.places.tolist(), strict=True):
                yield text, vectors[row, begin : begin + len(ids[text])]

    def text_vectors(self, ids: Ids, layers: Layers, pooling: str) -> Float[np.ndarray, "texts width"]:
        """One vector for each list of ids, in their order; `pooling` as in `minibert.features.pooling`."""
        width = layers.width(self.model.config.hidden_size)
        result = np.empty((len(ids), width), np.float32)
        for batch, vectors in self._run(ids, layers, pooling):
            result[batch.texts] = vectors[batch.places[:, 0], batch.places[:, 2]]
        return result

    def _run(self, ids: Ids, layers: Layers, pooling: str | None) -> Iterator[tuple[Packed, np.ndarray]]:
        pending: deque[tuple[Packed, Callable[[], np.ndarray]]] = deque()
        for batch in pack([len(row) for row in ids], self.shapes):
            self.tokens += sum(len(ids[text]) for text in batch.texts.tolist())
            self.shapes_seen.add(batch.shape)
            self.computed_tokens += batch.shape[0] * batch.shape[1]
            pending.append((batch, self._runner.start(batch.arrays(ids, self.pad_token_id), layers, pooling)))
            if len(pending) > self._under_way:
                done, result = pending.popleft()
                yield done, result()
        for done, result in pending:
            yield done, result()
