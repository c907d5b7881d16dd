"""What attention does, in numbers: where the heads of every layer look, and the rollout through all of them.

Neither says why a model answers as it does (Jain & Wallace 2019, "Attention is not explanation").
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from minibert.errors import InputError
from minibert.lab.arguments import check_real
from minibert.lab.named_array import NamedArray
from minibert.lab.running import Model, forward_with, inputs_of, shapes_of
from minibert.model.inputs import ModelInputs


class HeadStatistics(NamedTuple):
    """Of each head [layers, heads], the mean over all real tokens of a batch."""

    entropy: NamedArray
    """Of its probabilities in nats: 0 for one token alone, log(tokens) for all alike."""
    distance: NamedArray
    """In tokens, from where it stands to where it looks."""
    on_itself: NamedArray
    """The share that a token gives to itself, from 0 to 1."""
    on_previous: NamedArray
    """To the token before it; the first has none and counts as zero."""
    on_next: NamedArray
    """To the token after it."""
    on_first: NamedArray
    """To the first real one of the text, [CLS]."""
    on_last: NamedArray
    """To the last real one of the text, [SEP]."""


def head_statistics(model: Model, batch: Mapping[str, Any]) -> HeadStatistics:
    """Where the heads look, as Clark et al. 2019 ask it ("What does BERT look at?").

    Raises InputError as the model does, for texts of padding only, and for layers with different numbers of heads.
    """
    inputs = inputs_of(model, batch)
    check_real(np.asarray(inputs.attention_mask))
    shapes = shapes_of(model, inputs)
    counts = {shape[1] for name, shape in shapes.items() if name.endswith("attention.probabilities")}
    if len(counts) > 1:
        raise InputError(
            f"the layers of this model have different numbers of heads ({min(counts)} to {max(counts)}), which no table of "
            "layers and heads holds; capture the probabilities of a layer with lab.run"
        )
    found = _statistics(model, inputs)
    return HeadStatistics(*(NamedArray(np.asarray(values), ("layers", "heads")) for values in found))


def attention_rollout(model: Model, batch: Mapping[str, Any]) -> NamedArray:
    """How much of each token at the input each token of the last layer may have seen (Abnar & Zuidema 2020, section 3).

    The product over the layers of half the heads' mean and half the identity, which stands for the residual connection.
    [batch, tokens, attended]; rows add up to one. Raises InputError as the model does, and for
    texts of padding only.
    """
    inputs = inputs_of(model, batch)
    check_real(np.asarray(inputs.attention_mask))
    return NamedArray(np.asarray(_rollout(model, inputs)), ("batch", "tokens", "attended"))


def _probabilities(model: Model, inputs: ModelInputs) -> list[Array]:
    """Of every layer [batch, heads, tokens, attended]."""
    names = [f"layers.{layer}.attention.probabilities" for layer in range(model.config.num_hidden_layers)]
    _, captured = forward_with(model, inputs, (), names)
    return [captured[name] for name in names]


@jax.jit
def _rollout(model: Model, inputs: ModelInputs) -> Array:
    layers = [0.5 * probabilities.mean(axis=1) for probabilities in _probabilities(model, inputs)]
    identity = 0.5 * jnp.eye(layers[0].shape[-1], dtype=layers[0].dtype)
    total = layers[0] + identity
    for layer in layers[1:]:
        total = jnp.matmul(layer + identity, total, precision=jax.lax.Precision.HIGHEST)
    return total


@jax.jit
def _statistics(model: Model, inputs: ModelInputs) -> tuple[Array, ...]:
    real = jnp.asarray(inputs.attention_mask)
    tokens = real.shape[1]
    places = jnp.arange(tokens)
    gaps = jnp.abs(places[:, None] - places[None, :])
    first, last = jnp.argmax(real, axis=1), tokens - 1 - jnp.argmax(real[:, ::-1], axis=1)

    def to(place: Array) -> Array:
        return jnp.broadcast_to((places == place[:, None])[:, None, None], (real.shape[0], 1, tokens, tokens))

    on = {
        "itself": jnp.eye(tokens),
        "previous": jnp.eye(tokens, k=-1),
        "next": jnp.eye(tokens, k=1),
        "first": to(first),
        "last": to(last),
    }
    of_layer = partial(_of_layer, real=real, gaps=gaps, on=on)
    found = [of_layer(probabilities) for probabilities in _probabilities(model, inputs)]
    return tuple(jnp.stack(each) for each in zip(*found, strict=True))


def _of_layer(probabilities: Array, *, real: Array, gaps: Array, on: dict[str, Array]) -> tuple[Array, ...]:
    def mean(by_token: Array) -> Array:  # [batch, heads, tokens] to [heads]
        return (by_token * real[:, None]).sum(axis=(0, 2)) / real.sum()

    entropy = -(probabilities * jnp.log(jnp.maximum(probabilities, jnp.finfo(probabilities.dtype).tiny))).sum(axis=-1)
    shares = [mean((probabilities * where).sum(axis=-1)) for where in on.values()]
    return mean(entropy), mean((probabilities * gaps).sum(axis=-1)), *shares
