"""Rows of one text each, of which ids are all that is asked for: what `rows` makes of them, by a shorter way.

Most calls are for such rows. A row is a string of bytes here, its ids as int32: Python joins and fills up a few dozen of
them before NumPy has gathered as many from a table.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from minibert.tokenizer.int32_bytes import INT32_SIZE, int32_bytes, int32_list


def plain_rows(texts: Sequence[bytes], special_ids: tuple[int, int] | None, length: int | None) -> list[bytes]:
    """[CLS] text [SEP] for every text, given by its ids; of a text the first `length` tokens, None for all of them."""
    end = None if length is None else length * INT32_SIZE
    before, behind = (b"", b"") if special_ids is None else (int32_bytes((token_id,)) for token_id in special_ids)
    return [b"".join((before, ids[:end], behind)) for ids in texts]


def plain_lists(
    rows: list[bytes], keys: Collection[str], width: int | None, side: str, pad_token_id: int
) -> dict[str, list[Any]]:
    """The columns `input_ids` and `keys` of the rows as lists, with a `width` filled up to it on the `side`."""
    filled = rows if width is None else _filled_up(rows, width, side, pad_token_id)
    lists = {"input_ids": [int32_list(row) for row in filled]}
    if "token_type_ids" in keys:
        lists["token_type_ids"] = [[0] * len(ids) for ids in lists["input_ids"]]
    if "attention_mask" in keys:
        ones = [[1] * (len(row) // INT32_SIZE) for row in rows]
        if width is None:
            lists["attention_mask"] = ones
        elif side == "right":
            lists["attention_mask"] = [row + [0] * (width - len(row)) for row in ones]
        else:
            lists["attention_mask"] = [[0] * (width - len(row)) + row for row in ones]
    return lists


def plain_arrays(
    rows: list[bytes], lengths: Int64[np.ndarray, " rows"], keys: Collection[str], width: int, side: str, pad_token_id: int
) -> dict[str, np.ndarray]:
    """The same as int32 arrays [rows, width]; `lengths` says how many tokens each row has."""
    ids = b"".join(_filled_up(rows, width, side, pad_token_id))
    # A copy, since nobody may write to what Python holds as bytes.
    arrays = {"input_ids": np.frombuffer(ids, np.int32).reshape(len(rows), width).copy()}
    if "token_type_ids" in keys:
        arrays["token_type_ids"] = np.zeros((len(rows), width), np.int32)
    if "attention_mask" in keys:
        place = np.arange(width)
        is_token = place < lengths[:, None] if side == "right" else place >= width - lengths[:, None]
        arrays["attention_mask"] = is_token.astype(np.int32)
    return arrays


def _filled_up(rows: list[bytes], width: int, side: str, pad_token_id: int) -> list[bytes]:
    padding = int32_bytes((pad_token_id,)) * width
    if side == "right":
        return [row + padding[len(row) :] for row in rows]
    return [padding[len(row) :] + row for row in rows]
