"""The stack of Transformer layers: L times self-attention, then feed-forward (BERT paper, section 3)."""

from collections.abc import Callable

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.model.attention import Attention
from minibert.model.dropout import split_key
from minibert.model.feed_forward import FeedForward
from minibert.model.tap import Tap, identity, tap_rows, within


class Layer(nnx.Module):
    """One Transformer layer, post-LayerNorm: attention, then feed-forward. Taps: attention.*, feed_forward.*, output."""

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.attention = Attention(config, rngs=rngs)
        self.feed_forward = FeedForward(config, rngs=rngs)

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 #tokens tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> Float[Array, "rows hidden"]:
        """The next hidden states, as rows."""
        attention_key, feed_forward_key = split_key(dropout_key, 2)
        with jax.named_scope("attention"):
            hidden = self.attention(hidden, bias, tap=within(tap, "attention"), dropout_key=attention_key)
        with jax.named_scope("feed_forward"):
            hidden = self.feed_forward(hidden, bias.shape[0], tap=within(tap, "feed_forward"), dropout_key=feed_forward_key)
        return tap_rows(tap, "output", hidden, bias.shape[0])


class Encoder(nnx.Module):
    """All the layers, in a Python loop, so that each can be read, replaced and patched by itself.

    With `rematerialise = True` a gradient keeps of each layer its input alone and computes the rest again (Chen et al. 2016):
    less memory for a third more work. Where a tap looks, everything is kept.
    """

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.rematerialise = False
        self.layers = nnx.List([Layer(config, rngs=rngs) for _ in range(config.num_hidden_layers)])

    def __call__(
        self,
        hidden: Float[Array, "rows hidden"],
        bias: Float[Array, "batch 1 #tokens tokens"],
        *,
        tap: Tap = identity,
        dropout_key: Array | None = None,
    ) -> list[Float[Array, "rows hidden"]]:
        """The hidden states after every layer, as rows."""
        outputs = []
        for index, layer in enumerate(self.in_order()):
            with jax.named_scope(f"layers.{index}"):
                key = None if dropout_key is None else jax.random.fold_in(dropout_key, index)
                if self.rematerialise and tap is identity:
                    hidden = _rematerialised(layer, hidden, bias, key)
                else:
                    hidden = layer(hidden, bias, tap=within(tap, f"layers.{index}"), dropout_key=key)
            outputs.append(hidden)
        return outputs

    def in_order(self) -> list[Layer]:
        """The layers as they serve, one after the other."""
        return list(self.layers)


def _one(layer: Layer, hidden: Array, bias: Array, dropout_key: Array | None) -> Array:
    return layer(hidden, bias, dropout_key=dropout_key)


_rematerialised: Callable[[Layer, Array, Array, Array | None], Array] = nnx.remat(_one, graph=False)
