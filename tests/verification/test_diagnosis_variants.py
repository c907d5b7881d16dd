"""Faults in forms that ports have and the catalogue does not plant, and faults that are none of it: each by code of its own."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from small_models import inputs_for, small_model

from minibert import Bert, Trace, record
from minibert.model.tap import layer_output_names
from minibert.numpy_bert import NumpyBert, gelu_erf
from minibert.verification import Reference, diagnose, plant
from minibert.verification.oracle import computed_reference, oracle_of

pytestmark = pytest.mark.usefixtures("without_shape_checks")


@cache
def model(**fields: object) -> Bert:
    return small_model(0, **{"hidden_act": "gelu_erf", "layer_norm_eps": 1e-12, "num_hidden_layers": 3, **fields})


def trace_of(other: type[NumpyBert], bert: Bert | Path, batch: dict[str, np.ndarray], *, outputs_only: bool = False) -> Trace:
    """What another float32 implementation gives with the model's parameters."""
    oracle = oracle_of(bert)
    values: dict[str, np.ndarray] = {}

    def tap(name: str, value: np.ndarray) -> np.ndarray:
        values[name] = value.astype(np.float32)
        return value

    faulty = other(oracle.config, oracle.parameters, np.float64)
    reference = computed_reference(bert, batch)
    faulty(**reference.inputs, tap=tap)
    kept = ["embeddings.output", *layer_output_names(oracle.config.num_hidden_layers)] if outputs_only else list(reference.truth)
    return Trace({name: values[name] for name in kept if name in values}, reference.inputs)


class MergedWithoutTransposing(NumpyBert):
    def merge_heads(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0], x.shape[2], -1)


class InvertedBy10000(NumpyBert):
    def mask_bias(self, mask: np.ndarray) -> np.ndarray:
        return np.where(mask > 0, -10000.0, 0.0)[:, None, None, :]

    def softmax(self, x: np.ndarray) -> np.ndarray:
        return super().softmax(x.astype(np.float32).astype(np.float64))


class QueryAndKeyUntransposed(NumpyBert):
    def parameter(self, path: str) -> np.ndarray:
        found = super().parameter(path)
        return found.T if path in ("layers.1.attention.query.kernel", "layers.1.attention.key.kernel") else found


class FeedForwardUntransposed(NumpyBert):
    def parameter(self, path: str) -> np.ndarray:
        found = super().parameter(path)
        return found.T if path == "layers.1.feed_forward.intermediate.kernel" else found


@pytest.mark.parametrize(
    ("other", "fields", "first", "fault"),
    [
        (MergedWithoutTransposing, {}, "layers.0.attention.context", "heads_split_wrong"),
        (InvertedBy10000, {}, "layers.0.attention.probabilities", "mask_inverted"),
        (QueryAndKeyUntransposed, {}, "layers.1.attention.query", "kernel_untransposed"),
        (FeedForwardUntransposed, {"intermediate_size": 48}, "layers.1.feed_forward.intermediate", "kernel_untransposed"),
    ],
)
def test_other_forms_of_known_faults_are_named(other: type[NumpyBert], fields: dict[str, int], first: str, fault: str):
    bert = model(**fields, **({"hidden_size": 48, "num_attention_heads": 3} if fields else {}))
    batch = inputs_for(bert.config, 0)
    for outputs_only in (False, True):
        diagnosis = diagnose(trace_of(other, bert, batch, outputs_only=outputs_only), bert)
        assert diagnosis is not None
        assert diagnosis.fault == fault
        assert outputs_only or diagnosis.first == first


class OverHeads(NumpyBert):
    """The contraction `bhqd,bhkd->bhqk` on [batch, tokens, heads, head_dim]."""

    def attention(self, name: str, hidden: np.ndarray, mask: np.ndarray, tap: Callable) -> np.ndarray:
        query, key, value = (
            tap(f"{name}.{part}", self.split_heads(self.dense(f"{name}.{part}", hidden))).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = tap(f"{name}.scores", np.einsum("bhqd,bhkd->bhqk", query, key) / np.sqrt(query.shape[-1]))
        probabilities = tap(f"{name}.probabilities", self.softmax(scores))
        mixed = np.einsum("bhqk,bhkd->bhqd", probabilities, value)
        context = tap(f"{name}.context", mixed.reshape(hidden.shape))
        projection = tap(f"{name}.projection", self.dense(f"{name}.projection", context))
        return tap(f"{name}.output", self.layer_norm(f"{name}.layer_norm", projection + hidden))


def test_attention_over_heads_is_named_where_there_are_as_many_tokens_as_heads():
    bert = model()
    heads = bert.config.num_attention_heads
    batch = inputs_for(bert.config, 0, tokens=heads)
    trace = trace_of(OverHeads, bert, batch)
    assert trace["layers.0.attention.scores"].shape[1:] == (heads, heads, heads)
    diagnosis = diagnose(trace, bert)
    assert (diagnosis.first, diagnosis.fault) == ("layers.0.attention.scores", "attention_over_heads")


class UnbiasedDeviation(NumpyBert):
    def layer_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        scale, bias = self.parameter(f"{name}.scale"), self.parameter(f"{name}.bias")
        return (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, ddof=1, keepdims=True) * scale + bias


class WithoutQueryBias(NumpyBert):
    def dense(self, name: str, x: np.ndarray) -> np.ndarray:
        found = super().dense(name, x)
        return found - self.parameter(f"{name}.bias") if name.endswith(".query") else found


class AnotherEpsilon(NumpyBert):
    def layer_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        scale, bias = self.parameter(f"{name}.scale"), self.parameter(f"{name}.bias")
        return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 3e-4) * scale + bias


