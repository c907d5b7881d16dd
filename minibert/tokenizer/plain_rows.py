"""Rows of one text each, of which ids are all that is asked for: what `rows` makes of them, by a shorter way.

Most calls are for such rows, and Python puts a few dozen of them together before NumPy has gathered as many from a
table: as lists, or as strings of bytes, the ids as int32, which become an array.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from minibert.tokenizer.int32_bytes import INT32_SIZE, int32_bytes


def list_rows(texts: list[list[int]], special_ids: tuple[int, int] | None, length: int | None) -> list[list[int]]:
    """The ids of the texts made rows, in place: [CLS] text [SEP], of a text the first `length` tokens, None for all."""
    for ids in texts:
        if length is not None:
            del ids[length:]
        if special_ids is not None:
            ids.insert(0, special_ids[0])
            ids.append(special_ids[1])
    return texts


def byte_rows(texts: Sequence[bytes], special_ids: tuple[int, int] | None, length: int | None) -> list[bytes]:
    """The same of bytes."""
    end = None if length is None else length * INT32_SIZE
    before, behind = (b"", b"") if special_ids is None else (int32_bytes((token_id,)) for token_id in special_ids)
    return [b"".join((before, ids[:end], behind)) for ids in texts]


def plain_lists(
    rows: list[list[int]], keys: Collection[str], width: int | None, side: str, pad_token_id: int
) -> dict[str, list[Any]]:
    """The columns `input_ids` and `keys` of the rows, with a `width` filled up to it on the `side`."""
    lengths = list(map(len, rows))
    missing = [0 if width is None else width - length for length in lengths]
    lists: dict[str, list[Any]] = {"input_ids": rows}
    if width is not None:
        lists["input_ids"] = [_filled(ids, [pad_token_id] * count, side) for ids, count in zip(rows, missing, strict=True)]
    if "token_type_ids" in keys:
        lists["token_type_ids"] = [[0] * (length + count) for length, count in zip(lengths, missing, strict=True)]
    if "attention_mask" in keys:
        lists["attention_mask"] = [
            _filled([1] * length, [0] * count, side) for length, count in zip(lengths, missing, strict=True)
        ]
    return lists


def plain_arrays(
    rows: list[bytes], lengths: Int64[np.ndarray, " rows"], keys: Collection[str], width: int, side: str, pad_token_id: int
) -> dict[str, np.ndarray]:
    """The same as int32 arrays [rows, width]; `lengths` says how many tokens each row has."""
    padding = int32_bytes((pad_token_id,)) * width
    ids = b"".join([_filled(row, padding[len(row) :], side) for row in rows])
    # A copy, since nobody may write to what Python holds as bytes.
    arrays = {"input_ids": np.frombuffer(ids, np.int32).reshape(len(rows), width).copy()}
    if "token_type_ids" in keys:
        arrays["token_type_ids"] = np.zeros((len(rows), width), np.int32)
    if "attention_mask" in keys:
        place = np.arange(width)
        is_token = place < lengths[:, None] if side == "right" else place >= width - lengths[:, None]
        arrays["attention_mask"] = is_token.astype(np.int32)
    return arrays


def _filled(row: Any, padding: Any, side: str) -> Any:
    return row + padding if side == "right" else padding + row
