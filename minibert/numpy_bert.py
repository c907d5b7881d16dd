"""BERT in plain NumPy: the encoder, the pooler and the two heads of pretraining, to be read beside the paper.

It shares no arithmetic with `minibert.model` and is float64 by default, so that it can say what the true value of every
intermediate is. Names of parameters and of intermediates are those of `minibert.model.tap`. `erf` is SciPy's, which comes
with JAX: the C library's, right to about one unit in the last place of a float64.

    oracle = NumpyBert(config, parameters)
    output = oracle(**batch, tap=lambda name, value: value)
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import erf

from minibert.config import BertConfig

Tap = Callable[[str, np.ndarray], np.ndarray]


def identity(name: str, value: np.ndarray) -> np.ndarray:
    """The tap that neither looks nor changes."""
    return value


def gelu_erf(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The exact GELU of Hendrycks & Gimpel 2016, `x · Φ(x)`: the share of a standard normal below x, times x."""
    return x * 0.5 * (1.0 + erf(x / math.sqrt(2.0))).astype(x.dtype)


def gelu_tanh(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The approximation in google-research/bert, modeling.py."""
    return x * 0.5 * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def relu(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """`max(x, 0)`."""
    return np.maximum(x, 0.0)


def silu(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """`x / (1 + exp(−x))`, with an exponential that cannot overflow."""
    return x * 0.5 * (1.0 + np.tanh(0.5 * x))


ACTIVATIONS = {"gelu_erf": gelu_erf, "gelu_tanh": gelu_tanh, "relu": relu, "silu": silu}


class NumpyOutput(NamedTuple):
    """What a forward pass gives; what the parameters have no part for is None."""

    hidden_states: list[Float[np.ndarray, "batch tokens hidden"]]
    """`num_hidden_layers + 1` entries: the embeddings first, then every layer's output."""
    pooler_output: Float[np.ndarray, "batch hidden"] | None
    masked_lm_logits: Float[np.ndarray, "batch tokens vocab"] | None
    next_sentence_logits: Float[np.ndarray, "batch 2"] | None


class NumpyBert:
    """A BERT whose every step is one method; a method's `name` says where in the model it stands.

    `parameters` maps the paths of `minibert.checkpoints.names` to arrays, dense kernels as [in, out]. All arithmetic is in
    `dtype`; parameters of another one are converted when they are used.
    """

    def __init__(self, config: BertConfig, parameters: Mapping[str, np.ndarray], dtype: Any = np.float64):
        self.config = config
        self.parameters = parameters
        self.dtype = np.dtype(dtype)

    def __call__(
        self,
        input_ids: Integer[np.ndarray, "batch tokens"],
        attention_mask: Integer[np.ndarray, "batch tokens"] | None = None,
        token_type_ids: Integer[np.ndarray, "batch tokens"] | None = None,
        position_ids: Integer[np.ndarray, "batch tokens"] | None = None,
        *,
        tap: Tap = identity,
    ) -> NumpyOutput:
        """The encoder on a batch, and whichever of pooler and heads the parameters hold."""
        mask = np.ones_like(input_ids) if attention_mask is None else attention_mask
        types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        positions = np.broadcast_to(np.arange(input_ids.shape[1]), input_ids.shape) if position_ids is None else position_ids
        hidden = self.embeddings(input_ids, types, positions, tap)  # [batch, tokens, hidden]
        hidden_states = [hidden]
        for index in range(self.config.num_hidden_layers):
            hidden = self.layer(f"layers.{index}", hidden, mask, tap)
            hidden_states.append(hidden)
        pooled = self.pooler(hidden, tap) if self.has("pooler") else None
        masked_lm = self.masked_lm(hidden, tap) if self.has("heads.masked_lm") else None
        next_sentence = None
        if pooled is not None and self.has("heads.next_sentence"):
            next_sentence = self.next_sentence(pooled, tap)
        return NumpyOutput(hidden_states, pooled, masked_lm, next_sentence)

    def embeddings(
        self,
        input_ids: Integer[np.ndarray, "batch tokens"],
        token_type_ids: Integer[np.ndarray, "batch tokens"],
        position_ids: Integer[np.ndarray, "batch tokens"],
        tap: Tap,
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """Three tables, added and normalised (BERT paper, section 3 and figure 2)."""
        word = tap("embeddings.word", self.rows("embeddings.word", input_ids))  # each [batch, tokens, hidden]
        position = tap("embeddings.position", self.rows("embeddings.position", position_ids))
        token_type = tap("embeddings.token_type", self.rows("embeddings.token_type", token_type_ids))
        total = tap("embeddings.sum", (word + token_type) + position)
        return tap("embeddings.output", self.layer_norm("embeddings.layer_norm", total))

    def layer(
        self, name: str, hidden: Float[np.ndarray, "batch tokens hidden"], mask: Integer[np.ndarray, "batch tokens"], tap: Tap
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """One Transformer layer: attention, then feed-forward, each with its residual and LayerNorm behind it."""
        attended = self.attention(f"{name}.attention", hidden, mask, tap)  # [batch, tokens, hidden]
        return tap(f"{name}.output", self.feed_forward(f"{name}.feed_forward", attended, tap))

    def attention(
        self, name: str, hidden: Float[np.ndarray, "batch tokens hidden"], mask: Integer[np.ndarray, "batch tokens"], tap: Tap
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """Multi-head self-attention (Vaswani et al. 2017, section 3.2): `softmax(Q Kᵀ / sqrt(head_dim) + bias) V`."""
        query, key, value = (  # each [batch, heads, tokens, head_dim]
            tap(f"{name}.{part}", self.split_heads(self.dense(f"{name}.{part}", hidden))) for part in ("query", "key", "value")
        )
        scores = tap(f"{name}.scores", self.scores(query, key))  # [batch, heads, tokens, tokens]
        probabilities = tap(f"{name}.probabilities", self.softmax(scores + self.mask_bias(mask)))
        context = tap(f"{name}.context", self.merge_heads(self.mix(probabilities, value)))  # [batch, tokens, hidden]
        projection = tap(f"{name}.projection", self.dense(f"{name}.projection", context))
        return tap(f"{name}.output", self.layer_norm(f"{name}.layer_norm", self.residual(name, projection, hidden)))

    def feed_forward(
        self, name: str, hidden: Float[np.ndarray, "batch tokens hidden"], tap: Tap
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """Two dense layers at every position (section 3.3), with BERT's activation between them."""
        intermediate = tap(f"{name}.intermediate", self.dense(f"{name}.intermediate", hidden))  # [batch, tokens, intermediate]
        activation = tap(f"{name}.activation", self.activation(intermediate))
        projection = tap(f"{name}.projection", self.dense(f"{name}.projection", activation))  # [batch, tokens, hidden]
        return tap(f"{name}.output", self.layer_norm(f"{name}.layer_norm", self.residual(name, projection, hidden)))

    def pooler(self, hidden: Float[np.ndarray, "batch tokens hidden"], tap: Tap) -> Float[np.ndarray, "batch hidden"]:
        """The first token's last hidden state through a dense layer and tanh."""
        dense = tap("pooler.dense", self.dense("pooler.dense", hidden[:, 0]))  # [batch, hidden]
        return tap("pooler.output", np.tanh(dense))

    def masked_lm(self, hidden: Float[np.ndarray, "batch tokens hidden"], tap: Tap) -> Float[np.ndarray, "batch tokens vocab"]:
        """Scores of every token of the vocabulary at every position (section 3.1, task 1); the word table is the last kernel."""
        name = "heads.masked_lm"
        dense = tap(f"{name}.dense", self.dense(f"{name}.dense", hidden))  # [batch, tokens, hidden]
        activation = tap(f"{name}.activation", self.activation(dense))
        normalised = tap(f"{name}.output", self.layer_norm(f"{name}.layer_norm", activation))
        word = self.parameter("embeddings.word")  # [vocab, hidden]
        return tap(f"{name}.logits", self.product(normalised, word.T) + self.parameter(f"{name}.bias"))

    def next_sentence(self, pooled: Float[np.ndarray, "batch hidden"], tap: Tap) -> Float[np.ndarray, "batch 2"]:
        """Whether the second text follows the first, and whether it does not (section 3.1, task 2)."""
        return tap("heads.next_sentence.logits", self.dense("heads.next_sentence.dense", pooled))

    def has(self, part: str) -> bool:
        """Whether there are parameters of this part."""
        return any(path.startswith(f"{part}.") for path in self.parameters)

    def rows(self, name: str, indices: Integer[np.ndarray, "batch tokens"]) -> Float[np.ndarray, "batch tokens hidden"]:
        """The rows of a table."""
        return self.parameters[name][indices].astype(self.dtype)

    def dense(self, name: str, x: Float[np.ndarray, "*batch inputs"]) -> Float[np.ndarray, "*batch outputs"]:
        """`x W + b` over the last axis."""
        return self.product(x, self.parameter(f"{name}.kernel")) + self.parameter(f"{name}.bias")

    def layer_norm(self, name: str, x: Float[np.ndarray, "*batch hidden"]) -> Float[np.ndarray, "*batch hidden"]:
        """Ba et al. 2016 over the last axis; the variance takes two passes, for E[x²] − E[x]² loses digits."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)  # [*batch, 1]
        normalised = centred / np.sqrt(variance + self.dtype.type(self.config.layer_norm_eps))
        return normalised * self.parameter(f"{name}.scale") + self.parameter(f"{name}.bias")

    def activation(self, x: Float[np.ndarray, "*batch width"]) -> Float[np.ndarray, "*batch width"]:
        """The configured activation, value by value."""
        return ACTIVATIONS[self.config.hidden_act](x)

    def residual(
        self, name: str, x: Float[np.ndarray, "batch tokens hidden"], before: Float[np.ndarray, "batch tokens hidden"]
    ) -> Float[np.ndarray, "batch tokens hidden"]:
        """What a part computed, added to what it was given."""
        return x + before

    def split_heads(self, x: Float[np.ndarray, "batch tokens hidden"]) -> Float[np.ndarray, "batch heads tokens head_dim"]:
        """Each token's vector in pieces, one for each head, and the heads before the tokens."""
        batch, tokens, _ = x.shape
        return x.reshape(batch, tokens, self.config.num_attention_heads, self.config.head_dim).transpose(0, 2, 1, 3)

    def merge_heads(self, x: Float[np.ndarray, "batch heads tokens head_dim"]) -> Float[np.ndarray, "batch tokens hidden"]:
        """The inverse of `split_heads`."""
        batch, _, tokens, _ = x.shape
        return x.transpose(0, 2, 1, 3).reshape(batch, tokens, self.config.hidden_size)

    def scores(
        self, query: Float[np.ndarray, "batch heads tokens head_dim"], key: Float[np.ndarray, "batch heads tokens head_dim"]
    ) -> Float[np.ndarray, "batch heads tokens tokens"]:
        """How well each query fits each key, scaled by the square root of the head's width."""
        return self.product(query, key.swapaxes(-1, -2)) / self.dtype.type(math.sqrt(self.config.head_dim))

    def mask_bias(self, mask: Integer[np.ndarray, "batch tokens"]) -> Float[np.ndarray, "batch 1 1 tokens"]:
        """0 for real keys and a number so low for padding that no score shows beside it: a text of padding attends to all alike.

        Half of the lowest finite one, so that nothing overflows when the scores are added.
        """
        return np.where(mask > 0, 0.0, np.finfo(self.dtype).min / 2).astype(self.dtype)[:, None, None, :]

    def softmax(self, x: Float[np.ndarray, "batch heads tokens tokens"]) -> Float[np.ndarray, "batch heads tokens tokens"]:
        """Positive, with a sum of 1 over the last axis; the largest is taken off first, so that nothing overflows."""
        weights = np.exp(x - x.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)

    def mix(
        self,
        probabilities: Float[np.ndarray, "batch heads tokens tokens"],
        value: Float[np.ndarray, "batch heads tokens head_dim"],
    ) -> Float[np.ndarray, "batch heads tokens head_dim"]:
        """Every token's mixture of all tokens' values."""
        return self.product(probabilities, value)

    def product(
        self, left: Float[np.ndarray, "*batch rows terms"], right: Float[np.ndarray, "*#batch terms columns"]
    ) -> Float[np.ndarray, "*batch rows columns"]:
        """`left @ right`: every product of matrices goes through here."""
        return left @ right

    def parameter(self, path: str) -> Float[np.ndarray, "..."]:
        """A parameter in the dtype of the arithmetic."""
        return self.parameters[self.path(path)].astype(self.dtype, copy=False)

    @staticmethod
    def path(name: str) -> str:
        """Where the parameters of a part are: in the module tree the layers belong to the encoder."""
        return f"encoder.{name}" if name.startswith("layers.") else name
