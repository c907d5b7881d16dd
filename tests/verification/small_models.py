"""Small random models in which every fault can show, and inputs for them."""

import jax.numpy as jnp
import numpy as np

from minibert import Bert, BertConfig
from minibert.checkpoints.blueprint import parameters_of

OFFSET = 2.0
"""How far the mean of what the LayerNorms of layers are given is from zero; their spread is a tenth of it or less."""


def small_model(seed: int, **fields: object) -> Bert:
    """A random model: sizes differ on every axis, no parameter has a special value, LayerNorms have a large mean to take off."""
    random = np.random.default_rng(seed)
    heads = int(random.integers(2, 5))
    config = BertConfig(
        vocab_size=int(random.integers(30, 60)),
        hidden_size=heads * int(random.integers(13, 17)),
        num_hidden_layers=int(random.integers(2, 5)),
        num_attention_heads=heads,
        intermediate_size=int(random.integers(60, 90)),
        hidden_act=str(random.choice(["gelu_erf", "gelu_tanh"])),
        max_position_embeddings=int(random.integers(16, 24)),
        type_vocab_size=int(random.integers(2, 4)),
        layer_norm_eps=float(random.choice([1e-12, 1e-6, 1e-5])),
    )
    config = config.replace(**fields)
    model = Bert(config, rngs=None)  # every parameter gets its values below
    for path, variable in parameters_of(model).items():
        values = random.normal(size=variable.get_value().shape)
        if path.endswith("kernel"):
            values *= (0.4 if "projection" in path else 1.5) / np.sqrt(values.shape[0])
        elif path.endswith("scale"):
            values = 0.2 + 0.05 * values
        elif path.endswith("projection.bias"):
            values = OFFSET + 0.05 * values
        else:
            values *= 0.2
        variable.set_value(jnp.asarray(values, jnp.float32))
    return model


def inputs_for(config: BertConfig, seed: int, *, texts: int = 5, tokens: int = 8) -> dict[str, np.ndarray]:
    """Random ids in rows of different lengths; the last text is masked as a whole."""
    random = np.random.default_rng(seed)
    lengths = np.append(random.integers(2, tokens + 1, texts - 1), 0)
    lengths[0] = tokens
    return {
        "input_ids": random.integers(0, config.vocab_size, (texts, tokens)),
        "attention_mask": (np.arange(tokens) < lengths[:, None]).astype(np.int32),
        "token_type_ids": random.integers(0, config.type_vocab_size, (texts, tokens)),
    }
