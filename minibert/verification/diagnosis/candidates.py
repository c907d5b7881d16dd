"""What may be wrong with a BERT, as changes of the NumPy one: `diagnosis` tries each of them where two traces part.

A candidate is the NumPy BERT with one thing done in another way. Most change a method or a parameter. The others need to see what
was recorded: what dropout left out, which way a variance was rounded; their `adjust` fits the few unknowns that they have.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from minibert.config import ACTIVATIONS
from minibert.numpy_bert import NumpyBert, Tap
from minibert.verification.diagnosis.fitting import Adjust, dropout, one_pass_variance
from minibert.verification.diagnosis.rounding import (
    ROUNDINGS,
    RoundedEverywhere,
    RoundedParameters,
    RoundedProducts,
    RoundedResults,
    Rounding,
)

EPSILONS = {"epsilon_1e_5": 1e-5, "epsilon_1e_6": 1e-6, "epsilon_1e_12": 1e-12}
POSITION_OFFSETS = {"positions_off_by_one": 1, "positions_off_by_two": 2}
SHARE_OF_ROUNDED = 0.98
"""A number almost between two neighbours of few bits falls to either, and what is computed from it differs by as much."""

SQUARE_KERNELS = ("query", "key", "value", "projection")
MASKED_LM = "heads.masked_lm"
DROPOUT_RATES = (0.1, 0.2, 0.3, 0.5)
"""Which are tried beside those of the configuration."""


@dataclass(frozen=True)
class Candidate:
    """One thing that may be wrong: the name of the fault in `faults.FAULTS`, what exactly, and a BERT that does it.

    `share` of the values of each name have to be explained: all, but where a rounding of the operands may fall either way.
    `regions` are those in which it does anything.
    """

    fault: str
    detail: str
    bert: NumpyBert
    adjust: Adjust | None = None
    share: float = 1.0
    regions: tuple[str, ...] = ()


def changed(oracle: NumpyBert, **methods: Callable[..., Any]) -> NumpyBert:
    """A copy that does some steps by other functions, which are given the unchanged oracle and the method's arguments."""
    bert = copy.copy(oracle)
    for name, method in methods.items():
        setattr(bert, name, partial(method, oracle))
    return bert


def configured(oracle: NumpyBert, **fields: Any) -> NumpyBert:
    """A copy with other fields of the configuration."""
    return NumpyBert(oracle.config.replace(**fields), oracle.parameters, oracle.dtype)


def candidates(oracle: NumpyBert, regions: Sequence[str]) -> Iterator[Candidate]:
    """Everything that may be wrong in some regions, "embeddings", "layers.3", "pooler" or a head, in all of them alike.

    What has nothing to be fitted comes first, so that it is preferred.
    """
    layers = [region for region in regions if region.startswith("layers.")]
    if "embeddings" in regions:
        yield from _acting_in(["embeddings"], _of_embeddings(oracle))
    if layers:
        yield from _acting_in(layers, _of_attention(oracle, [f"{layer}.attention" for layer in layers]))
        yield from _acting_in(layers, _of_layer(oracle, layers))
    if "pooler" in regions:
        yield from _acting_in(["pooler"], [_untransposed(oracle, ["pooler.dense"])])
    if MASKED_LM in regions:
        yield from _acting_in([MASKED_LM], [_untransposed(oracle, [f"{MASKED_LM}.dense"])])
    activated = [region for region in regions if region in layers or region == MASKED_LM]
    if activated:
        yield from _acting_in(activated, _of_activation(oracle))
    # The LayerNorms of one kind by themselves, or all of them.
    kinds = [
        ["embeddings.layer_norm"] if "embeddings" in regions else [],
        [f"{layer}.attention.layer_norm" for layer in layers],
        [f"{layer}.feed_forward.layer_norm" for layer in layers],
        [f"{MASKED_LM}.layer_norm"] if MASKED_LM in regions else [],
    ]
    places = [names for names in kinds if names]
    if len(places) > 1:
        places.append([name for names in places for name in names])
    for names in places:
        yield from _acting_in(_regions_of(names), _of_layer_norm(oracle, names))
    for rounding in ROUNDINGS:
        yield from _acting_in(regions, _rounded(oracle, rounding))
    for names in places:
        one_pass = Candidate("one_pass_variance", f"in {in_words(names)}", oracle, one_pass_variance(names))
        yield from _acting_in(_regions_of(names), [one_pass])
    if layers or "embeddings" in regions:
        yield from _acting_in(regions, _dropping(oracle, regions))


