"""Times the verification of MiniLM on eight texts: recording against the plain forward pass, and comparing.

    python benchmarks/verification.py [--rounds 15]

Needs the fetched default checkpoint. A round records the trace of all names, runs the plain forward pass and copies as
many bytes as the trace holds, in shuffled order; what counts is the median of the rounds' ratios. Comparing starts from files:
a trace against a stored reference, and against another trace, whose truth and floor are computed.
"""

import argparse
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from paired import in_turn, paired_ratio, processor, spread

import minibert
from minibert.verification import compare, record, stored_references


def recording(model: minibert.Bert, batch: dict[str, np.ndarray], rounds: int) -> None:
    trace = record(model, batch)
    taken = in_turn(
        {
            "record": lambda: record(model, batch),
            "forward": lambda: model(**batch).last_hidden_state.block_until_ready(),
            "copy": lambda: [np.array(values) for values in trace.values()],
        },
        rounds,
    )
    size = sum(values.nbytes for values in trace.values())
    texts, tokens = batch["input_ids"].shape
    allowed = [2 * forward + copy for forward, copy in zip(taken["forward"], taken["copy"], strict=True)]
    print(f"recording {len(trace)} names of {texts} x {tokens} tokens, {size / 2**20:.1f} MiB; ratios below 1 are faster")
    print(f"  record / forward:              {paired_ratio(taken['record'], taken['forward'])}")
    print(f"  record / (2 x forward + copy): {paired_ratio(taken['record'], allowed)}")


def comparing(model: minibert.Bert, rounds: int) -> None:
    reference = next(each for each in stored_references("minilm-l6") if len(each.inputs["input_ids"]) == 8)
    with tempfile.TemporaryDirectory() as folder:
        trace, other = Path(folder, "trace.safetensors"), Path(folder, "other.safetensors")
        for path in (trace, other):
            record(model, reference.inputs).save(path)
        taken = in_turn(
            {
                "stored": lambda: compare(minibert.Trace.read(trace), reference.path),
                "trace": lambda: compare(minibert.Trace.read(trace), other, model="minilm-l6"),
            },
            rounds,
        )
    print(f"comparing a trace of 8 texts with a stored reference: {spread(taken['stored'])} s")
    print(f"comparing it with another trace, truth and floor computed: {spread(taken['trace'])} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count (default: %(default)s)")
    rounds = parser.parse_args().rounds
    print(f"processor: {processor()}")
    print("versions: " + ", ".join(f"{name} {version(name)}" for name in ("minibert", "jax", "flax", "numpy")))
    model = minibert.load("minilm-l6")
    for texts, tokens in ((8, 24), (8, 128)):
        ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (texts, tokens)).astype(np.int32)
        recording(model, {"input_ids": ids, "attention_mask": np.ones_like(ids)}, rounds)
    comparing(model, rounds)


if __name__ == "__main__":
    main()
