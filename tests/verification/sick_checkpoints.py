"""A healthy checkpoint, and the sicknesses that the doctor's tests plant in it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from minibert.verification.doctor import Checkup, Finding

TINY = Path(__file__).parent.parent / "goldens" / "tiny"
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "the", "##s", ".", ",", "!", "of"]
WORDS = "embeddings.word_embeddings.weight"
SCALE = "encoder.layer.1.output.LayerNorm.weight"
QUERY, KEY = (f"encoder.layer.0.attention.self.{part}.weight" for part in ("query", "key"))
HIDDEN, TOKENS = 24, 37


def healthy_checkpoint(folder: Path) -> Path:
    """Writes a healthy checkpoint of 2 layers, 24 wide, with 37 tokens and 19 positions, to be made sick."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(TINY / "gelu" / name, folder / name)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    write(folder, "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 19})
    return folder


def write(folder: Path, name: str, values: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(values))


def configure(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text()) | changes
    write(folder, "config.json", {name: value for name, value in values.items() if value is not ...})


def store(folder: Path, *, without: str = "", **changes: Any) -> None:
    """Change tensors of the weights: an array takes the place of one, a function is given the one that is there."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, change in changes.items():
        tensors[name] = change(tensors[name].copy()) if callable(change) else change
    save_file({name: array for name, array in tensors.items() if not (without and re.search(without, name))}, path)


def rename(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "model.safetensors"
    save_file({change(name): array for name, array in load_file(path).items()}, path)


def set_to(value: float, place: Any = ...) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return change


def finding_at(checkup: Checkup, group: str, subject: str) -> Finding:
    (row,) = (row for row in checkup.rows if (row.group, row.subject) == (group, subject))
    return row.finding


def places(checkup: Checkup, status: str) -> list[tuple[str, str]]:
    return [(row.group, row.subject) for row in checkup.of_status(status)]


# The files.


def cut_the_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def claim_a_huge_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + b"{}")


def claim_a_huge_tensor(folder: Path) -> None:
    header = json.dumps({WORDS: {"dtype": "F32", "shape": [1 << 30, 1 << 10], "data_offsets": [0, 1 << 42]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def leave_a_pointer(name: str) -> Callable[[Path], None]:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90868376\n"
    return lambda folder: (folder / name).write_text(text)


def keep_only_keras(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "tf_model.h5")


def link_to_nothing(folder: Path) -> None:
    (folder / "special_tokens_map.json").symlink_to(folder / "nowhere")


# The configuration and the tensors.


def claim_everything(folder: Path) -> None:
    sizes = {"vocab_size": 10_000_000, "hidden_size": 65_536, "num_hidden_layers": 1000, "num_attention_heads": 4096}
    configure(folder, **sizes, intermediate_size=1_048_576, max_position_embeddings=1_048_576)


def untie_the_kernel(folder: Path) -> None:
    store(folder, **{"cls.predictions.bias": np.zeros(TOKENS, np.float32)})
    store(folder, **{"cls.predictions.decoder.weight": np.random.default_rng(0).random((TOKENS, HIDDEN), np.float32)})


def swap_scale_and_bias(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    bias = SCALE.replace("weight", "bias")
    save_file(tensors | {SCALE: tensors[bias], bias: tensors[SCALE]}, path)


def repeat_the_layer(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    first = {name: array for name, array in tensors.items() if name.startswith("encoder.layer.0.")}
    save_file(tensors | {name.replace("layer.0", "layer.1"): array for name, array in first.items()}, path)


def copy_the_query(folder: Path) -> None:
    store(folder, **{KEY: load_file(folder / "model.safetensors")[QUERY]})


def give_one_twice(folder: Path) -> None:
    store(folder, **{f"bert.{QUERY}": np.zeros((HIDDEN, HIDDEN), np.float32)})


def forget_the_training(folder: Path) -> None:
    path = folder / "model.safetensors"
    untrained = {}
    for name, array in load_file(path).items():
        vector = np.full_like(array, float(name.endswith("LayerNorm.weight")))
        untrained[name] = vector if array.ndim == 1 else array
    save_file(untrained, path)


# The vocabulary and the tokenizer.


def vocabulary(*tokens: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")


def capitalise(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY[:5] + [token.upper() for token in VOCABULARY[5:]]) + "\n")
