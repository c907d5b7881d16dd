"""Times the laboratory against plain forward passes of the same model, in turn, in one process.

    python benchmarks/lab.py [--rounds 9]

Needs the fetched default checkpoint. A patching sweep over all layers × 32 positions of one text is held against as many plain
passes in batches of the same size; recording every intermediate against a plain pass and the copy of what was recorded. Every
round runs each once, in shuffled order; what counts is the median of the rounds' ratios.
"""

import argparse
import json
import statistics
from typing import Any

import jax
import numpy as np
from paired import in_turn, paired_ratio, processor

import minibert
from minibert import lab

TOKENS, ROWS = 32, 64


def batch_of(texts: int, seed: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(1000, 30000, (texts, TOKENS)).astype(np.int32)
    return {"input_ids": ids}


def first_value(output: Any) -> jax.Array:
    return output.last_hidden_state[:, 0, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default: %(default)s)")
    rounds = parser.parse_args().rounds
    model = minibert.load("minilm-l6")
    text, source, many = batch_of(1, 0), batch_of(1, 1), batch_of(ROWS, 2)
    passes = model.config.num_hidden_layers * TOKENS // ROWS

    def plain() -> None:
        for _ in range(passes):
            jax.block_until_ready(model(**many).last_hidden_state)

    def record() -> int:
        return sum(array.values.nbytes for array in lab.run(model, some, capture=everything).captured.values())

    def pass_and_copy() -> None:
        jax.block_until_ready(model(**some).last_hidden_state)
        np.copyto(room, 1.0)

    some = batch_of(8, 3)
    everything = ["embeddings.*", "layers.*.*", "layers.*.*.*", "pooler.*"]
    room = np.empty(record() // 4, np.float32)
    sweep = in_turn({"plain": plain, "sweep": lambda: lab.patching_sweep(model, text, source, first_value)}, rounds)
    recording = in_turn({"plain": pass_and_copy, "record": record}, rounds)
    print(f"processor: {processor()}")
    for name, taken, slow in (
        ("sweep of 6 layers x 32 positions", sweep, "sweep"),
        ("recording everything", recording, "record"),
    ):
        medians = {which: f"{1e3 * statistics.median(durations):.0f} ms" for which, durations in taken.items()}
        print(f"{name}: {json.dumps(medians)}; {slow} / plain {paired_ratio(taken[slow], taken['plain'])}")


if __name__ == "__main__":
    main()
