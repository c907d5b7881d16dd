"""The logit lens (nostalgebraist 2020): what the masked language model's head makes of every layer, not only of the last."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import InputError
from minibert.lab.arguments import whole_number
from minibert.lab.named_array import NamedArray
from minibert.lab.running import Model, forward_with, inputs_of
from minibert.model import BertWithHeads
from minibert.model.heads import Encoded, MaskedLanguageModel
from minibert.model.inputs import ModelInputs


class Lens(NamedTuple):
    """The likeliest tokens by layer, [layers, batch, tokens, best]; the first layer is the embeddings."""

    token_ids: NamedArray
    probabilities: NamedArray


def logit_lens(model: Model, batch: Mapping[str, Any], *, best: int = 5) -> Lens:
    """The likeliest tokens at every position by what each layer gives, as if it were the last.

    Args:
        model: `minibert.load(…, head="masked_lm")`, or one with more heads.
        batch: the texts.
        best: how many tokens.

    Raises InputError for a model without that head, and as the model does.
    """
    inputs = inputs_of(model, batch)
    heads = dict(model.heads) if isinstance(model, BertWithHeads) else {}
    names = [name for name, head in heads.items() if isinstance(head, MaskedLanguageModel)]
    if not names:
        raise InputError('the model has no head for masked language modelling; load it with head="masked_lm"')
    best = whole_number("best", best, 1, model.config.vocab_size)
    ids, probabilities = _lens(model, inputs, names[0], best)
    if not np.isfinite(np.asarray(probabilities, np.float32)).all():
        raise InputError("the model's logits are not finite for this batch; see minibert doctor")
    axes = ("layers", "batch", "tokens", "best")
    return Lens(NamedArray(np.asarray(ids), axes), NamedArray(np.asarray(probabilities), axes))


@partial(jax.jit, static_argnames=("head", "best"))
def _lens(model: BertWithHeads, inputs: ModelInputs, head: str, best: int) -> tuple[Array, Array]:
    names = ["embeddings.output", *(f"layers.{layer}.output" for layer in range(model.config.num_hidden_layers))]
    _, captured = forward_with(model, inputs, (), names)
    table = model.bert.embeddings.word[...]
    found = []
    # Layer by layer: of all layers together the logits would be the largest array by far.
    for name in names:
        probabilities = jax.nn.softmax(model.heads[head](Encoded(captured[name], None, table)), axis=-1)
        found.append(jax.lax.top_k(probabilities, best))
    values, ids = (jnp.stack(each) for each in zip(*found, strict=True))
    return ids, values
