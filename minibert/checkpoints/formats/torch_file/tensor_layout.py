"""The calls in the pickle of a state dict, done by our own code: how a tensor lies in its storage, checked.

All sizes are Python integers, which do not wrap around at 2^64.
"""

import math
from typing import Any

from minibert.checkpoints.formats.stored_tensor import MAX_AXES, MAX_ELEMENTS
from minibert.checkpoints.formats.torch_file.pickle_values import Call, Group, Storage, Table, TensorLayout, described
from minibert.checkpoints.formats.torch_file.refusal import SAVE_AGAIN, TorchFileError
from minibert.errors import shown

MAX_INT64 = (1 << 63) - 1


def result_of(call: Call, arguments: list[Any]) -> Table | TensorLayout:
    """What a call in the pickle stands for. Raises TorchFileError for arguments that torch does not write."""
    match call, arguments:
        case Call.ORDERED_DICT, []:
            return Table(ordered=True)
        case Call.ORDERED_DICT, [Group(kind="list") as pairs]:  # as Python 2 wrote it
            return _ordered_dict(pairs)
        case Call.REBUILD_TENSOR, [Storage(), _, Group(), Group()]:
            return _layout(*arguments)
        case Call.REBUILD_TENSOR_V2, [Storage(), _, Group(), Group(), bool(gradient), Table() as hooks] if not hooks.items:
            return _with_gradient(_layout(*arguments[:4]), gradient)
        case Call.REBUILD_TENSOR_V2, [Storage(), _, Group(), Group(), bool(), Table(), Table()]:
            raise TorchFileError("a tensor in it is a lazy conjugate or negative, which is not implemented", SAVE_AGAIN)
        case Call.REBUILD_PARAMETER, [TensorLayout() as tensor, bool(gradient), Table() as hooks] if not hooks.items:
            return _with_gradient(tensor, gradient)
    kinds = ", ".join(described(argument) for argument in arguments[:8])
    raise TorchFileError(f"its pickle calls {call.value} with ({kinds}), which torch.save does not write")


def _with_gradient(tensor: TensorLayout, gradient: bool) -> TensorLayout:
    # NumPy gives bfloat16, which it does not know itself, the kind V.
    if gradient and tensor.storage.dtype.kind not in "fV":
        raise TorchFileError(f"a tensor of {tensor.storage.dtype} in it asks for gradients, which only floating point has")
    return tensor


def _ordered_dict(pairs: Group) -> Table:
    table = Table(ordered=True)
    for pair in pairs.items:
        if not isinstance(pair, Group) or len(pair.items) != 2:
            raise TorchFileError(f"its pickle makes an OrderedDict of {described(pair)}; expected pairs of a key and a value")
        table.put(*pair.items)
    return table


def _layout(storage: Storage, offset: Any, shape_group: Group, stride_group: Group) -> TensorLayout:
    shape, strides = _whole_numbers(shape_group, "shape"), _whole_numbers(stride_group, "strides")
    if len(shape) > MAX_AXES or math.prod(length or 1 for length in shape) >= MAX_ELEMENTS:
        raise TorchFileError(f"a tensor in it has shape {shown(shape)}, of more axes or elements than any memory holds")
    if len(strides) != len(shape):
        raise TorchFileError(f"a tensor in it has shape {shown(shape)}, but strides {shown(strides)}")
    if type(offset) is not int or not 0 <= offset <= MAX_INT64:
        raise TorchFileError(f"a tensor in it begins at {shown(offset)} of its storage; expected a whole number from 0 up")
    if 0 in shape:
        return TensorLayout(storage, 0, shape, None)
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if last >= storage.elements:
        raise TorchFileError(
            f"a tensor of shape {shown(shape)} and strides {shown(strides)} from element {offset:,} reaches element {last:,} "
            f"of storage {shown(storage.key)}, which has {storage.elements:,}"
        )
    return TensorLayout(storage, offset, shape, _simplified(shape, strides))


def _whole_numbers(group: Group, what: str) -> tuple[int, ...]:
    numbers = group.items
    if group.kind != "tuple" or not all(type(number) is int and 0 <= number <= MAX_INT64 for number in numbers):
        raise TorchFileError(f"the {what} of a tensor in it are no tuple of whole numbers from 0 up")
    return tuple(numbers)


def _simplified(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """None where the last axis moves fastest; an axis of length 1, whose stride can be anything, has 0."""
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            return tuple(stride if length > 1 else 0 for length, stride in zip(shape, strides, strict=True))
        expected *= length
    return None
