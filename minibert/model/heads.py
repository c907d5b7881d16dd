"""The task heads: what BERT's hidden states become for a task (Devlin et al. 2018, sections 3.1 and 4, figure 4).

A head takes what the encoder gives, `Encoded`, and returns logits. Its taps are `heads.{name}.logits`, and of the masked language
model also `.dense`, `.activation` and `.output`. A head of your own is any NNX module that is called the same way:

    class TwoLayers(nnx.Module):
        def __init__(self, config, num_labels, rngs):
            self.inner = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs)
            self.outer = Dense(config.hidden_size, num_labels, config, rngs=rngs)

        def __call__(self, encoded, *, tap=identity, dropout_key=None):
            first, second = split_key(dropout_key, 2)
            inner = jnp.tanh(self.inner(dropout(encoded.last_hidden_state[:, 0], 0.1, first)))
            return tap("logits", self.outer(dropout(inner, 0.1, second)))

    model = BertWithHeads(bert, {"mine": TwoLayers(bert.config, 3, nnx.Rngs(0))})

A new head's kernels are drawn as transformers draws them, from a whole normal of `initializer_range`. Google's code cuts it at
two standard deviations, as it does for the encoder; what is left spreads by 0.88 of that, and such a head learns slower: of
WNUT-17's tags, the same rows in the same order, the loss was 4 % higher over the first thirty steps and 6 to 12 % after them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from minibert.config import BertConfig
from minibert.model.activations import ACTIVATION_FUNCTIONS
from minibert.model.dropout import dropout
from minibert.model.layer_norm import LayerNorm
from minibert.model.numerics import Dense, constant_parameter, product
from minibert.model.tap import Tap, identity


class Encoded(NamedTuple):
    """What a head may use."""

    last_hidden_state: Float[Array, "batch tokens hidden"]
    pooler_output: Float[Array, "batch hidden"] | None
    word_table: Float[Array, "vocab hidden"]
    """The word embeddings, which the masked language model shares."""


class MaskedLanguageModel(nnx.Module):
    """`LayerNorm(activation(x W + b)) Eᵀ + c`, E the word embeddings (section 3.1, task 1). Logits [batch, tokens, vocab].

    Source: google-research/bert, run_pretraining.py, get_masked_lm_output. Taps: dense, activation, output, logits.
    """

    needs_pooler = False

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.config = config
        self.dense = Dense(config.hidden_size, config.hidden_size, config, rngs=rngs, is_cut=False)
        self.layer_norm = LayerNorm(config, rngs=rngs)
        self.bias = constant_parameter(0.0, config.vocab_size, config, rngs)

    def __call__(
        self, encoded: Encoded, *, tap: Tap = identity, dropout_key: Array | None = None
    ) -> Float[Array, "batch tokens vocab"]:
        """A score for every token of the vocabulary at every position."""
        batch, tokens, hidden = encoded.last_hidden_state.shape

        def seen(name: str, rows: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
            return tap(name, rows.reshape(batch, tokens, -1)).reshape(batch * tokens, -1)

        dense = seen("dense", self.dense(encoded.last_hidden_state.reshape(-1, hidden)))
        activation = seen("activation", ACTIVATION_FUNCTIONS[self.config.hidden_act](dense))
        output = seen("output", self.layer_norm(activation))
        logits = product(output, encoded.word_table.T, self.config)
        return tap("logits", (logits + self.bias[...].astype(logits.dtype)).reshape(batch, tokens, -1))


class NextSentence(nnx.Module):
    """Whether the second text follows the first (label 0) or not (1): `pooled W + b` (section 3.1, task 2). Logits [batch, 2]."""

    needs_pooler = True

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        self.dense = _few_rows(config, 2, rngs)

    def __call__(self, encoded: Encoded, *, tap: Tap = identity, dropout_key: Array | None = None) -> Float[Array, "batch 2"]:
        """The two scores of every pair."""
        return tap("logits", self.dense(_pooled(encoded)))


class SequenceClassification(nnx.Module):
    """`dropout(pooled) W + b` (section 4.1): one score a label and text, or one number. Logits [batch, num_labels]."""

    needs_pooler = True

    def __init__(self, config: BertConfig, num_labels: int, dropout_prob: float, *, rngs: nnx.Rngs | None):
        self.dropout_prob = dropout_prob
        self.dense = _few_rows(config, num_labels, rngs)

    def __call__(
        self, encoded: Encoded, *, tap: Tap = identity, dropout_key: Array | None = None
    ) -> Float[Array, "batch num_labels"]:
        """A score for every label of every text."""
        return tap("logits", self.dense(dropout(_pooled(encoded), self.dropout_prob, dropout_key)))


class MultipleChoice(SequenceClassification):
    """`dropout(pooled) W + b`, one score for each of a question's choices (section 4.4). Logits [batch · choices, 1].

    `BertWithHeads` takes a batch [batch, choices, tokens] and makes them [batch, choices].
    """

    def __init__(self, config: BertConfig, dropout_prob: float, *, rngs: nnx.Rngs | None):
        super().__init__(config, 1, dropout_prob, rngs=rngs)


class TokenClassification(nnx.Module):
    """`dropout(x) W + b` at every position (section 5.3). Logits [batch, tokens, num_labels]."""

    needs_pooler = False

    def __init__(self, config: BertConfig, num_labels: int, dropout_prob: float, *, rngs: nnx.Rngs | None):
        self.dropout_prob = dropout_prob
        self.dense = Dense(config.hidden_size, num_labels, config, rngs=rngs, is_cut=False)

    def __call__(
        self, encoded: Encoded, *, tap: Tap = identity, dropout_key: Array | None = None
    ) -> Float[Array, "batch tokens num_labels"]:
        """A score for every label of every token."""
        batch, tokens, hidden = encoded.last_hidden_state.shape
        rows = dropout(encoded.last_hidden_state, self.dropout_prob, dropout_key).reshape(-1, hidden)
        return tap("logits", self.dense(rows).reshape(batch, tokens, -1))


class QuestionAnswering(TokenClassification):
    """`x W + b`: how much each token is the first, and the last, of the answer (section 4.2). Logits [batch, tokens, 2]."""

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs | None):
        super().__init__(config, 2, 0.0, rngs=rngs)


def _few_rows(config: BertConfig, out_features: int, rngs: nnx.Rngs | None) -> Dense:
    """A dense layer for a row a text: so few that summing in parts costs nothing."""
    return Dense(config.hidden_size, out_features, config, rngs=rngs, partial_sums=8, is_cut=False)


def _pooled(encoded: Encoded) -> Float[Array, "batch hidden"]:
    assert encoded.pooler_output is not None, "BertWithHeads checks that there is one"
    return encoded.pooler_output


HEADS: dict[str, tuple[str, ...]] = {
    "masked_lm": ("masked_lm",),
    "next_sentence": ("next_sentence",),
    "pretraining": ("masked_lm", "next_sentence"),
    "sequence_classification": ("sequence_classification",),
    "multiple_choice": ("multiple_choice",),
    "token_classification": ("token_classification",),
    "question_answering": ("question_answering",),
}
"""What `minibert.load(…, head=…)` may be told, and the heads that it puts on the encoder."""


def new_head(name: str, config: BertConfig, num_labels: int, dropout_prob: float, *, rngs: nnx.Rngs | None) -> nnx.Module:
    """One of the heads of HEADS by its name; without `rngs` its parameters have no values yet."""
    makers: dict[str, Callable[[], nnx.Module]] = {
        "masked_lm": lambda: MaskedLanguageModel(config, rngs=rngs),
        "next_sentence": lambda: NextSentence(config, rngs=rngs),
        "sequence_classification": lambda: SequenceClassification(config, num_labels, dropout_prob, rngs=rngs),
        "multiple_choice": lambda: MultipleChoice(config, dropout_prob, rngs=rngs),
        "token_classification": lambda: TokenClassification(config, num_labels, dropout_prob, rngs=rngs),
        "question_answering": lambda: QuestionAnswering(config, rngs=rngs),
    }
    with jax.named_scope(f"heads.{name}"):
        return makers[name]()
