"""Records the stored references: what transformers on torch computes, in float32 and float64, at every named intermediate.

    python tests/goldens/record_transformers.py

writes weights/references/minilm-l6/*.safetensors (the fetched default checkpoint), tests/goldens/tiny/*.safetensors (random
models with their weights) and tests/goldens/minilm_tanh_gelu.safetensors, a trace with a fault. Needs the extra `reference`.
The format is described in minibert/verification/reference.py; what is kept stays under 6 MiB: full traces of short texts, the
embeddings', layers' and pooler's outputs of the others.
"""

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from torch_floor import in_other_orders, unpadded
from transformers import BertConfig, BertModel, BertTokenizer

from minibert.checkpoints.registry import resolve
from minibert.model.tap import intermediate_names, layer_output_names
from minibert.verification.measures import real_positions
from minibert.verification.recorders import record_transformers

GOLDENS = Path(__file__).parent
REFERENCES = GOLDENS.parent.parent / "weights" / "references" / "minilm-l6"

FULL_TEXTS = {"single": ["river bank"], "pair": [["hello", "world"]]}
LAYER_TEXTS = {
    "batch": [
        "The bank raised rates.",
        "A river bank.",
        "mole",
        "Five short words here.",
        "No!",
        ["Who?", "She."],
        "A windy day.",
        "",
    ],
    "unicode": ["Crème brûlée", "東京は首都", "naïve 🙂 👩‍👧 №5"],
}
PARAGRAPH = (
    "In the beginning the word was a number, and the number stood in a row of numbers. Each of them looked at every other, "
    "weighed what it saw, and took the weighted sum away as its own. Six times they did this; after the sixth, those that "
    "had stood near a river meant one thing by bank, and those that had stood near money meant another. "
)
KEPT_POSITIONS = np.array([0, 1, 2, 31, 32, 63, 127, 128, 200, 255, 256, 300, 383, 384, 450, 509, 510, 511], np.int32)

TINY_MODELS = {
    "gelu": dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=40, hidden_act="gelu"),
    "gelu_new": dict(hidden_size=25, num_attention_heads=5, num_hidden_layers=2, intermediate_size=33, hidden_act="gelu_new"),
    "relu": dict(hidden_size=21, num_attention_heads=7, num_hidden_layers=2, intermediate_size=50, hidden_act="relu"),
    "silu": dict(hidden_size=18, num_attention_heads=1, num_hidden_layers=3, intermediate_size=31, hidden_act="silu"),
}


