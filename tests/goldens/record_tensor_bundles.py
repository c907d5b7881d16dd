"""Writes tests/goldens/tensor_bundles with TensorFlow itself: python tests/goldens/record_tensor_bundles.py

It needs TensorFlow 2 and safetensors, best in an environment of their own; it was run with TensorFlow 2.21 on Python 3.11.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file
from stored_arrays import arrays_of_every_dtype, bfloat16_arrays, partitioned_arrays, whole_numbers

FOLDER = Path(__file__).parent / "tensor_bundles"
TINY = Path(__file__).parent / "tiny" / "gelu_new"
v1 = tf.compat.v1


def initial(array: np.ndarray) -> Callable[..., tf.Tensor]:
    """An initializer that gives each partition of a variable its part of an array."""

    def part(shape: list[int], dtype: object = None, partition_info: object = None) -> tf.Tensor:
        begins = partition_info.var_offset if partition_info else [0] * array.ndim
        return tf.constant(array[tuple(slice(begin, begin + length) for begin, length in zip(begins, shape, strict=True))])

    return part


def variable(name: str, array: np.ndarray, **options: object) -> tf.Variable:
    """A variable of a graph."""
    return v1.get_variable(name, shape=array.shape, dtype=array.dtype, initializer=initial(array), **options)


def save(name: str, make: Callable[[], None], **options: object) -> None:
    """Save all variables that `make` makes, with the Saver of TensorFlow 1, which Google's BERT was saved with."""
    with v1.Graph().as_default(), v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        make()
        session.run(v1.global_variables_initializer())
        v1.train.Saver(**options).save(session, str(FOLDER / name), write_meta_graph=False, write_state=False)


def every_dtype() -> None:
    for name, array in arrays_of_every_dtype().items():
        variable(name, array)


def partitioned() -> None:
    arrays = partitioned_arrays()
    variable("rows", arrays["rows"], partitioner=v1.fixed_size_partitioner(3))
    variable("columns", arrays["columns"], partitioner=v1.fixed_size_partitioner(2, axis=1))


def on_two_devices() -> None:
    for place, (name, array) in enumerate(arrays_of_every_dtype().items()):
        with tf.device(f"/cpu:{place % 2}"):
            variable(name, array)


def bfloat16() -> None:
    for name, array in bfloat16_arrays().items():
        variable(name, array)


def google_names() -> dict[str, np.ndarray]:
    """The weights of the small model with tanh GELU under Google's names, and heads of pretraining."""
    arrays = {}
    for name, array in load_file(TINY / "model.safetensors").items():
        if name == "embeddings.position_ids":
            continue
        is_kernel = name.endswith(".weight") and array.ndim == 2 and "embeddings" not in name
        google = name.replace(".layer.", ".layer_").replace(".", "/")
        google = google.replace("LayerNorm/weight", "LayerNorm/gamma").replace("LayerNorm/bias", "LayerNorm/beta")
        google = google.removesuffix("/weight") + "/kernel" if is_kernel else google.removesuffix("/weight")
        arrays[f"bert/{google}"] = np.ascontiguousarray(array.T) if is_kernel else array
    vocabulary, hidden = arrays["bert/embeddings/word_embeddings"].shape
    heads = {
        "cls/predictions/output_bias": (vocabulary,),
        "cls/predictions/transform/dense/kernel": (hidden, hidden),
        "cls/predictions/transform/dense/bias": (hidden,),
        "cls/predictions/transform/LayerNorm/gamma": (hidden,),
        "cls/predictions/transform/LayerNorm/beta": (hidden,),
        "cls/seq_relationship/output_weights": (2, hidden),
        "cls/seq_relationship/output_bias": (2,),
    }
    return arrays | {
        name: (whole_numbers(*shape, seed=place) / 100).astype(np.float32) for place, (name, shape) in enumerate(heads.items())
    }


def pretraining() -> None:
    """As Google's run_pretraining.py leaves it: the slots of its optimiser beside every variable, and the step."""
    for name, array in google_names().items():
        variable(name, array)
        for slot in ("adam_m", "adam_v"):
            variable(f"{name}/{slot}", np.zeros_like(array))
    variable("global_step", np.array(20, np.int64))


def object_based() -> None:
    """A checkpoint of TensorFlow 2, which has the graph of its objects as a text beside the numbers."""
    arrays = arrays_of_every_dtype()
    tf.train.Checkpoint(table=tf.Variable(arrays["each/float32"]), step=tf.Variable(arrays["number"])).write(
        str(FOLDER / "objects.ckpt")
    )


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "google").mkdir(parents=True)
    save("every_dtype.ckpt", every_dtype)
    save("partitioned.ckpt", partitioned)
    save("two_shards.ckpt", on_two_devices, sharded=True)
    save("bfloat16.ckpt", bfloat16)
    save("google/bert_model.ckpt", pretraining)
    object_based()
    config = json.loads((TINY / "config.json").read_text(encoding="utf-8"))
    kept = ("attention_probs_dropout_prob", "hidden_dropout_prob", "hidden_size", "initializer_range", "intermediate_size")
    kept += ("max_position_embeddings", "num_attention_heads", "num_hidden_layers", "type_vocab_size", "vocab_size")
    google = {name: config[name] for name in kept} | {"hidden_act": "gelu"}
    (FOLDER / "google" / "bert_config.json").write_text(json.dumps(google, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
