"""Times the encoder alone on full batches against torch's SDPA, OpenVINO and the other BERTs in JAX, in turn in one process.

    python benchmarks/full_batches.py [--rounds 9] [--only MiniLM|BERT-base]

Every peer that is installed takes part: transformers on torch (under torch.compile too on a GPU), OpenVINO, KerasHub, and the
Flax BERT that transformers had before its version 5, which wants an environment of its own:

    pip install -e . 'transformers<5' keras-hub

All load the same weights, but KerasHub, whose time does not depend on them. minibert runs as `Features` has it: on a CPU in
worker processes, a core each, that share a batch; in brackets in one process. On a CPU all is float32, on a GPU bfloat16. A
ratio is the median over rounds, with the 10th to 90th percentile; above 1, minibert is faster. Bare products of both libraries,
[1024, 768] @ [768, 3072], run in the same rounds: what share of their rate the products of the encoder have is printed.
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from paired import in_turn, paired_ratio, processor, spread

import minibert
from minibert.checkpoints.registry import resolve
from minibert.cores import cores
from minibert.features.layers import Layers
from minibert.features.packing import TOKENS_AT_A_TIME
from minibert.features.programs import Programs
from minibert.features.workers import Workers
from minibert.model.throughput import for_throughput

SHAPES = ((8, 128), (32, 32), (16, 256), (8, 512))
SHAPES_ON_GPU = (*SHAPES, (512, 128), (128, 512))
"""And two of 64 K tokens, which fill a large accelerator."""
BARE = (1024, 768, 3072)
LAST = Layers.of("last")
Run = Callable[[np.ndarray], Any]


def on_gpu() -> bool:
    return jax.default_backend() == "gpu"


def dtype_here() -> str:
    return "bfloat16" if on_gpu() else "float32"


def torch_sdpa(folder: Path, config: minibert.BertConfig, compiled: bool = False) -> Run:
    import torch
    import transformers

    model = transformers.BertModel.from_pretrained(folder, attn_implementation="sdpa", dtype=getattr(torch, dtype_here())).eval()
    model.to("cuda" if on_gpu() else "cpu")
    forward = torch.compile(model) if compiled else model

    def run(ids: np.ndarray) -> Any:
        given = torch.tensor(ids).long().to(model.device)
        with torch.inference_mode():
            return forward(input_ids=given, attention_mask=torch.ones_like(given)).last_hidden_state.float().cpu().numpy()

    return run


def openvino(folder: Path, config: minibert.BertConfig) -> Run:
    if on_gpu():
        raise ImportError("not for this device")
    import openvino as ov
    import torch
    import transformers

    class Traced(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = transformers.BertModel.from_pretrained(folder, attn_implementation="sdpa").eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    example = (torch.ones((2, 8), dtype=torch.long),) * 2
    model = ov.Core().compile_model(ov.convert_model(Traced(), example_input=example), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda ids: model([ids.astype(np.int64), np.ones(ids.shape, np.int64)])[0]


def former_flax(folder: Path, config: minibert.BertConfig) -> Run:
    from transformers import FlaxBertModel

    flax_folder = folder.parent / "flax"
    if not flax_folder.exists():
        minibert.convert(folder, flax_folder, to="flax")
    model = FlaxBertModel.from_pretrained(flax_folder, dtype=jnp.dtype(dtype_here()))
    forward = jax.jit(lambda params, ids: model(ids, params=params).last_hidden_state)
    return lambda ids: np.asarray(forward(model.params, ids), np.float32)


def keras_hub(folder: Path, config: minibert.BertConfig) -> Run:
    import keras_hub

    model = keras_hub.models.BertBackbone(
        vocabulary_size=config.vocab_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        hidden_dim=config.hidden_size,
        intermediate_dim=config.intermediate_size,
        dtype=dtype_here(),
    )
    variables = [[each.value for each in some] for some in (model.trainable_variables, model.non_trainable_variables)]
    forward = jax.jit(lambda variables, batch: model.stateless_call(*variables, batch, training=False)[0]["sequence_output"])

    def run(ids: np.ndarray) -> Any:
        batch = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": np.ones_like(ids)}
        return np.asarray(forward(variables, batch), np.float32)

    return run


PEERS: dict[str, tuple[str, Callable[[Path, minibert.BertConfig], Run]]] = {
    "transformers, SDPA": ("torch", torch_sdpa),
    "OpenVINO": ("openvino", openvino),
    "transformers' former Flax": ("transformers", former_flax),
    "KerasHub": ("keras_hub", keras_hub),
}
OTHER_WEIGHTS = ("KerasHub",)


def peers(folder: Path, config: minibert.BertConfig) -> dict[str, Run]:
    makers = dict(PEERS)
    if on_gpu():
        makers["SDPA, torch.compile"] = ("torch", lambda folder, config: torch_sdpa(folder, config, compiled=True))
    found: dict[str, Run] = {}
    for name, (needs, make) in makers.items():
        if importlib.util.find_spec(needs) is None:
            print(f"  ({name}: not installed)")
            continue
        try:
            found[name] = make(folder, config)
        except ImportError as problem:
            print(f"  ({name} does not run here: {str(problem).splitlines()[0][:120]})")
    return found


def models() -> dict[str, Callable[[Path], Path]]:
    """By its name, what gives a model's folder; one may be made in the given place."""

    def base(place: Path) -> Path:
        model = minibert.Bert(minibert.BertConfig(), rngs=nnx.Rngs(0))
        minibert.save(model, minibert.Tokenizer.load("minilm-l6"), place)
        return place

    return {"MiniLM": lambda place: resolve("minilm-l6"), "BERT-base": base}