def _acting_in(regions: Sequence[str], some: Iterable[Candidate]) -> Iterator[Candidate]:
    return (dataclasses.replace(candidate, regions=tuple(regions)) for candidate in some)


def _regions_of(names: list[str]) -> list[str]:
    """The regions of some LayerNorms."""
    return list(
        dict.fromkeys(name.removesuffix(".layer_norm").removesuffix(".attention").removesuffix(".feed_forward") for name in names)
    )


def _dropping(oracle: NumpyBert, regions: Sequence[str]) -> Iterator[Candidate]:
    config = oracle.config
    configured_rates = (config.hidden_dropout_prob, config.attention_probs_dropout_prob)
    for hidden, attention in dict.fromkeys([configured_rates, *((rate, rate) for rate in DROPOUT_RATES)]):
        rates = f"at rate {hidden:g}" if hidden == attention else f"at rates {hidden:g} and {attention:g}"
        yield Candidate("dropout_left_on", f"in {in_words(regions)}, {rates}", oracle, dropout(hidden, attention))


def with_weights_of(oracle: NumpyBert, others: Mapping[str, str]) -> NumpyBert:
    """The oracle with the weights of other layers in some layers: a mapping of the one's name to the other's."""

    def parameter(clean: NumpyBert, path: str) -> np.ndarray:
        layer = ".".join(path.split(".")[:2])
        return clean.parameter(path.replace(layer, others.get(layer, layer), 1))

    return changed(oracle, parameter=parameter)


def _of_embeddings(oracle: NumpyBert) -> Iterator[Candidate]:
    for fault, offset in POSITION_OFFSETS.items():

        def shifted(
            clean: NumpyBert, ids: np.ndarray, types: np.ndarray, positions: np.ndarray, tap: Tap, by: int = offset
        ) -> Any:
            return clean.embeddings(ids, types, np.minimum(positions + by, clean.config.max_position_embeddings - 1), tap)

        yield Candidate(fault, f"by {offset}", changed(oracle, embeddings=shifted))
    for part in ("token_type", "position"):

        def rows(clean: NumpyBert, name: str, indices: np.ndarray, missing: str = f"embeddings.{part}") -> np.ndarray:
            found = clean.rows(name, indices)
            return np.zeros_like(found) if name == missing else found

        yield Candidate(f"{part}_missing", f"embeddings.{part} is not added", changed(oracle, rows=rows))

    def first_type(clean: NumpyBert, ids: np.ndarray, types: np.ndarray, positions: np.ndarray, tap: Tap) -> Any:
        return clean.embeddings(ids, np.zeros_like(types), positions, tap)

    yield Candidate("token_type_ignored", "every token gets row 0", changed(oracle, embeddings=first_type))


