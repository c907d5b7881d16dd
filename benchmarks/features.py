"""Times sentence vectors end to end, text in and NumPy out, against sentence-transformers and others, in turn in one process.

    python benchmarks/features.py [--texts 5000] [--slices 5] [--only end-to-end|bfloat16|memory]

Needs the extra `reference` and the fetched default checkpoint; onnxruntime, openvino and a C compiler (for torch.compile) where
those peers are wanted. On a CPU all is float32 but for the part about bfloat16; on a GPU everything runs in bfloat16.

The texts are docstring prose of this machine, 15 to 300 tokens each. They are cut into slices; each contender embeds each
slice, in shuffled order, so that a slice's ratios compare neighbours in time. sentence-transformers runs with its default
batch of 32 and with the best of 8 to 256, found on 200 texts, and as a pool of processes, one a core, as minibert does. With
ONNX Runtime and OpenVINO in the place of torch the encoder is exported here and put into sentence-transformers' own loop. A
ratio is the median over slices, with the 10th to 90th percentile; above 1, minibert is faster.
"""

import argparse
import importlib.util
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
import transformers
from paired import paired_ratio, processor, seconds
from prose import mixed_texts
from sentence_transformers import SentenceTransformer

import minibert
from minibert.checkpoints.registry import resolve
from minibert.cores import cores

BATCH_SIZES = (8, 16, 32, 64, 128, 256)
DEFAULT_BATCH_SIZE = 32
QUERIES = 1000
PARTS = ("end-to-end", "bfloat16", "memory")
Embed = Callable[[list[str]], np.ndarray]

PEAK = """
import re, sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from prose import mixed_texts
import minibert
warnings.simplefilter("ignore")
features = minibert.Features("minilm-l6", workers="cores")
processes = ["self", *(process.pid for process in features.engine.workers.processes)]
def most():
    peaks = (Path(f"/proc/{process}/status").read_text() for process in processes)
    return sum(int(re.search(r"VmHWM:\\s+(\\d+) kB", peak)[1]) for peak in peaks) / 1024
texts = [text[:200] for text in mixed_texts(int(sys.argv[2]))]
features.sentences(texts[:4096])
before = most()
features.sentences(texts)
print(most() - before - len(texts) * 384 * 4 / 2**20)
"""


def on_gpu() -> bool:
    return jax.default_backend() == "gpu"


def sentence_transformers(encoder: Any = None, dtype: torch.dtype = torch.float32) -> SentenceTransformer:
    """MiniLM; with an `encoder` its loop runs that in the place of torch's."""
    device = "cuda" if on_gpu() else "cpu"
    model = SentenceTransformer(str(resolve("minilm-l6")), device=device, model_kwargs={"dtype": dtype})
    if encoder is not None:
        model[0].model.forward = encoder
    return model


