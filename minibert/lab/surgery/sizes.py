"""Sizes: more or fewer words, more or fewer positions; and one configuration for all parts of a model."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from minibert.errors import InputError, shown
from minibert.lab.arguments import check_model, whole_number
from minibert.lab.surgery.swapping import AnyModel, encoder_of
from minibert.model import BertWithHeads
from minibert.model.heads import MaskedLanguageModel

CONFIG = "config"
POSITIONS = ("repeated", "interpolated", "random")


def resized(
    model: AnyModel,
    *,
    vocab_size: int | None = None,
    max_position_embeddings: int | None = None,
    positions: str = "repeated",
    seed: int = 0,
) -> AnyModel:
    """A model with more or fewer words or positions; a BERT like any other, which `minibert.save` writes.

    Args:
        model: which stays as it was.
        vocab_size: new words come last, their vectors drawn around the mean of those there are, as widely as these spread in each
            dimension, so that a new word is no outlier; the masked-LM head's bias of a new word is the mean of all. Fewer words
            lose the last ones.
        max_position_embeddings: more positions are made of those that there are, fewer lose the last ones.
        positions: `repeated`, the table again from its start (as Longformer begins), `interpolated`, the table stretched, so
            that old places move, or `random`, drawn as BERT draws them.
        seed: of the random numbers.

    Raises InputError for a size below 1 or without a change, and ConfigError for one beyond what a BERT may have.
    """
    check_model(model)
    sizes = {"vocab_size": vocab_size, "max_position_embeddings": max_position_embeddings}
    wanted = {name: whole_number(name, size, 1) for name, size in sizes.items() if size is not None}
    if not wanted:
        raise InputError("no size was given; give vocab_size=, max_position_embeddings=, or both")
    if not isinstance(positions, str) or positions not in POSITIONS:
        raise InputError(f"positions is {shown(positions)}; expected one of {', '.join(POSITIONS)}")
    seed = whole_number("seed", seed, 0)
    copy: AnyModel = with_config(model, **wanted)
    encoder = encoder_of(copy)
    rngs = nnx.Rngs(seed)
    embeddings = encoder.embeddings
    if vocab_size is not None:
        table = embeddings.word[...]
        embeddings.word = nnx.Param(_with_words(table, vocab_size, rngs))
        heads: dict[str, Any] = dict(copy.heads) if isinstance(copy, BertWithHeads) else {}
        for head in heads.values():
            if isinstance(head, MaskedLanguageModel):
                bias = head.bias[...]
                new = jnp.full(max(0, vocab_size - len(bias)), bias.mean(), bias.dtype)
                head.bias = nnx.Param(jnp.concatenate([bias, new])[:vocab_size])
    # A model with positions of another kind has no table of them.
    if max_position_embeddings is not None and hasattr(embeddings, "position"):
        table = embeddings.position[...]
        spread = encoder.config.initializer_range
        embeddings.position = nnx.Param(_with_positions(table, max_position_embeddings, positions, spread, rngs))
    return copy


def number_of_parameters(model: nnx.Module) -> int:
    """How many numbers a model has."""
    return sum(leaf.size for leaf in jax.tree.leaves(model))


def with_config(model: AnyModel, **fields: Any) -> AnyModel:
    """A copy in which every part has a configuration with other fields; parameters are shared and stay as they are."""
    copy: AnyModel = jax.tree.map(lambda leaf: leaf, model)
    old, new = copy.config, copy.config.replace(**fields)
    for _, part in list(nnx.iter_graph(copy)):
        if isinstance(part, nnx.Module) and vars(part).get(CONFIG) == old:
            setattr(part, CONFIG, new)
    return copy


def _with_words(table: Array, size: int, rngs: nnx.Rngs) -> Array:
    count = max(0, size - len(table))
    drawn = jax.random.normal(rngs.params(), (count, table.shape[1]), table.dtype)
    return jnp.concatenate([table, table.mean(axis=0) + table.std(axis=0) * drawn])[:size]


def _with_positions(table: Array, size: int, how: str, spread: float, rngs: nnx.Rngs) -> Array:
    old = len(table)
    if size <= old:
        return table[:size]
    if how == "repeated":
        return jnp.concatenate([table] * -(-size // old))[:size]
    if how == "random":
        drawn = spread * jax.random.truncated_normal(rngs.params(), -2.0, 2.0, (size - old, table.shape[1]), table.dtype)
        return jnp.concatenate([table, drawn])
    places = np.linspace(0.0, old - 1.0, size)
    columns = [np.interp(places, np.arange(old), column) for column in np.asarray(table, np.float64).T]
    return jnp.asarray(np.stack(columns, axis=1), table.dtype)