@pytest.mark.parametrize("outputs_only", [False, True])
@pytest.mark.parametrize("other", [UnbiasedDeviation, WithoutQueryBias, AnotherEpsilon])
def test_faults_that_are_not_known_get_no_name(other: type[NumpyBert], outputs_only: bool):
    bert = model()
    diagnosis = diagnose(trace_of(other, bert, inputs_for(bert.config, 0), outputs_only=outputs_only), bert)
    assert diagnosis is not None
    assert diagnosis.fault is None, diagnosis


class BiasInBfloat16(NumpyBert):
    """Every operation of its own rounded, the product of a dense layer before its bias."""

    def rounded(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)

    def rows(self, name: str, indices: np.ndarray) -> np.ndarray:
        return self.rounded(super().rows(name, indices))

    def parameter(self, path: str) -> np.ndarray:
        return self.rounded(super().parameter(path))

    def dense(self, name: str, x: np.ndarray) -> np.ndarray:
        product = self.rounded(self.rounded(x) @ self.parameter(f"{name}.kernel"))
        return self.rounded(product + self.parameter(f"{name}.bias"))

    def layer_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.rounded(super().layer_norm(name, self.rounded(x)))


def test_arithmetic_of_few_bits_that_is_not_reproduced_is_known_by_its_errors():
    bert = model()
    diagnosis = diagnose(trace_of(BiasInBfloat16, bert, inputs_for(bert.config, 0), outputs_only=True), bert)
    assert (diagnosis.fault, diagnosis.exact) == ("bfloat16", False)


def test_float16_is_called_so_where_the_trace_says_that_it_was_used():
    bert = model()
    batch = inputs_for(bert.config, 0)
    diagnosis = diagnose(record(model(dtype="float16"), batch), bert)
    assert diagnosis.fault == "float16"


def test_dropout_at_another_rate_than_the_configured_one_is_named():
    rates = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    bert, batch = model(), inputs_for(model().config, 0)
    trace = record(plant(model(**rates), "dropout_left_on", layer=1), batch)
    diagnosis = diagnose(Trace(dict(trace), trace.inputs), bert)
    assert (diagnosis.fault, diagnosis.regions) == ("dropout_left_on", ("layers.1",))
    assert "at rate 0.3" in diagnosis.detail


@pytest.mark.parametrize(
    ("order", "fault", "regions"),
    [
        ((1, 2, 0), "layers_swapped", ("layers.0", "layers.1", "layers.2")),
        ((2, 1, 0), "layers_swapped", ("layers.0", "layers.2")),
        ((0, 0, 0), "layer_duplicated", ("layers.1", "layers.2")),
    ],
)
def test_layers_in_another_order_are_all_named(order: tuple[int, ...], fault: str, regions: tuple[str, ...]):
    bert = model()
    faulty = nnx.clone(bert)
    faulty.encoder.layers = nnx.List([nnx.clone(bert.encoder.layers[place]) for place in order])
    diagnosis = diagnose(record(faulty, inputs_for(bert.config, 0)), bert)
    assert (diagnosis.fault, diagnosis.regions) == (fault, regions)


def test_the_embeddings_have_no_part_in_a_fault_of_all_layers():
    bert = model()
    faulty = bert
    for layer in range(3):
        faulty = plant(faulty, "gelu_tanh", layer=layer)
    batch = inputs_for(bert.config, 0)
    reference: Reference = computed_reference(bert, batch)
    diagnosis = diagnose(record(faulty, batch, ["layers.2.output"]), bert, reference)
    assert (diagnosis.fault, diagnosis.regions) == ("gelu_tanh", ("layers.0", "layers.1", "layers.2"))


GOOGLE = Path(__file__).parent.parent / "goldens" / "tensor_bundles" / "google"
"""A checkpoint with the heads of pretraining and tanh GELU."""


class ExactGeluInTheHead(NumpyBert):
    def masked_lm(self, hidden: np.ndarray, tap: Callable) -> np.ndarray:
        clean = self.activation
        self.activation = gelu_erf  # type: ignore[method-assign]
        logits = super().masked_lm(hidden, tap)
        self.activation = clean  # type: ignore[method-assign]
        return logits


class ExactGeluEverywhere(NumpyBert):
    def activation(self, x: np.ndarray) -> np.ndarray:
        return gelu_erf(x)


class HeadUntransposed(NumpyBert):
    def parameter(self, path: str) -> np.ndarray:
        found = super().parameter(path)
        return found.T if path == "heads.masked_lm.dense.kernel" else found


@pytest.mark.parametrize(
    ("other", "names", "fault", "regions"),
    [
        (ExactGeluInTheHead, None, "gelu_erf", ("heads.masked_lm",)),
        (ExactGeluInTheHead, ["layers.1.output", "heads.masked_lm.logits"], "gelu_erf", ("heads.masked_lm",)),
        (ExactGeluEverywhere, ["heads.masked_lm.logits"], "gelu_erf", ("layers.0", "layers.1", "heads.masked_lm")),
        (HeadUntransposed, None, "kernel_untransposed", ("heads.masked_lm",)),
    ],
)
def test_faults_of_the_masked_lm_head_are_named(
    other: type[NumpyBert], names: list[str] | None, fault: str, regions: tuple[str, ...]
):
    batch = {"input_ids": np.array([[2, 9, 4, 11, 3], [2, 30, 31, 3, 0]]), "attention_mask": np.array([[1] * 5, [1] * 4 + [0]])}
    trace = trace_of(other, GOOGLE, batch)
    diagnosis = diagnose(Trace({name: trace[name] for name in names or trace}, trace.inputs), GOOGLE)
    assert (diagnosis.fault, diagnosis.regions) == (fault, regions)
