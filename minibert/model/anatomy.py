"""Which parts of a model are not BERT's own: what whoever writes it down, or proves it, must know of a model that was changed."""

from typing import Any

from flax import nnx

from minibert.model.bert import Bert

MADE_WITH = "made_with"
"""The attribute of a part that was swapped on purpose, which says as JSON with which options it was made."""


def foreign_parts(model: Bert) -> dict[str, Any]:
    """The parts, by their paths ("encoder.layers.0.attention"), of other classes than a BERT of the same sizes has there."""
    plain = Bert(model.config, rngs=None, add_pooling_layer=model.pooler is not None)
    found: dict[str, Any] = {}
    _hold_against(model, plain, "", found)
    return found


def _hold_against(part: Any, plain: Any, path: str, found: dict[str, Any]) -> None:
    if type(part) is not type(plain):
        found[path] = part
    own = _children(part)
    for name, child in _children(plain).items():
        if name in own:
            _hold_against(own[name], child, f"{path}.{name}" if path else name, found)


def _children(part: Any) -> dict[str, Any]:
    if isinstance(part, nnx.List):
        return {str(number): child for number, child in enumerate(part)}
    return {name: child for name, child in vars(part).items() if isinstance(child, nnx.Module)}