def _of_attention(oracle: NumpyBert, names: list[str]) -> Iterator[Candidate]:
    others = {f"{name}.query": f"{name}.key" for name in names} | {f"{name}.key": f"{name}.query" for name in names}

    def exchanged(clean: NumpyBert, part: str, x: np.ndarray) -> np.ndarray:
        return clean.dense(others.get(part, part), x)

    where = f"in {in_words(names)}"
    yield Candidate("query_key_swapped", where, changed(oracle, dense=exchanged))
    groups = [combinations(SQUARE_KERNELS[:count], size) for count, size in ((4, 1), (3, 2), (3, 3), (4, 4))]
    for kernels in [kernels for group in groups for kernels in group]:
        yield _untransposed(oracle, [f"{name}.{kernel}" for name in names for kernel in kernels])
    for split, merge in _head_orders():
        yield Candidate("heads_split_wrong", where, changed(oracle, split_heads=split, merge_heads=merge))
    yield Candidate("attention_over_heads", where, changed(oracle, attention=_attention_over_heads))
    width = oracle.config.head_dim
    for fault, factor in (
        ("scale_missing", np.sqrt(width)),
        ("scale_by_hidden_size", np.sqrt(width / oracle.config.hidden_size)),
    ):

        def scores(clean: NumpyBert, query: np.ndarray, key: np.ndarray, factor: float = factor) -> np.ndarray:
            return clean.scores(query, key) * factor

        yield Candidate(fault, where, changed(oracle, scores=scores))
    masks: dict[str, Callable[[NumpyBert, np.ndarray], np.ndarray]] = {
        "mask_absent": lambda clean, mask: np.zeros_like(clean.mask_bias(mask)),
        "mask_inverted": lambda clean, mask: clean.mask_bias(1 - mask),
    }
    for fault, bias in masks.items():
        yield Candidate(fault, where, changed(oracle, mask_bias=bias))
    for fault, shown, hidden in (("mask_minus_10000", 0.0, -10000.0), ("mask_inverted", -10000.0, 0.0)):

        def finite(clean: NumpyBert, mask: np.ndarray, shown: float = shown, hidden: float = hidden) -> np.ndarray:
            return np.where(mask > 0, shown, hidden)[:, None, None, :]

        # float32 has steps of 1e-3 at 10,000: which scores differ behind the mask depends on that rounding.
        weak = changed(oracle, mask_bias=finite, softmax=lambda clean, x: clean.softmax(x.astype(np.float32).astype(np.float64)))
        yield Candidate(fault, where, weak, share=SHARE_OF_ROUNDED)


def _of_activation(oracle: NumpyBert) -> Iterator[Candidate]:
    for activation in ACTIVATIONS:
        if activation != oracle.config.hidden_act:
            yield Candidate(activation, f"instead of {oracle.config.hidden_act}", configured(oracle, hidden_act=activation))


def _of_layer(oracle: NumpyBert, layers: list[str]) -> Iterator[Candidate]:
    def pre_attention(clean: NumpyBert, name: str, hidden: np.ndarray, mask: np.ndarray, tap: Tap) -> np.ndarray:
        return _without_norm(clean, hidden).attention(name, clean.layer_norm(f"{name}.layer_norm", hidden), mask, tap)

    def pre_feed_forward(clean: NumpyBert, name: str, hidden: np.ndarray, tap: Tap) -> np.ndarray:
        return _without_norm(clean, hidden).feed_forward(name, clean.layer_norm(f"{name}.layer_norm", hidden), tap)

    other_order = changed(oracle, attention=pre_attention, feed_forward=pre_feed_forward)
    yield Candidate("pre_layer_norm", f"in {in_words(layers)}", other_order)
    if oracle.config.intermediate_size == oracle.config.hidden_size:
        for kernels in (["intermediate"], ["projection"], ["intermediate", "projection"]):
            yield _untransposed(oracle, [f"{layer}.feed_forward.{kernel}" for layer in layers for kernel in kernels])
    parts = [[f"{layer}.attention" for layer in layers], [f"{layer}.feed_forward" for layer in layers]]
    for names in (*parts, parts[0] + parts[1]):

        def residual(clean: NumpyBert, name: str, x: np.ndarray, before: np.ndarray, names: list[str] = names) -> np.ndarray:
            return x if name in names else clean.residual(name, x, before)

        yield Candidate("residual_missing", f"in {in_words(names)}", changed(oracle, residual=residual))


def _without_norm(clean: NumpyBert, before: np.ndarray) -> NumpyBert:
    """Neither normalises behind the residual nor adds what it was given, but `before`."""
    return changed(clean, layer_norm=lambda _, name, x: x, residual=lambda _, name, x, given: x + before)


def _of_layer_norm(oracle: NumpyBert, names: list[str]) -> Iterator[Candidate]:
    for fault, epsilon in EPSILONS.items():
        if epsilon != oracle.config.layer_norm_eps:
            other = configured(oracle, layer_norm_eps=epsilon)
            yield Candidate(fault, f"in {in_words(names)}", _norm_of(oracle, other, names))
    swapped: dict[str, np.ndarray] = {}
    for name in names:
        path = NumpyBert.path(name)
        swapped |= {f"{path}.scale": oracle.parameters[f"{path}.bias"], f"{path}.bias": oracle.parameters[f"{path}.scale"]}
    other = NumpyBert(oracle.config, {**oracle.parameters, **swapped}, oracle.dtype)
    yield Candidate("gamma_beta_swapped", f"in {in_words(names)}", other)


