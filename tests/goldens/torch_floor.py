"""What transformers' float32 itself is worth: random models of torch, and their errors over orders of summation."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minibert.verification import record_transformers
from minibert.verification.measures import error_of_each_text

ORDERS = 12
"""How many orders of summation the floor is taken over: the largest error of one run is luck, most of all of few values."""

Reorder = Callable[[str, np.ndarray], np.ndarray]


def random_bert(seed: int, random: np.random.Generator, tokens: int, least_width: int = 2) -> Any:
    """A BertModel of transformers, eager, with random sizes, room for `tokens` positions and no parameter of a special value."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    heads = int(random.integers(1, 6))
    config = BertConfig(
        vocab_size=int(random.integers(5, 60)),
        hidden_size=heads * int(random.integers(least_width, 9)),
        num_hidden_layers=int(random.integers(1, 4)),
        num_attention_heads=heads,
        intermediate_size=int(random.integers(least_width, 50)),
        hidden_act=str(random.choice(["gelu", "gelu_new", "relu", "silu"])),
        max_position_embeddings=int(random.integers(tokens, 20)),
        type_vocab_size=int(random.integers(1, 4)),
        layer_norm_eps=float(random.choice([1e-12, 1e-5])),
        initializer_range=0.3,
    )
    model = BertModel(config).eval()
    model.set_attn_implementation("eager")
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def random_batch(model: Any, random: np.random.Generator, texts: int, tokens: int) -> dict[str, np.ndarray]:
    """Random ids in rows of different lengths."""
    return {
        "input_ids": random.integers(0, model.config.vocab_size, (texts, tokens)),
        "attention_mask": (np.arange(tokens) < random.integers(1, tokens + 1, (texts, 1))).astype(int),
        "token_type_ids": random.integers(0, model.config.type_vocab_size, (texts, tokens)),
    }


def floor_over_orders(model: Any, batch: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest error of torch's float32 at each intermediate, over models that differ in the order of their features only."""
    floor = dict.fromkeys(truth, 0.0)
    for name, values, true in in_other_orders(model, batch, truth):
        floor[name] = max(floor[name], float(error_of_each_text(name, values, true, batch["attention_mask"]).max()))
    return floor


def in_other_orders(
    model: Any, batch: dict[str, np.ndarray], truth: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each intermediate of each of `ORDERS` models in another order, and the truth in that order."""
    for seed in range(ORDERS):
        other, reordered = with_other_order(model, seed)
        for name, values in record_transformers(other, batch).items():
            yield name, values, reordered(name, truth[name])


def unpadded(name: str, values: np.ndarray, texts: int, tokens: int) -> np.ndarray:
    """An intermediate of a larger batch, cut to its first texts and each of them to its first tokens."""
    values = values[:texts]
    if name.endswith((".scores", ".probabilities")):
        return values[:, :, :tokens, :tokens]
    if values.ndim == 3:
        return values[:, :tokens]
    return values[:, :, :tokens] if values.ndim == 4 else values


def with_other_order(model: Any, seed: int) -> tuple[Any, Reorder]:
    """The same function of the inputs, its features in another order, so that every sum adds its terms in another one.

    Also how the values of an intermediate of `model` are to be put in the order that the copy has them in.
    """
    import torch

    random = np.random.default_rng(seed)
    config = model.config
    heads, head_dim = config.num_attention_heads, config.hidden_size // config.num_attention_heads

    def order_within_heads() -> np.ndarray:
        return np.concatenate([head * head_dim + random.permutation(head_dim) for head in range(heads)])

    hidden = random.permutation(config.hidden_size)
    other = copy.deepcopy(model)
    orders: dict[str, np.ndarray] = {}

    def put(module: Any, outputs: np.ndarray, inputs: np.ndarray | None = None) -> None:
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                values = parameter.numpy()[outputs]
                parameter.copy_(torch.tensor(values if inputs is None or name == "bias" else values[:, inputs]))

    for table in (other.embeddings.word_embeddings, other.embeddings.position_embeddings, other.embeddings.token_type_embeddings):
        put(table, np.arange(table.weight.shape[0]), hidden)
    put(other.embeddings.LayerNorm, hidden)
    for index, layer in enumerate(other.encoder.layer):
        query_and_key, value = order_within_heads(), order_within_heads()
        intermediate = random.permutation(config.intermediate_size)
        put(layer.attention.self.query, query_and_key, hidden)
        put(layer.attention.self.key, query_and_key, hidden)
        put(layer.attention.self.value, value, hidden)
        put(layer.attention.output, hidden)
        put(layer.attention.output.dense, np.arange(config.hidden_size), value)
        put(layer.intermediate.dense, intermediate, hidden)
        put(layer.output, hidden)
        put(layer.output.dense, np.arange(config.hidden_size), intermediate)
        attention, feed_forward = f"layers.{index}.attention", f"layers.{index}.feed_forward"
        orders |= dict.fromkeys([f"{attention}.query", f"{attention}.key"], query_and_key)
        orders |= dict.fromkeys([f"{attention}.value", f"{attention}.context"], value)
        orders |= dict.fromkeys([f"{feed_forward}.intermediate", f"{feed_forward}.activation"], intermediate)
    put(other.pooler.dense, hidden, hidden)

    def reordered(name: str, values: np.ndarray) -> np.ndarray:
        if name.endswith((".scores", ".probabilities")):
            return values
        order = orders.get(name, hidden)
        if values.ndim < 4:
            return values[..., order]
        batch, _, tokens, _ = values.shape
        rows = values.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)[..., order]
        return rows.reshape(batch, tokens, heads, head_dim).transpose(0, 2, 1, 3)

    return other, reordered