class Traced(torch.nn.Module):
    """What is exported: ids in, last hidden state out."""

    def __init__(self, encoder: torch.nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state


INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def exported(run: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Callable[..., Any]:
    """The forward function of a transformers model that is computed elsewhere."""

    def forward(**batch: Any) -> Any:
        hidden = run({name: batch[name].numpy() for name in INPUTS})
        return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=torch.from_numpy(np.asarray(hidden)))

    return forward


def example(model: SentenceTransformer) -> tuple[torch.Tensor, ...]:
    batch = model.tokenizer(["a text", "and one of a few more words"], padding=True, return_tensors="pt")
    return tuple(batch[name] for name in INPUTS)


def onnx_model() -> SentenceTransformer:
    import onnxruntime

    model = sentence_transformers()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        axes = {name: {0: "batch", 1: "tokens"} for name in INPUTS}
        torch.onnx.export(
            Traced(model[0].model),
            example(model),
            path,
            input_names=list(INPUTS),
            dynamic_axes=axes,
            dynamo=False,
            opset_version=17,
        )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return sentence_transformers(exported(lambda batch: session.run(None, batch)[0]))


def openvino_model(precision: str = "f32") -> SentenceTransformer:
    import openvino

    model = sentence_transformers()
    graph = openvino.convert_model(Traced(model[0].model), example_input=example(model))
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return sentence_transformers(exported(lambda batch: compiled([batch[name] for name in INPUTS])[0]))


def compiled_torch(dtype: torch.dtype) -> SentenceTransformer:
    """transformers under torch.compile with dynamic shapes, in sentence-transformers' loop."""
    model = sentence_transformers(dtype=dtype)
    model[0].model.forward = torch.compile(model[0].model.forward, dynamic=True)
    return model


def ours(dtype: str) -> minibert.Features:
    """As thousands of texts are embedded: on a CPU a process a core, on a GPU with fused attention."""
    if on_gpu():
        return minibert.Features("minilm-l6", dtype=dtype, attention_implementation="fused")
    return minibert.Features("minilm-l6", dtype=dtype, workers="cores")


def end_to_end(count: int, slices: int) -> None:
    dtype = torch.bfloat16 if on_gpu() else torch.float32
    texts = mixed_texts(count)
    precision = str(dtype).removeprefix("torch.")
    features = ours(precision)
    alone = features if on_gpu() else minibert.Features("minilm-l6", dtype=precision)
    parts = [texts[number::slices] for number in range(slices)]
    peers: dict[str, SentenceTransformer] = {"torch": sentence_transformers(dtype=dtype)}
    makers: dict[str, tuple[str, Callable[[], SentenceTransformer]]] = {
        "torch.compile": ("torch", lambda: compiled_torch(dtype)),
        "ONNX Runtime": ("onnxruntime", onnx_model),
        "OpenVINO": ("openvino", openvino_model),
    }
    for name, (needs, make) in makers.items():
        if importlib.util.find_spec(needs) is None or (on_gpu() and name in ("ONNX Runtime", "OpenVINO")):
            print(f"  ({name}: not installed, or not for this device)")
            continue
        try:
            model = make()
            model.encode(parts[0][:64])
        except Exception as problem:  # a peer that does not run here is left out, and said
            print(f"  ({name} does not run here: {type(problem).__name__}: {str(problem).splitlines()[0][:120]})")
            continue
        peers[name] = model
    contenders: dict[str, Embed] = {"minibert": features.sentences}
    if alone is not features:
        contenders["minibert in one process"] = alone.sentences
    for name, model in peers.items():

        def encode(some: list[str], size: int, model: SentenceTransformer = model) -> np.ndarray:
            return model.encode(some, batch_size=size, show_progress_bar=False)

        best = best_size(lambda size, encode=encode: encode(parts[0][:200], size))
        print(f"  ({name}: the best batch is {best})", flush=True)
        for size in dict.fromkeys((DEFAULT_BATCH_SIZE, best)):
            contenders[f"{name}, batch {size}"] = lambda some, size=size, encode=encode: encode(some, size)
    if not on_gpu():
        # What sentence-transformers has against the same loss: processes of its own, each with a share of torch's threads.
        pool = peers["torch"].start_multi_process_pool(["cpu"] * cores())
        contenders["torch, a process a core, batch 32"] = lambda some: peers["torch"].encode(some, pool=pool, batch_size=32)
    for embed in contenders.values():
        embed(parts[0][:200])
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    generator = np.random.default_rng(0)
    worst, tokens = 0.0, 0
    for part in parts:
        vectors: dict[str, np.ndarray] = {}
        for name in generator.permutation(list(contenders)).tolist():
            taken[name].append(
                seconds(lambda name=name, part=part, vectors=vectors: vectors.update({name: contenders[name](part)}))
            )
        tokens += vectors["minibert"].number_of_tokens
        worst = max(worst, *(np.abs(vectors["minibert"] - other).max() for other in vectors.values()))
        limit = 0.1 if on_gpu() else 1e-5
        assert worst < limit, f"the vectors differ by {worst:.1e}"
    engine = features.engine
    total = sum(taken["minibert"])
    print(f"end to end: {len(texts):,} texts, {tokens:,} tokens; largest difference of vectors {worst:.1e}")
    print(f"  minibert: {len(texts) / total:,.0f} texts/s, {tokens / total:,.0f} tokens/s")
    print(
        f"  padding {1 - engine.tokens / engine.computed_tokens:.1%} of the computed tokens; {len(engine.shapes_seen)} programs"
    )
    for name in contenders:
        if name != "minibert":
            print(f"  {name:34} / minibert: {paired_ratio(taken[name], taken['minibert'])}")
    features.close()
    if not on_gpu():
        peers["torch"].stop_multi_process_pool(pool)


def best_size(encode: Callable[[int], object]) -> int:
    return min(BATCH_SIZES, key=lambda size: seconds(lambda: encode(size)))


def bfloat16(count: int, slices: int) -> None:
    """Our bfloat16 beside our float32 and torch's bfloat16: time, error of the vectors, and neighbours that change."""
    texts = mixed_texts(count, seed=1)
    wide, narrow = ours("float32"), ours("bfloat16")
    peer = sentence_transformers(dtype=torch.bfloat16)

    def encode(some: list[str], size: int) -> np.ndarray:
        return peer.encode(some, batch_size=size, show_progress_bar=False).astype(np.float32)

    best = best_size(lambda size: encode(texts[:200], size))
    print(f"  (torch in bfloat16: the best batch is {best})", flush=True)

    def peer_vectors(some: list[str]) -> np.ndarray:
        return encode(some, best)

    contenders: dict[str, Embed] = {"float32": wide.sentences, "bfloat16": narrow.sentences, "torch bfloat16": peer_vectors}
    for embed in contenders.values():
        embed(texts[:300])
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in contenders}
    for number in range(slices):
        for name in np.random.default_rng(number).permutation(list(contenders)).tolist():
            part = texts[number::slices]
            taken[name].append(
                seconds(lambda name=name, part=part: vectors[name].append(np.asarray(contenders[name](part), np.float32)))
            )
    print("bfloat16 operands, float32 results:")
    ids = wide.tokenizer(texts, truncation=True, max_length=wide.max_length, padding=False, return_tensors=None)["input_ids"]
    tokens = sum(map(len, ids))
    print("  " + ", ".join(f"{name} {tokens / sum(durations):,.0f} tokens/s" for name, durations in taken.items()))
    print(f"  our float32 / our bfloat16: {paired_ratio(taken['float32'], taken['bfloat16'])}")
    print(f"  torch bfloat16 / our bfloat16: {paired_ratio(taken['torch bfloat16'], taken['bfloat16'])}")
    truth = np.concatenate(vectors["float32"])
    queries = truth[: min(QUERIES, len(truth))]
    nearest = nearest_others(queries, truth)
    for name in ("bfloat16", "torch bfloat16"):
        found = np.concatenate(vectors[name])
        changed = (nearest_others(found[: len(queries)], found) != nearest).sum()
        print(
            f"  {name}: largest error of a vector's numbers {np.abs(found - truth).max():.1e}, "
            f"nearest text of {changed} of {len(queries):,} texts another"
        )
    batch = wide.tokenizer(texts[:64], truncation=True, max_length=256)
    mask = batch["attention_mask"] > 0
    hidden = np.asarray(wide.model(**batch).last_hidden_state)[mask]
    our_hidden = np.asarray(narrow.model(**batch).last_hidden_state)[mask]
    with torch.inference_mode():
        theirs = peer[0].model(**{name: torch.tensor(array).long() for name, array in batch.items()})
    theirs = theirs.last_hidden_state.float().numpy()[mask]
    errors = {"ours": our_hidden - hidden, "torch's": theirs - hidden}
    for name, error in errors.items():
        print(f"  hidden states, {name}: largest error {np.abs(error).max():.2e}, root mean square {rms(error):.2e}")
    wide.close()
    narrow.close()


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def nearest_others(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The nearest text of each of the first texts, other than itself."""
    cosines = queries @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    return cosines.argmax(axis=1)


def memory() -> None:
    """What embedding takes above the result itself, once warm, in a process of its own and in its workers."""
    for count in (5_000, 50_000):
        command = [sys.executable, "-W", "ignore", "-c", PEAK, str(Path(__file__).parent), str(count)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"memory: {count:,} texts take {float(output.split()[-1]):.0f} MB more than warm workers and the result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=5000, help="how many texts (default: %(default)s)")
    parser.add_argument("--slices", type=int, default=5, help="how many slices they are cut into (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be given several times")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    parts = arguments.only or PARTS
    names = ("minibert", "jax", "torch", "transformers", "sentence-transformers")
    print(f"{processor()}; {torch.get_num_threads()} threads; {', '.join(f'{name} {version(name)}' for name in names)}")
    if "end-to-end" in parts:
        end_to_end(arguments.texts, arguments.slices)
    if "bfloat16" in parts:
        bfloat16(arguments.texts, arguments.slices)
    if "memory" in parts:
        memory()


if __name__ == "__main__":
    main()
