"""Times our encoder against transformers on torch: the same weights, the same batch, in turn, in one process.

    python benchmarks/encoder.py [--rounds 30]

Needs the extra `reference`. Cases: MiniLM (6 layers, 384 wide) at 32 texts × 32 tokens with its trained weights if they are
fetched, random ones otherwise; a BERT-base shape (12 layers, 768 wide) with random weights at 8 × 128. Every round runs
each contender once, in shuffled order; what counts is the median of the rounds' ratios, for a machine's speed drifts.
Also measured: both libraries' bare float32 product rates, compile time, and the overhead of `model(**batch)`.
"""

import argparse
import json
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers
from paired import in_turn, paired_ratio, processor, seconds
from transformers import BertConfig, BertModel

import minibert
from minibert.checkpoints.registry import resolve
from minibert.model import Bert
from minibert.model.inputs import check_inputs

CASES = {"MiniLM": (32, 32), "BERT-base shape": (8, 128)}


def product_rates(rounds: int) -> None:
    """The bare float32 product that bounds both: [1024, 768] @ [768, 3072]."""
    left = np.random.default_rng(0).normal(size=(1024, 768)).astype(np.float32)
    right = np.random.default_rng(1).normal(size=(768, 3072)).astype(np.float32)
    jax_left, jax_right = jnp.asarray(left), jnp.asarray(right)
    torch_left, torch_right = torch.tensor(left), torch.tensor(right)
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision="highest"))
    taken = in_turn(
        {
            "jax": lambda: multiply(jax_left, jax_right).block_until_ready(),
            "torch": lambda: torch_left @ torch_right,
        },
        rounds,
    )
    operations = 2 * 1024 * 768 * 3072 / 1e9
    rates = {name: operations / statistics.median(durations) for name, durations in taken.items()}
    ratio = paired_ratio(taken["torch"], taken["jax"])
    print(f"bare float32 products: jax {rates['jax']:.0f} GFLOP/s, torch {rates['torch']:.0f}; jax / torch {ratio}")


def checkpoint_for(case: str, folder: Path) -> Path:
    """The folder that both sides load, so that they share every weight."""
    if case == "MiniLM":
        try:
            return resolve("minilm-l6")
        except minibert.CheckpointError as problem:
            print(f"(random weights of MiniLM's shape: {problem})")
        config = BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536)
    else:
        config = BertConfig()
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    return folder


def compile_seconds(model: Bert, batch: dict[str, np.ndarray]) -> float:
    """The first call less a later one, without the compilation cache."""
    jax.clear_caches()
    first = seconds(lambda: model(**batch).last_hidden_state.block_until_ready())
    return first - seconds(lambda: model(**batch).last_hidden_state.block_until_ready())


def call_overhead(rounds: int) -> float:
    """Milliseconds that `model(**batch)` adds to its bare compiled function on the flat leaves, for 6 layers.

    Measured on a model 12 wide and a batch of 1 × 4, so that the computation does not drown it.
    """
    from flax import nnx

    config = minibert.BertConfig(vocab_size=99, hidden_size=12, num_hidden_layers=6, intermediate_size=24)
    model = Bert(config, rngs=nnx.Rngs(0))
    batch = {name: np.ones((1, 4), np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")}
    inputs = check_inputs(config, **batch)
    leaves, structure = jax.tree.flatten(model)

    @jax.jit
    def bare(leaves: list, inputs: tuple) -> jax.Array:
        return jax.tree.unflatten(structure, leaves).forward(*inputs).last_hidden_state

    taken = in_turn(
        {
            "model(**batch)": lambda: model(**batch).last_hidden_state.block_until_ready(),
            "bare": lambda: bare(leaves, inputs).block_until_ready(),
        },
        rounds * 20,
    )
    return 1e3 * (statistics.median(taken["model(**batch)"]) - statistics.median(taken["bare"]))


def compare_case(case: str, rounds: int) -> None:
    texts, tokens = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = checkpoint_for(case, Path(folder))
        ours = minibert.load(checkpoint)
        peers = {name: BertModel.from_pretrained(checkpoint, attn_implementation=name).eval() for name in ("sdpa", "eager")}
    ids = np.random.default_rng(0).integers(0, ours.config.vocab_size, (texts, tokens)).astype(np.int32)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    torch_batch = {name: torch.tensor(array).long() for name, array in batch.items()}

    def run_peer(name: str) -> torch.Tensor:
        with torch.inference_mode():
            return peers[name](**torch_batch).last_hidden_state

    compiling = compile_seconds(ours, batch)
    difference = np.abs(np.asarray(ours(**batch).last_hidden_state) - run_peer("sdpa").numpy()).max()
    taken = in_turn(
        {
            "minibert": lambda: ours(**batch).last_hidden_state.block_until_ready(),
            "sdpa": lambda: run_peer("sdpa"),
            "eager": lambda: run_peer("eager"),
        },
        rounds,
    )
    medians = {name: f"{1e3 * statistics.median(durations):.0f} ms" for name, durations in taken.items()}
    print(f"{case}, {texts} x {tokens} tokens, float32 (largest difference {difference:.1e}): {json.dumps(medians)}")
    print(f"  transformers SDPA  / minibert: {paired_ratio(taken['sdpa'], taken['minibert'])}")
    print(f"  transformers eager / minibert: {paired_ratio(taken['eager'], taken['minibert'])}")
    print(f"  compile: {compiling:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="rounds that count, for each case (default: %(default)s)")
    rounds = parser.parse_args().rounds
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    threads = torch.get_num_threads()
    names = ("minibert", "jax", "flax", "torch", "transformers")
    print(f"processor: {processor()}; {threads} threads")
    print("versions: " + ", ".join(f"{name} {version(name)}" for name in names))
    print("ratios are medians of paired rounds, 10th to 90th percentile in brackets; above 1, minibert is faster")
    product_rates(rounds)
    for case in CASES:
        compare_case(case, rounds)
    print(f"overhead of model(**batch) over the bare compiled function: {call_overhead(rounds):.2f} ms")


if __name__ == "__main__":
    main()
