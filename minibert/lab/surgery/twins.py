"""The NumPy twin of a model with swapped parts: what `minibert.compare` takes for the truth about it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import Float, Integer

from minibert.checkpoints.blueprint import parameters_of
from minibert.config import BertConfig
from minibert.errors import InputError, shown
from minibert.lab.surgery.depth import SharedEncoder, steps_of
from minibert.lab.surgery.swapping import encoder_of, name_of_part, parts_of
from minibert.model import Bert, BertWithHeads
from minibert.model.anatomy import MADE_WITH, foreign_parts
from minibert.numpy_bert import NumpyBert, Tap

PLACES = ("embeddings", "attention", "feed_forward", "pooler")
"""The last words of the names of parts that have a method of their own in `NumpyBert`."""


class NumpyPart(NumpyBert):
    """What computes one swapped part, by the method of its name: `embeddings`, `attention`, `feed_forward`, `pooler` or `dense`.

    What it does not override is computed as BERT has it.
    """

    part: Any
    """The module that it stands for, with the options that it was made with."""


class NumpyTwin(NumpyBert):
    """A `NumpyBert` some of whose parts are computed by other classes.

    `parts` names, by the part's name, the class and the module that it stands for; `order` says which layer's parameters each
    layer uses.
    """

    def __init__(
        self,
        config: BertConfig,
        parameters: Mapping[str, np.ndarray],
        dtype: Any = np.float64,
        *,
        parts: Mapping[str, tuple[type[NumpyPart], Any]],
        order: tuple[int, ...],
    ):
        super().__init__(config, parameters, dtype)
        self.parts, self.order = parts, order

    def embeddings(
        self,
        input_ids: Integer[np.ndarray, "batch tokens"],
        token_type_ids: Integer[np.ndarray, "batch tokens"],
        position_ids: Integer[np.ndarray, "batch tokens"],
        tap: Tap,
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """As `NumpyBert.embeddings`, or as the class of the swapped part has it."""
        part = self._part("embeddings")
        compute = super().embeddings if part is None else part.embeddings
        return compute(input_ids, token_type_ids, position_ids, tap)

    def attention(
        self, name: str, hidden: Float[np.ndarray, "batch tokens hidden"], mask: Integer[np.ndarray, "batch tokens"], tap: Tap
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """As `NumpyBert.attention`, or as the class of the swapped part has it."""
        part = self._part(name)
        compute = super().attention if part is None else part.attention
        return compute(name, hidden, mask, tap)

    def feed_forward(
        self, name: str, hidden: Float[np.ndarray, "batch tokens hidden"], tap: Tap
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """As `NumpyBert.feed_forward`, or as the class of the swapped part has it."""
        part = self._part(name)
        compute = super().feed_forward if part is None else part.feed_forward
        return compute(name, hidden, tap)

    def pooler(self, hidden: Float[np.ndarray, "batch tokens hidden"], tap: Tap) -> Float[np.ndarray, "batch hidden"]:
        """As `NumpyBert.pooler`, or as the class of the swapped part has it."""
        part = self._part("pooler")
        compute = super().pooler if part is None else part.pooler
        return compute(hidden, tap)

    def dense(self, name: str, x: Float[np.ndarray, "*batch inputs"]) -> Float[np.ndarray, "*batch outputs"]:
        """As `NumpyBert.dense`, or as the class of the swapped part has it."""
        part = self._part(name)
        compute = super().dense if part is None else part.dense
        return compute(name, x)

    def parameter(self, path: str) -> Float[np.ndarray, "..."]:
        """A parameter of the layer that serves here."""
        return super().parameter(self._stored(path))

    def _stored(self, name: str) -> str:
        """The name with the number of the layer whose parameters it uses."""
        first, *rest = name.split(".", 2)
        return ".".join([first, str(self.order[int(rest[0])]), *rest[1:]]) if first == "layers" else name

    def _part(self, name: str) -> NumpyBert | None:
        found = self.parts.get(self._stored(name))
        if found is None:
            return None
        kind, module = found
        part = kind(self.config, self.parameters, self.dtype)
        part.part = module
        # Its products are this one's, which may round in ways of their own, and so are its parameters.
        part.product, part.parameter = self.product, self.parameter  # type: ignore[method-assign]
        if type(part).dense is NumpyBert.dense:
            # Dense layers within it may have been swapped too.
            part.dense = self.dense  # type: ignore[method-assign]
        return part


def numpy_twin(model: Bert | BertWithHeads, dtype: Any = np.float64) -> NumpyBert:
    """The plain NumPy model that does the same sums, for `minibert.compare(minibert.record(model, batch), numpy_twin(model))`.

    A swapped part takes part in it by an attribute of its class, `numpy_twin`: a subclass of `NumpyPart` that does the part's
    work in the method of its name, or if it stands for a dense layer in `dense`, and finds the part, with its options, in
    `self.part`. All parts of minibert have one.

    Args:
        model: with or without swapped parts; of heads those of pre-training are computed.
        dtype: of the arithmetic.

    Raises InputError for a part without a twin, for a head that was changed, and for another dtype than a floating one.
    """
    encoder = encoder_of(model)
    try:
        is_floating = np.issubdtype(np.dtype(dtype), np.floating)
    except TypeError:
        is_floating = False
    if not is_floating:
        raise InputError(f"dtype is {shown(dtype)}; expected one of NumPy's floating ones, such as np.float64")
    for name, head in dict(model.heads).items() if isinstance(model, BertWithHeads) else ():
        if any(hasattr(part, MADE_WITH) for _, part in nnx.iter_graph(head)):
            raise InputError(f"the head {name!r} was changed, and such heads have no NumPy twin; verify the encoder, model.bert")
    parameters = {path.removeprefix("bert."): np.asarray(variable.get_value()) for path, variable in parameters_of(model).items()}
    parts = {}
    changed = {name_of_part(path): part for path, part in foreign_parts(encoder).items()}
    # A BERT as it is has no part where a swapped one may hold another.
    inner = {name: getattr(parent, attribute) for name, parent, attribute in parts_of(encoder)}
    changed |= {name: part for name, part in inner.items() if hasattr(part, MADE_WITH)}
    for name, part in changed.items():
        if isinstance(part, SharedEncoder):
            continue
        twin = getattr(type(part), "numpy_twin", None)
        if twin is None or (name.rsplit(".", 1)[-1] not in PLACES and twin.dense is NumpyBert.dense):
            raise InputError(
                f"{name} is of the class {type(part).__name__}, which has no NumPy twin; give its class the attribute "
                "numpy_twin, a subclass of minibert.lab.NumpyPart that computes it"
            )
        parts[name] = (twin, part)
    return NumpyTwin(encoder.config, parameters, dtype, parts=parts, order=steps_of(encoder))
