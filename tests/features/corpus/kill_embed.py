"""Kills `minibert embed` with a real checkpoint, goes on, and compares the bytes with an undisturbed run's.

    python tests/features/corpus/kill_embed.py MODEL [--lines 20000] [--seeds 3] [--workers 2] [--chunk 512]

Takes minutes, so no test runs it: the tests kill jobs at every single operation, with an engine that is quick. Here the whole
command dies by SIGKILL at a random moment, its workers with it, twice for every seed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minibert.cli.main import main as main_of_minibert
from minibert.features.corpus import ChunkSize
from minibert.features.corpus.options import CHUNK_SIZES
from minibert.features.workers import SECONDS_TO_END

WORDS = ("bank", "river", "money", "rates", "water", "shore", "loan", "raised", "flows", "interest", "deep", "account")
LONGEST = 30
KILLS_A_SEED = 2


def written(path: Path, lines: int) -> Path:
    generator = random.Random(0)
    path.write_text("".join(" ".join(generator.choices(WORDS, k=generator.randrange(LONGEST))) + "\n" for _ in range(lines)))
    return path


def started(arguments: argparse.Namespace, texts: Path, output: Path) -> int:
    """The command in a process of its own, by a fork, which spares it the imports; JAX begins its threads only there."""
    words = ["embed", "--model", arguments.model, "--file", str(texts), "--output", str(output), "--quiet"]
    child = os.fork()
    if child == 0:
        CHUNK_SIZES["sentences"] = ChunkSize(arguments.chunk, 1 << 24)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(main_of_minibert([*words, "--workers", str(arguments.workers)]))
    return child


def finished(child: int) -> None:
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"the command ended with status {status}")


def killed(child: int, seconds: float) -> bool:
    """Whether the command was killed before it was done; its workers end with it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def left_over() -> list[str]:
    """Worker processes whose parent is gone."""
    lines = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if "minibert.features.worker" in line and line.split()[0] == "1"]


def result(output: Path) -> tuple[bytes, dict[str, object]]:
    """The vectors, and the receipt without its date."""
    receipt = json.loads(output.with_name(f"{output.name}.receipt.json").read_text())
    del receipt["date"]
    return output.read_bytes(), receipt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=512, help="texts in a chunk (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = written(folder / "texts.txt", arguments.lines)
        undisturbed = folder / "undisturbed.npy"
        begun = time.monotonic()
        finished(started(arguments, texts, undisturbed))
        seconds = time.monotonic() - begun
        print(f"undisturbed: {arguments.lines:,} lines in {seconds:.1f} s", flush=True)
        kills = with_chunks_done = 0
        for seed in range(arguments.seeds):
            generator = random.Random(seed)
            output = folder / f"{seed}.npy"
            for _ in range(KILLS_A_SEED):
                if killed(started(arguments, texts, output), generator.uniform(0.05, 0.75) * seconds):
                    kills += 1
                    with_chunks_done += (folder / f".{output.name}.partial" / "progress.json").exists()
            finished(started(arguments, texts, output))
            if result(output) != result(undisturbed):
                sys.exit(f"seed {seed}: the output differs from the undisturbed run's")
            rest = [path.name for path in folder.iterdir() if path.name.startswith(f".{output.name}")]
            if rest:
                sys.exit(f"seed {seed}: left behind {rest}")
            output.unlink()
        time.sleep(SECONDS_TO_END)
        if left_over():
            sys.exit(f"left behind {left_over()}")
        print(f"{kills} kills, {with_chunks_done} of them with chunks done: every output the same as undisturbed")


if __name__ == "__main__":
    main()