def record_both(model: BertModel, batch: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The intermediates in float32 and in float64; the model comes back in float32."""
    model.set_attn_implementation("eager")
    model.eval()
    float32 = dict(record_transformers(model.float(), batch))
    float64 = dict(record_transformers(model.double(), batch))
    model.float()
    return float32, float64


def float32_floor(
    model: BertModel, batch: dict[str, np.ndarray], truth: dict[str, np.ndarray], positions: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """How far torch's float32 itself is from the truth, at each intermediate and for each text: max abs errors [texts].

    Over real positions, or those of them in `positions`.

    One run's error on a short text is luck: an outlying value near 10 may fall on a float32 or between two. So torch computes the
    same texts in each of its ways, eager and SDPA attention, alone and repeated, with and without padding, and with its
    features in other orders, and the floor is the largest error among them.
    """
    rows, tokens = batch["input_ids"].shape
    floor = {name: np.zeros(rows) for name in truth}

    def add(name: str, values: np.ndarray, true: np.ndarray) -> None:
        real = real_positions(name, batch["attention_mask"], true.shape)
        error = np.where(real, np.abs(values - true), 0.0)
        if positions is not None and error.ndim == 3:
            error = error[:, positions]
        floor[name] = np.maximum(floor[name], error.reshape(rows, -1).max(axis=1))

    for attention in ("eager", "sdpa"):
        model.set_attn_implementation(attention)
        for padding in (0, 1, 7):
            if tokens + padding > model.config.max_position_embeddings:
                continue
            for copies in (1, 8):
                padded = {name: np.tile(np.pad(array, ((0, 0), (0, padding))), (copies, 1)) for name, array in batch.items()}
                for name, values in record_transformers(model, padded).items():
                    add(name, unpadded(name, values, rows, tokens), truth[name])
    model.set_attn_implementation("eager")
    for name, values, true in in_other_orders(model, batch, truth):
        add(name, values, true)
    return floor


def reference_tensors(
    model: BertModel, batch: dict[str, np.ndarray], names: list[str], positions: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    float32, float64 = record_both(model, batch)
    floor = float32_floor(model, batch, float64, positions)
    tensors = {name: array.astype(np.int32) for name, array in batch.items()}
    if positions is not None:
        tensors["positions"] = positions
    for name in names:
        single, double = float32[name], float64[name]
        if positions is not None and single.ndim == 3:
            single, double = single[:, positions], double[:, positions]
        tensors[f"float32.{name}"] = np.ascontiguousarray(single)
        tensors[f"correction.{name}"] = np.ascontiguousarray((double - single).astype(np.float32))
        tensors[f"floor.{name}"] = floor[name]
    return tensors


def metadata(checkpoint_sha256: str, texts: object) -> dict[str, str]:
    return {
        "implementation": "transformers BertModel on torch, attention eager",
        "versions": json.dumps({"transformers": transformers.__version__, "torch": torch.__version__}),
        "checkpoint_sha256": checkpoint_sha256,
        "texts": json.dumps(texts),
    }


def tokenize(tokenizer: BertTokenizer, texts: list) -> dict[str, np.ndarray]:
    firsts = [text if isinstance(text, str) else text[0] for text in texts]
    rows = [tokenizer(text) if isinstance(text, str) else tokenizer(*text) for text in texts]
    assert len(firsts) == len(rows)
    batch = tokenizer.pad(
        {key: [row[key] for row in rows] for key in ("input_ids", "token_type_ids", "attention_mask")},
        return_tensors="np",
    )
    return {name: batch[name].astype(np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")}


def record_minilm() -> None:
    folder = resolve("minilm-l6")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    tokenizer = BertTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder)
    everything = intermediate_names(model.config.num_hidden_layers)
    # Those that repeat another name's values, or the model's own tables, are left out to keep the files small.
    full = [name for name in everything if not name.startswith("embeddings.") or name in ("embeddings.sum", "embeddings.output")]
    full = [name for name in full if not name.endswith("feed_forward.output")]
    layers = layer_output_names(model.config.num_hidden_layers)
    REFERENCES.mkdir(parents=True, exist_ok=True)

    def save(name: str, tensors: dict[str, np.ndarray], texts: object) -> None:
        save_file(tensors, REFERENCES / f"{name}.safetensors", metadata(digest, texts))

    one = tokenizer.convert_tokens_to_ids("bank")
    one_token = {"input_ids": [[one]], "attention_mask": [[1]], "token_type_ids": [[0]]}
    save(
        "one_token",
        reference_tensors(model, {k: np.array(v, np.int32) for k, v in one_token.items()}, full),
        ["(id of bank alone)"],
    )
    for name, texts in FULL_TEXTS.items():
        save(name, reference_tensors(model, tokenize(tokenizer, texts), full), texts)
    for name, texts in LAYER_TEXTS.items():
        save(name, reference_tensors(model, tokenize(tokenizer, texts), layers), texts)
    long = tokenizer(PARAGRAPH * 9, truncation=True, max_length=512, return_tensors="np")
    long = {name: long[name].astype(np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert long["input_ids"].shape == (1, 512)
    save("full_512", reference_tensors(model, long, layers, KEPT_POSITIONS), [PARAGRAPH * 9])


def record_tanh_gelu() -> None:
    """A trace of MiniLM with tanh GELU, as Google's code would compute it, of the outputs of layers alone."""
    folder = resolve("minilm-l6")
    model = BertModel.from_pretrained(folder, hidden_act="gelu_new").eval()
    texts = ["The bank raised rates.", "A river bank."]
    batch = tokenize(BertTokenizer.from_pretrained(folder), texts)
    trace = record_transformers(model, batch, layer_output_names(model.config.num_hidden_layers))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    # The configuration is left out: that the two differ is to be found from the numbers.
    del trace.metadata["config"]
    trace.metadata |= {"checkpoint_sha256": digest, "texts": json.dumps(texts)}
    trace.save(GOLDENS / "minilm_tanh_gelu.safetensors")


def record_tiny() -> None:
    folder = GOLDENS / "tiny"
    folder.mkdir(exist_ok=True)
    for seed, (name, sizes) in enumerate(TINY_MODELS.items()):
        torch.manual_seed(seed)
        config = BertConfig(vocab_size=37, max_position_embeddings=19, type_vocab_size=3, initializer_range=0.5, **sizes)
        model = BertModel(config)
        for parameter_name, parameter in model.named_parameters():
            # Nothing may be at its special initial value: a scale of one or a bias of zero would hide a swapped name.
            if parameter.ndim == 1:
                parameter.data += 0.3 * torch.randn_like(parameter)
            assert parameter_name
        random = np.random.default_rng(seed)
        mask = (np.arange(6) < np.array([[6], [4], [1], [2]])).astype(np.int32)
        batch = {
            "input_ids": random.integers(0, 37, mask.shape).astype(np.int32) * mask,
            "attention_mask": mask,
            "token_type_ids": random.integers(0, 3, mask.shape).astype(np.int32) * mask,
        }
        checkpoint = folder / name
        model.save_pretrained(checkpoint)
        with contextlib.suppress(FileNotFoundError):
            (checkpoint / "generation_config.json").unlink()
        digest = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
        names = intermediate_names(config.num_hidden_layers)
        tensors = reference_tensors(model, batch, names)
        # Texts of a few tokens in a model this narrow are too small for a floor each: all share the largest.
        for part in names:
            floor = tensors[f"floor.{part}"]
            tensors[f"floor.{part}"] = np.full_like(floor, floor.max())
        save_file(tensors, checkpoint / "reference.safetensors", metadata(digest, []))


if __name__ == "__main__":
    record_tiny()
    record_minilm()
    record_tanh_gelu()
