"""Times whole processes: `minibert embed hello` against the shortest scripts that do the same with the big libraries.

    python benchmarks/start_up.py [--rounds 7]

Needs the extra `reference` and the fetched default checkpoint. Every round runs each process once, in turn; the first round
warms the disk's and the compilation cache and is dropped. The ratio is the median of the rounds' ratios.
"""

import argparse
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

from minibert.checkpoints.registry import resolve

SCRIPTS = {
    "sentence-transformers": (
        "from sentence_transformers import SentenceTransformer; print(SentenceTransformer({folder!r}).encode('hello')[:4])"
    ),
    "transformers": (
        "import torch; from transformers import AutoModel, AutoTokenizer; "
        "batch = AutoTokenizer.from_pretrained({folder!r})('hello', return_tensors='pt'); "
        "model = AutoModel.from_pretrained({folder!r}).eval(); "
        "print(torch.inference_mode()(model)(**batch).last_hidden_state.mean(1)[0, :4])"
    ),
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: %(default)s)")
    rounds = parser.parse_args().rounds
    folder = str(resolve("minilm-l6"))
    commands = {"minibert": [sys.executable, "-m", "minibert.cli.main", "embed", "hello"]}
    commands |= {name: [sys.executable, "-c", script.format(folder=folder)] for name, script in SCRIPTS.items()}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            duration = seconds(command)
            if number:
                taken[name].append(duration)
    print(", ".join(f"{name} {version(name)}" for name in ("minibert", "jax", "torch", *SCRIPTS)))
    for name in SCRIPTS:
        ratio = statistics.median(ours / theirs for ours, theirs in zip(taken["minibert"], taken[name], strict=True))
        ours, theirs = statistics.median(taken["minibert"]), statistics.median(taken[name])
        print(f"minibert {ours:.2f} s, {name} {theirs:.2f} s; minibert takes {ratio:.2f} of its time")


if __name__ == "__main__":
    main()
