"""Times a step of our training against transformers on torch: the same weights, the same batch, in turn, in one process.

    python benchmarks/training.py [--rounds 15] [--only steps|memory]

Needs the extra `reference`. A step is a forward pass, the gradient, its norm clipped, and AdamW (torch's fused one) on all
parameters, of which biases and LayerNorm do not decay. Cases: MiniLM with its trained weights, and a BERT-base shape with random
ones, float32, each with dropout 0.1 and without. Every round runs each contender once, in shuffled order; what counts is the
median of the rounds' ratios. Before it, losses of three steps without dropout are compared.

Then, in a process with eight simulated devices: what a step takes of each device's memory when parameters and optimiser are
repeated, cut into eight, or four times cut into two, and whether the losses stay the same.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from paired import in_turn, paired_ratio, processor

import minibert
from minibert.checkpoints.registry import resolve
from minibert.process_memory import keep_freed_memory
from minibert.training import LOSSES, OptimiserOptions
from minibert.training.options import TrainingOptions
from minibert.training.parallel import Placement, bytes_per_device
from minibert.training.side_by_side import start_and_step
from minibert.training.step import Objective, TrainingState

HEAD = "sequence_classification"
CASES = {"MiniLM 32 x 64": ("minilm", 32, 64), "MiniLM 8 x 256": ("minilm", 8, 256), "BERT-base shape 8 x 128": ("base", 8, 128)}
STEPS = 1000
OPTIONS = OptimiserOptions(learning_rate=2e-5)


def checkpoint_for(shape: str, folder: Path) -> Path:
    """The folder that both sides load, so that they share every weight but the head's, which is copied."""
    import torch
    import transformers

    torch.manual_seed(0)
    if shape == "base":
        model = transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=2))
    else:
        model = transformers.BertForSequenceClassification.from_pretrained(resolve("minilm-l6"), num_labels=2)
    model.save_pretrained(folder)
    return folder


def batch_of(texts: int, tokens: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    ids = random.integers(1000, 30000, (texts, tokens)).astype(np.int32)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return batch | {"labels": random.integers(0, 2, texts).astype(np.int32)}


class Ours:
    def __init__(self, checkpoint: Path, batch: dict[str, np.ndarray], dropout: float, devices: str = "1x1") -> None:
        rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        placement = Placement(devices)
        rows = len(batch["labels"])
        options = TrainingOptions(batch_size=rows, devices=devices, optimiser=OPTIONS)
        model = minibert.load(checkpoint, head=HEAD, num_labels=2, **rates)
        state, self.one_step = start_and_step(model, Objective({HEAD: LOSSES[HEAD]}), STEPS, options, placement)
        self.leaves, self.structure = jax.tree.flatten(state)
        self.batch = placement.place_batch(batch, rows)

    @property
    def state(self) -> TrainingState:
        return jax.tree.unflatten(self.structure, self.leaves)

    def step(self) -> float:
        self.leaves, measured = self.one_step(self.leaves, self.batch)
        jax.block_until_ready(self.leaves)
        return float(measured.loss)


class Theirs:
    def __init__(self, checkpoint: Path, batch: dict[str, np.ndarray], dropout: float) -> None:
        import torch
        import transformers

        self.torch = torch
        rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        self.model = transformers.BertForSequenceClassification.from_pretrained(checkpoint, **rates).train()
        named = list(self.model.named_parameters())
        kept = [parameter for name, parameter in named if name.endswith("bias") or "LayerNorm" in name]
        decayed = [parameter for name, parameter in named if not (name.endswith("bias") or "LayerNorm" in name)]
        groups = [{"params": decayed, "weight_decay": OPTIONS.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=OPTIONS.learning_rate, eps=OPTIONS.epsilon, fused=True)
        self.schedule = transformers.get_linear_schedule_with_warmup(self.optimiser, STEPS // 10, STEPS)
        self.batch = {name: torch.tensor(array).long() for name, array in batch.items()}

    def step(self) -> float:
        loss = self.model(**self.batch).loss
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), OPTIONS.max_gradient_norm)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()
        return loss.item()


def compare_steps(rounds: int) -> None:
    for case, (shape, texts, tokens) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, batch = checkpoint_for(shape, Path(folder)), batch_of(texts, tokens)
            for dropout in (0.0, 0.1):
                ours, theirs = Ours(checkpoint, batch, dropout), Theirs(checkpoint, batch, dropout)
                losses = [(ours.step(), theirs.step()) for _ in range(3)]
                taken = in_turn({"minibert": ours.step, "transformers": theirs.step}, rounds)
                medians = {name: f"{1e3 * statistics.median(durations):.0f} ms" for name, durations in taken.items()}
                print(f"{case}, dropout {dropout:g}: {json.dumps(medians)}")
                if dropout == 0.0:
                    print(f"  losses of three steps differ by {max(abs(one - other) for one, other in losses):.1e}")
                print(f"  transformers / minibert: {paired_ratio(taken['transformers'], taken['minibert'])}", flush=True)
                del ours, theirs


def measure_memory() -> None:
    """In this process, which has eight simulated devices."""
    batch = batch_of(32, 64)
    first: list[float] = []
    for devices in ("1x1", "data", "shard", "4x2"):
        ours = Ours(resolve("minilm-l6"), batch, 0.1, devices)
        held = bytes_per_device((ours.state.model, ours.state.optimiser))
        working = ours.one_step.lower(ours.leaves, ours.batch).compile().memory_analysis()
        losses = [ours.step() for _ in range(4)]
        first = first or losses
        difference = max(abs(one / other - 1.0) for one, other in zip(losses, first, strict=True))
        print(
            f"MiniLM 32 x 64, devices {devices}: parameters and optimiser {held / 1e6:.0f} MB a device, "
            f"within a step {working.temp_size_in_bytes / 1e6:.0f} MB more; losses of 4 steps differ by {difference:.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count, for each case (default: %(default)s)")
    parser.add_argument("--only", choices=("steps", "memory"), help="one part")
    arguments: Any = parser.parse_args()
    if os.environ.get("MINIBERT_BENCHMARK_DEVICES"):
        jax.config.update("jax_num_cpu_devices", 8)
        jax.config.update("jax_platforms", "cpu")
        measure_memory()
        return
    if arguments.only != "memory":
        # As `minibert finetune` does; it serves torch as well.
        kept = keep_freed_memory()
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        names = ("minibert", "jax", "flax", "torch", "transformers")
        print(f"processor: {processor()}; {torch.get_num_threads()} threads; freed memory {'stays' if kept else 'goes back'}")
        print("versions: " + ", ".join(f"{name} {version(name)}" for name in names))
        print("ratios are medians of paired rounds, 10th to 90th percentile in brackets; above 1, minibert is faster")
        compare_steps(arguments.rounds)
    if arguments.only != "steps":
        print("eight simulated devices:", flush=True)
        environment = os.environ | {"MINIBERT_BENCHMARK_DEVICES": "8", "PYTHONWARNINGS": "ignore"}
        subprocess.run([sys.executable, __file__], check=True, env=environment)


if __name__ == "__main__":
    main()
