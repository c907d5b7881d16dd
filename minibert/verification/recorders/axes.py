"""Axes by their names: how an implementation lays an intermediate out, and how minibert does.

A layout is the names of the axes in their order, with spaces between them: `batch tokens width`. Axes that an implementation
keeps as one are joined by `*`, the slower one first: `batch*tokens width`, `batch tokens heads*head_dim`. `1` is an axis of
length one. Without `batch` the values are the same for every text, as rows of the position table are.
"""

import math

import numpy as np
from jaxtyping import Float

from minibert.errors import TraceError

OURS = {
    "query": "batch heads tokens head_dim",
    "key": "batch heads tokens head_dim",
    "value": "batch heads tokens head_dim",
    "scores": "batch heads queries keys",
    "probabilities": "batch heads queries keys",
}
HIDDEN, POOLED = "batch tokens width", "batch width"
KNOWN = ("batch", "tokens", "width", "heads", "head_dim", "queries", "keys", "1")


def our_axes(name: str, axes: str | None = None) -> str:
    """How minibert lays the intermediate `name` out; of a head's, which have tokens or not, `axes` says which."""
    part, last = name.split(".")[0], name.split(".")[-1]
    if part == "heads" and axes is not None:
        return HIDDEN if "tokens" in _single(axes) else POOLED
    if part == "pooler" or name == "heads.next_sentence.logits":
        return POOLED
    return OURS.get(last, HIDDEN) if ".attention." in name else HIDDEN


def check_axes(name: str, axes: str) -> None:
    """Raise TraceError unless values laid out as `axes` can be brought into the layout of `name`."""
    found, ours = _single(axes), our_axes(name, axes).split()
    unknown = [axis for axis in found if axis not in KNOWN]
    if unknown:
        raise TraceError(f"{name}: axes = {axes!r} names {', '.join(unknown)}; the axes are {', '.join(KNOWN)}")
    # The context of all heads is as wide as the hidden states are: here heads may stand for the width.
    wanted = [*ours[:-1], "heads", "head_dim"] if ours[-1] == "width" and "heads" in found else ours
    named = sorted(axis for axis in found if axis != "1")
    if named not in (sorted(wanted), sorted(wanted[1:])):
        raise TraceError(
            f"{name}: axes = {axes!r} cannot become minibert's, {our_axes(name, axes)!r}; each of these must be there once"
        )


def to_our_axes(
    name: str, values: Float[np.ndarray, "..."], axes: str, sizes: dict[str, int], where: str
) -> Float[np.ndarray, "..."]:
    """`values`, laid out as `axes`, in minibert's layout of the intermediate `name`.

    Args:
        name: of the intermediate.
        values: what an implementation computed.
        axes: how it laid them out; `check_axes` has seen it.
        sizes: of the axes that are known: batch and tokens, and heads if the mapping says how many there are.
        where: what the values are, for the message.

    Raises:
        TraceError: values of another shape.
    """
    known = sizes | {"queries": sizes["tokens"], "keys": sizes["tokens"], "1": 1}
    groups = [group.split("*") for group in axes.split()]
    lengths: list[int] = []
    for group, length in zip(groups, values.shape, strict=False):
        rest = math.prod(known.get(axis, 1) for axis in group)
        unknown = [axis for axis in group if axis not in known]
        if len(unknown) > 1:
            raise TraceError(f"{name}: {'*'.join(group)} can be split only with num_attention_heads in the mapping")
        if length % rest or (not unknown and length != rest):
            break
        lengths += [known.get(axis, length // rest) for axis in group]
    if len(groups) != values.ndim or len(lengths) != len(_single(axes)):
        raise TraceError(
            f"{name}: {where} has shape {list(values.shape)}; expected {axes} with "
            f'{", ".join(f"{axis} = {size}" for axis, size in sizes.items())}; say how its axes lie by axes = "…"'
        )
    single = [(axis, length) for axis, length in zip(_single(axes), lengths, strict=True) if axis != "1"]
    values = values.reshape([length for _, length in single])
    order = [axis for axis, _ in single]
    if "batch" not in order:
        values, order = np.broadcast_to(values, (sizes["batch"], *values.shape)), ["batch", *order]
    ours = our_axes(name, axes).split()
    wanted = [*ours[:-1], "heads", "head_dim"] if "width" not in order and ours[-1] == "width" else ours
    values = values.transpose([order.index(axis) for axis in wanted])
    return np.ascontiguousarray(values.reshape(*values.shape[: len(ours) - 1], -1))


def _single(axes: str) -> list[str]:
    return axes.replace("*", " ").split()