def compare(name: str, folder: Path, rounds: int) -> None:
    overrides = {"attention_implementation": "fused"} if on_gpu() else {}
    model = for_throughput(minibert.load(folder, dtype=dtype_here(), **overrides))
    contenders = peers(folder, model.config)
    programs = Programs(model, jax.local_devices())
    workers = programs if on_gpu() else Workers(model, cores())
    shares: list[float] = []
    for texts, tokens in SHAPES_ON_GPU if on_gpu() else SHAPES:
        ids = np.random.default_rng(0).integers(1000, model.config.vocab_size, (texts, tokens)).astype(np.int32)
        parts = 1 if on_gpu() else max(cores(), ids.size // TOKENS_AT_A_TIME["cpu"])

        def ours(runner: Any, parts: int, ids: np.ndarray = ids) -> np.ndarray:
            started = [runner.start(as_packed(part), LAST, None) for part in np.array_split(ids, parts)]
            return np.concatenate([result() for result in started])

        runs: dict[str, Callable[[], Any]] = {"minibert": lambda ours=ours, parts=parts: ours(workers, parts)}
        if not on_gpu():
            runs["minibert in one process"] = lambda ours=ours: ours(programs, 1)
        runs |= {peer: lambda run=run, ids=ids: run(ids) for peer, run in contenders.items()}
        expected = runs["minibert"]()
        for peer, run in runs.items():
            worst = np.abs(run() - expected).max()
            limit = 0.2 if on_gpu() else 1e-4
            assert worst < limit or peer in OTHER_WEIGHTS, f"{peer} differs by {worst:.1e}"
        bare = bare_products()
        taken = in_turn({**runs, **bare}, rounds)
        rates = [products(model.config, texts, tokens) / seconds / 1e9 for seconds in taken["minibert"]]
        rows, inner, columns = BARE
        # Of the two libraries' rates the better one, round by round.
        best = [2 * rows * inner * columns / min(pair) / 1e9 for pair in zip(*(taken[each] for each in bare), strict=True)]
        of_shape = [rate / bound for rate, bound in zip(rates, best, strict=True)]
        shares += of_shape
        alone = paired_ratio(taken["minibert in one process"], taken["minibert"]) if not on_gpu() else None
        print(
            f"  {texts} x {tokens}: {statistics.median(rates):,.0f} GFLOP/s of products, {spread(of_shape)} of the bare rate"
            + (f"; one process takes {alone} of the time" if alone else "")
        )
        for peer in contenders:
            print(f"    {peer:26} / minibert: {paired_ratio(taken[peer], taken['minibert'])}", flush=True)
    print(f"  {name}: {spread(shares)} of the bare rate over all shapes")
    if len(bare) > 1:
        print(f"  bare products of the last shape's rounds, jax / torch: {paired_ratio(taken['bare torch'], taken['bare jax'])}")
    if isinstance(workers, Workers):
        workers.close()


def as_packed(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Full rows of one text each, as the programs of `Features` take them."""
    positions = np.broadcast_to(np.arange(ids.shape[1], dtype=np.int32), ids.shape)
    return {"input_ids": ids, "position_ids": positions, "segment_ids": np.ones_like(ids)}


def products(config: minibert.BertConfig, texts: int, tokens: int) -> float:
    """Floating-point operations of all matrix products of a forward pass."""
    dense = 2 * (4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size)
    return config.num_hidden_layers * texts * tokens * (dense + 4 * tokens * config.hidden_size)


def bare_products() -> dict[str, Callable[[], Any]]:
    """One product, by jax and, where it is there, by torch."""
    rows, inner, columns = BARE
    left = jax.random.normal(jax.random.key(0), (rows, inner), dtype_here())
    right = jax.random.normal(jax.random.key(1), (inner, columns), dtype_here())
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision="highest"))
    result: dict[str, Callable[[], Any]] = {"bare jax": lambda: multiply(left, right).block_until_ready()}
    if importlib.util.find_spec("torch") is not None:
        import torch

        device, dtype = "cuda" if on_gpu() else "cpu", getattr(torch, dtype_here())
        torch_left, torch_right = (torch.tensor(np.asarray(each, np.float32)).to(device, dtype) for each in (left, right))
        result["bare torch"] = lambda: (torch_left @ torch_right)[0, 0].item()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default: %(default)s)")
    parser.add_argument("--only", choices=models(), help="only this model")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{processor()}; {cores()} cores; {dtype_here()}; {versions()}")
    for name, make in models().items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory() as place:
                print(f"{name}:", flush=True)
                compare(name, make(Path(place) / "model"), arguments.rounds)


def versions() -> str:
    found = []
    for name in ("minibert", "jax", "torch", "transformers", "openvino", "keras-hub"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    main()