def _norm_of(oracle: NumpyBert, other: NumpyBert, names: list[str]) -> NumpyBert:
    """The oracle with some LayerNorms done by another one."""
    return changed(oracle, layer_norm=lambda clean, name, x: (other if name in names else clean).layer_norm(name, x))


def _untransposed(oracle: NumpyBert, names: list[str]) -> Candidate:
    kernels = {f"{NumpyBert.path(name)}.kernel": oracle.parameters[f"{NumpyBert.path(name)}.kernel"].T for name in names}
    other = NumpyBert(oracle.config, {**oracle.parameters, **kernels}, oracle.dtype)
    return Candidate("kernel_untransposed", f"of {in_words(names)}", other)


def _head_orders() -> Iterator[tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]]:
    """Wrong ways to split heads, each with the merging that undoes it and with the right one; then the reverse."""

    def interleaved(clean: NumpyBert, x: np.ndarray) -> np.ndarray:
        heads, width = clean.config.num_attention_heads, clean.config.head_dim
        return x.reshape(*x.shape[:2], width, heads).transpose(0, 3, 1, 2)

    def from_interleaved(clean: NumpyBert, x: np.ndarray) -> np.ndarray:
        return x.transpose(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], -1)

    def reshaped(clean: NumpyBert, x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0], clean.config.num_attention_heads, x.shape[1], clean.config.head_dim)

    def from_reshaped(clean: NumpyBert, x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0], x.shape[2], -1)

    def merged(clean: NumpyBert, x: np.ndarray) -> np.ndarray:
        return clean.merge_heads(x)

    def split(clean: NumpyBert, x: np.ndarray) -> np.ndarray:
        return clean.split_heads(x)

    yield interleaved, from_interleaved
    yield interleaved, merged
    yield reshaped, from_reshaped
    yield reshaped, merged
    yield split, from_interleaved
    yield split, from_reshaped


def _attention_over_heads(clean: NumpyBert, name: str, hidden: np.ndarray, mask: np.ndarray, tap: Tap) -> np.ndarray:
    """Each token by itself: its heads attend to each other, which no mask concerns."""
    query, key, value = (
        tap(f"{name}.{part}", clean.split_heads(clean.dense(f"{name}.{part}", hidden))).swapaxes(1, 2)
        for part in ("query", "key", "value")
    )
    scores = tap(f"{name}.scores", clean.scores(query, key))  # [batch, tokens, heads, heads]
    probabilities = tap(f"{name}.probabilities", clean.softmax(scores))
    mixed = clean.mix(probabilities, value).swapaxes(1, 2)  # [batch, heads, tokens, head_dim]
    context = tap(f"{name}.context", clean.merge_heads(mixed))
    projection = tap(f"{name}.projection", clean.dense(f"{name}.projection", context))
    return tap(f"{name}.output", clean.layer_norm(f"{name}.layer_norm", clean.residual(name, projection, hidden)))


def _rounded(oracle: NumpyBert, rounding: Rounding) -> Iterator[Candidate]:
    for divide_first in (True, False):
        rounded = RoundedProducts(oracle, rounding.round, divide_first=divide_first)
        yield Candidate(rounding.fault, rounding.operands, rounded, share=SHARE_OF_ROUNDED)
    if rounding.stores:
        results = RoundedResults(oracle, rounding.round, divide_first=True)
        yield Candidate(rounding.fault, "operands and results of products", results, share=SHARE_OF_ROUNDED)
        yield Candidate(rounding.fault, "parameters alone", RoundedParameters(oracle, rounding.round))
        everything = RoundedEverywhere(oracle, rounding.round)
        yield Candidate(rounding.fault, "every intermediate", everything, share=SHARE_OF_ROUNDED)


def in_words(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
