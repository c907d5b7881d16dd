"""Draws how our training follows torch's: the losses of 50 steps from the same weights on the same batches, and how far the
parameters are apart after each.

    python benchmarks/trajectory.py [--output docs/trajectory.svg]

Needs the extra `reference` and the fetched minilm-l6. MiniLM with a new head, 8 texts of 32 tokens a step, no dropout, AdamW with
decay for all but biases and LayerNorm, linear warm-up over five steps and decay, gradients shortened to 1: ours by
`minibert.training`, theirs by transformers on torch. How far apart: for every parameter the root of the mean square of the
difference over that of the parameter; drawn are the largest and the median of all parameters. A key's bias is left out: it
changes nothing, its gradient is rounding alone, and Adam makes whole steps of it.
"""

import argparse
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
import transformers
from paired import processor

import minibert
from minibert.checkpoints.blueprint import parameters_of
from minibert.checkpoints.names import HEAD_PARAMETERS, table_for
from minibert.plots import save_figure
from minibert.training import LOSSES, OptimiserOptions
from minibert.training.layout import compiler_options, for_training
from minibert.training.step import Objective, first_state, training_step

HEAD = "sequence_classification"
STEPS, TEXTS, TOKENS = 50, 8, 32
OPTIONS = OptimiserOptions(learning_rate=5e-5, epsilon=1e-8)


def theirs_of(folder: Path) -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification.from_pretrained(
        minibert.fetch("minilm-l6").folder, num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model.save_pretrained(folder)
    named = list(model.train().named_parameters())
    plain = [value for name, value in named if name.endswith("bias") or "LayerNorm" in name]
    decayed = [value for name, value in named if not (name.endswith("bias") or "LayerNorm" in name)]
    groups = [{"params": decayed, "weight_decay": OPTIONS.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=OPTIONS.learning_rate, eps=OPTIONS.epsilon)
    return model, adam, transformers.get_linear_schedule_with_warmup(adam, STEPS // 10, STEPS)


def differences(ours: Any, theirs: Any) -> list[float]:
    """Of every parameter but the keys' biases, relative to its own size."""
    found = parameters_of(ours)
    expected = {name.removeprefix("bert."): value.detach().numpy() for name, value in theirs.named_parameters()}
    rows = [row._replace(ours=f"bert.{row.ours}") for row in table_for(ours.config.num_hidden_layers, pooler=True)]
    apart = []
    for row in [*rows, *HEAD_PARAMETERS[HEAD]]:
        if row.ours.endswith("attention.key.bias"):
            continue
        truth = expected[row.hf].T if row.transposed else expected[row.hf]
        error = np.asarray(found[row.ours].get_value()) - truth
        apart.append(float(np.sqrt(np.mean(error**2)) / np.sqrt(np.mean(truth**2))) if truth.any() else 0.0)
    return apart


def follow() -> tuple[np.ndarray, np.ndarray]:
    """Losses [steps, 2], ours and theirs, and differences [steps, parameters]."""
    random = np.random.default_rng(0)
    ids = random.integers(1000, 30000, (STEPS, TEXTS, TOKENS)).astype(np.int32)
    labels = random.integers(0, 2, (STEPS, TEXTS)).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
        theirs, adam, schedule = theirs_of(Path(folder))
        rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = for_training(minibert.load(folder, head=HEAD, **rates))
    state = first_state(model, STEPS, OPTIONS)
    make_step = training_step(model, Objective({HEAD: LOSSES[HEAD]}), STEPS, OPTIONS)
    step = jax.jit(make_step, compiler_options=compiler_options(model))
    losses, apart = [], []
    for number in range(STEPS):
        ones = np.ones_like(ids[number])
        batch = {"input_ids": ids[number], "attention_mask": ones, "token_type_ids": 0 * ones, "labels": labels[number]}
        state, measured = step(state, batch)
        loss = theirs(**{name: torch.tensor(array).long() for name, array in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), OPTIONS.max_gradient_norm)
        adam.step()
        schedule.step()
        adam.zero_grad()
        losses.append((float(measured.loss), loss.item()))
        apart.append(differences(state.model, theirs))
    return np.array(losses), np.array(apart)


def draw(losses: np.ndarray, apart: np.ndarray, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.4), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2)
    steps = np.arange(1, len(losses) + 1)
    left.plot(steps, losses[:, 1], color="#B0B0B0", linewidth=4.0, label="transformers on torch")
    left.plot(steps, losses[:, 0], color="#1B4F72", linewidth=1.2, label="minibert")
    left.set_xlabel("step")
    left.set_ylabel("loss")
    left.legend(frameon=False, fontsize=8)
    right.semilogy(steps, apart.max(axis=1), color="#1B4F72", label="largest of all parameters")
    right.semilogy(steps, np.median(apart, axis=1), color="#1B4F72", linestyle=":", label="median")
    right.axhline(1e-4, color="#B0B0B0", linewidth=0.8)
    right.set_xlabel("step")
    right.set_ylabel("relative difference of parameters")
    right.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="docs/trajectory.svg", metavar="FILE", help="(default: %(default)s)")
    output = Path(parser.parse_args().output)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"processor: {processor()}")
    print(", ".join(f"{name} {version(name)}" for name in ("minibert", "jax", "flax", "torch", "transformers")))
    losses, apart = follow()
    draw(losses, apart, output)
    print(f"losses of {STEPS} steps differ by {np.abs(losses[:, 0] / losses[:, 1] - 1.0).max():.1e} at most")
    print(f"parameters after them by {apart[-1].max():.1e} at most, {np.median(apart[-1]):.1e} in the median; {output} shows all")


if __name__ == "__main__":
    main()
