"""The tokens of several texts in one table, one text behind the other, so that NumPy handles a whole batch at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64


class TokenTable(NamedTuple):
    """Text number i has the tokens from `edges[i]` up to `edges[i + 1]`.

    The columns, all int32 and as long as there are tokens, are `input_ids` and, where they were asked for,
    `offset_mapping` [tokens, 2], the raw characters of every token, and `word_ids`, the number of its word in its text.
    """

    edges: Int64[np.ndarray, " edges"]
    columns: dict[str, np.ndarray]

    @property
    def lengths(self) -> Int64[np.ndarray, " texts"]:
        """How many tokens each text has."""
        return np.diff(self.edges)


def joined(tables: Sequence[TokenTable]) -> TokenTable:
    """Tables with the same columns as one."""
    if len(tables) == 1:
        return tables[0]
    edges = edges_between(np.concatenate([table.lengths for table in tables]))
    return TokenTable(edges, {key: np.concatenate([table.columns[key] for table in tables]) for key in tables[0].columns})


def edges_between(lengths: Int[np.ndarray, " parts"]) -> Int64[np.ndarray, " edges"]:
    """Where parts of these lengths begin, one behind the other, and where the last one ends."""
    edges = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=edges[1:])
    return edges


def ranges(starts: Int64[np.ndarray, " parts"], lengths: Int64[np.ndarray, " parts"]) -> Int64[np.ndarray, " numbers"]:
    """The whole numbers from each start on, as many as its length says, one range behind the other."""
    edges = edges_between(lengths)
    return np.repeat(starts - edges[:-1], lengths) + np.arange(edges[-1])
