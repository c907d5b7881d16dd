"""The faults that real ports of BERT have had, each of which can be planted in a model: to learn from, and to test checkers with.

    model = minibert.verification.plant(minibert.load("minilm-l6"), "query_key_swapped", layer=3)

`FAULTS` is the table. Planting never changes the model it is given. `diagnosis` looks for the same faults, by other code.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flax import nnx

from minibert.errors import InputError
from minibert.model import Bert
from minibert.model.encoder import Layer
from minibert.verification.faults import faulty_parts as parts

Plant = Callable[[Bert, int], None]


@dataclass(frozen=True)
class Fault:
    """One fault: what is done wrong, in words, and the first intermediate that shows it, with {i} for the layer."""

    meaning: str
    first: str
    plant: Plant
    everywhere: bool = False
    """Whether it holds from some point on, so that it is looked for in all parts of the model."""


def plant(model: Bert, fault: str, *, layer: int = 0) -> Bert:
    """A copy of the model with a fault in it, in the embeddings or in layer `layer`, from 0; some begin there and go on.

    Raises InputError for a fault or a layer that does not exist, and for one that this model cannot have.
    """
    if fault not in FAULTS:
        raise InputError(f"{fault!r} is no known fault; the faults are {', '.join(FAULTS)}")
    depth = model.config.num_hidden_layers
    if type(layer) is not int or not 0 <= layer < depth:
        raise InputError(f"layer is {layer!r}; the model has layers 0 to {depth - 1}")
    copy = nnx.clone(model)
    FAULTS[fault].plant(copy, layer)
    return copy


def _in_layer(change: Callable[[Layer], None]) -> Plant:
    return lambda model, layer: change(model.encoder.layers[layer])


def _become(part: str, faulty: type[nnx.Module]) -> Plant:
    """Makes a part of the layer, "attention" or "feed_forward", one of another class with the same parameters."""

    def change(layer: Layer) -> None:
        getattr(layer, part).__class__ = faulty

    return _in_layer(change)


def _activation(name: str) -> Plant:
    def change(layer: Layer) -> None:
        config = layer.feed_forward.config
        if config.hidden_act == name:
            raise InputError(f"the model's activation is {name} already; plant another one")
        layer.feed_forward.config = config.replace(hidden_act=name)

    return _in_layer(change)


def _epsilon(value: float) -> Plant:
    def change(layer: Layer) -> None:
        config = layer.attention.layer_norm.config
        if config.layer_norm_eps == value:
            raise InputError(f"the model's layer_norm_eps is {value:g} already; plant another one")
        layer.attention.layer_norm.config = config.replace(layer_norm_eps=value)

    return _in_layer(change)


def _one_pass(layer: Layer) -> None:
    layer.attention.layer_norm.__class__ = parts.OnePassLayerNorm


def _swap_gamma_and_beta(layer: Layer) -> None:
    norm = layer.attention.layer_norm
    scale, bias = norm.scale.get_value(), norm.bias.get_value()
    norm.scale.set_value(bias)
    norm.bias.set_value(scale)


def _swap_query_and_key(layer: Layer) -> None:
    attention = layer.attention
    attention.query, attention.key = attention.key, attention.query


def _untranspose(layer: Layer) -> None:
    kernel = layer.attention.value.kernel
    kernel.set_value(kernel.get_value().T)


def _without(table: str) -> Plant:
    def change(model: Bert, layer: int) -> None:
        parameter = getattr(model.embeddings, table)
        parameter.set_value(parameter.get_value() * 0)

    return change


def _positions_from(first: int) -> Plant:
    def change(model: Bert, layer: int) -> None:
        table = model.embeddings.position
        rows = np.minimum(np.arange(model.config.max_position_embeddings) + first, model.config.max_position_embeddings - 1)
        table.set_value(table.get_value()[rows])

    return change


def _ignore_token_types(model: Bert, layer: int) -> None:
    table = model.embeddings.token_type
    table.set_value(table.get_value()[np.zeros(model.config.type_vocab_size, int)])


def _other_layer(model: Bert, layer: int) -> int:
    if model.config.num_hidden_layers < 2:
        raise InputError("this fault needs two layers, and the model has one")
    return (layer + 1) % model.config.num_hidden_layers


def _swap_layers(model: Bert, layer: int) -> None:
    layers, other = model.encoder.layers, _other_layer(model, layer)
    layers[layer], layers[other] = layers[other], layers[layer]


def _duplicate_layer(model: Bert, layer: int) -> None:
    model.encoder.layers[layer] = nnx.clone(model.encoder.layers[_other_layer(model, layer)])


def _operands(dtype: str) -> Plant:
    def change(model: Bert, layer: int) -> None:
        for index in range(layer, model.config.num_hidden_layers):
            parts.set_config(model.encoder.layers[index], dtype=dtype)
        if model.pooler is not None:
            parts.set_config(model.pooler, dtype=dtype)

    return change


def _stored_in_float16(model: Bert, layer: int) -> None:
    _operands("float16")(model, layer)
    for index in range(layer, model.config.num_hidden_layers):
        parts.keep_in_float16(model.encoder.layers[index])


def _tf32(model: Bert, layer: int) -> None:
    for index in range(layer, model.config.num_hidden_layers):
        parts.compute_in_tf32(model.encoder.layers[index])
    if model.pooler is not None:
        model.pooler.dense.__class__ = parts.Tf32Dense


def _become_dropping(layer: Layer) -> None:
    layer.__class__ = parts.DroppingLayer


QUERY, PROBABILITIES = "layers.{i}.attention.query", "layers.{i}.attention.probabilities"
SCORES, ACTIVATION = "layers.{i}.attention.scores", "layers.{i}.feed_forward.activation"
ATTENTION_OUTPUT, CONTEXT = "layers.{i}.attention.output", "layers.{i}.attention.context"

FAULTS: dict[str, Fault] = {
    "gelu_tanh": Fault("tanh GELU, as in Google's code, for the configured activation", ACTIVATION, _activation("gelu_tanh")),
    "gelu_erf": Fault("erf GELU, as in Hugging Face's code, for the configured activation", ACTIVATION, _activation("gelu_erf")),
    "relu": Fault("ReLU for the configured activation", ACTIVATION, _activation("relu")),
    "silu": Fault("SiLU for the configured activation", ACTIVATION, _activation("silu")),
    "epsilon_1e_5": Fault("a LayerNorm epsilon of 1e-5, as in torch", ATTENTION_OUTPUT, _epsilon(1e-5)),
    "epsilon_1e_6": Fault("a LayerNorm epsilon of 1e-6, as in Flax", ATTENTION_OUTPUT, _epsilon(1e-6)),
    "epsilon_1e_12": Fault("a LayerNorm epsilon of 1e-12, BERT's own", ATTENTION_OUTPUT, _epsilon(1e-12)),
    "one_pass_variance": Fault("a variance taken in one pass, E[x²] − E[x]², in float32", ATTENTION_OUTPUT, _in_layer(_one_pass)),
    "gamma_beta_swapped": Fault(
        "a LayerNorm's scale and bias in each other's place", ATTENTION_OUTPUT, _in_layer(_swap_gamma_and_beta)
    ),
    "token_type_missing": Fault("token-type embeddings left out", "embeddings.token_type", _without("token_type")),
    "token_type_ignored": Fault("token types taken for 0 everywhere", "embeddings.token_type", _ignore_token_types),
    "position_missing": Fault("position embeddings left out", "embeddings.position", _without("position")),
    "positions_off_by_one": Fault("positions that begin at 1", "embeddings.position", _positions_from(1)),
    "positions_off_by_two": Fault("positions that begin at 2, as in RoBERTa", "embeddings.position", _positions_from(2)),
    "query_key_swapped": Fault("query and key in each other's place", QUERY, _in_layer(_swap_query_and_key)),
    "kernel_untransposed": Fault(
        "a square kernel that was not transposed", "layers.{i}.attention.value", _in_layer(_untranspose)
    ),
    "heads_split_wrong": Fault("heads split along the wrong axis", QUERY, _become("attention", parts.InterleavedHeads)),
    "attention_over_heads": Fault("attention over heads instead of tokens", CONTEXT, _become("attention", parts.OverHeads)),
    "scale_missing": Fault("scores that are not scaled", SCORES, _become("attention", parts.Unscaled)),
    "scale_by_hidden_size": Fault(
        "scores scaled by the hidden size instead of a head's width", SCORES, _become("attention", parts.ScaledByHiddenSize)
    ),
    "mask_absent": Fault("padding that is not masked", PROBABILITIES, _become("attention", parts.Unmasked)),
    "mask_inverted": Fault("an inverted mask", PROBABILITIES, _become("attention", parts.InvertedMask)),
    "mask_minus_10000": Fault(
        "a mask of −10000, as in Google's code, on a text that is masked as a whole",
        PROBABILITIES,
        _become("attention", parts.WeakMask),
    ),
    "pre_layer_norm": Fault(
        "LayerNorm before each part of a layer instead of behind it", QUERY, _in_layer(parts.normalise_first)
    ),
    "residual_missing": Fault("a residual that is not added", ATTENTION_OUTPUT, _become("attention", parts.WithoutResidual)),
    "layers_swapped": Fault("two layers in each other's place", QUERY, _swap_layers),
    "layer_duplicated": Fault("one layer's weights twice", QUERY, _duplicate_layer),
    "bfloat16": Fault("numbers rounded to bfloat16", QUERY, _operands("bfloat16"), everywhere=True),
    "float16": Fault("numbers rounded to float16", QUERY, _stored_in_float16, everywhere=True),
    "tf32": Fault("TF32 products, of float32 numbers cut to 11 bits of significand", QUERY, _tf32, everywhere=True),
    "dropout_left_on": Fault("dropout that is on", CONTEXT, _in_layer(_become_dropping), everywhere=True),
}
