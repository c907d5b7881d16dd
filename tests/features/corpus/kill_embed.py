"""Kills `minibert embed` with a real checkpoint, goes on, and compares the bytes with an undisturbed run's.

    python tests/features/corpus/kill_embed.py MODEL [--lines 20000] [--seeds 3] [--workers 2] [--chunk 512]

Takes minutes, so no test runs it: the tests kill jobs at every single operation, with an engine that is quick. Here the whole
command dies by SIGKILL at a random moment, worker processes and all, twice for every seed.
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

COMMAND = """
import sys
import minibert.features.corpus.job as job
from minibert.features.corpus import ChunkSize
from minibert.cli.main import main
job.CHUNK_SIZES["sentences"] = ChunkSize(int(sys.argv[1]), 1 << 24)
sys.exit(main(sys.argv[2:]))
"""
WORDS = ("bank", "river", "money", "rates", "water", "shore", "loan", "raised", "flows", "interest", "deep", "account")
LONGEST = 30
KILLS_A_SEED = 2


def written(path: Path, lines: int) -> Path:
    generator = random.Random(0)
    path.write_text("".join(" ".join(generator.choices(WORDS, k=generator.randrange(LONGEST))) + "\n" for _ in range(lines)))
    return path


def command(arguments: argparse.Namespace, texts: Path, output: Path) -> list[str]:
    words = ["embed", "--model", arguments.model, "--file", str(texts), "--output", str(output), "--quiet"]
    return [sys.executable, "-c", COMMAND, str(arguments.chunk), *words, "--workers", str(arguments.workers)]


def killed(words: list[str], seconds: float) -> bool:
    """Whether the command and its workers were killed before they were done."""
    process = subprocess.Popen(words, start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


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
        started = time.monotonic()
        subprocess.run(command(arguments, texts, undisturbed), check=True)
        seconds = time.monotonic() - started
        print(f"undisturbed: {arguments.lines:,} lines in {seconds:.0f} s", flush=True)
        kills = resumed_in_the_middle = 0
        for seed in range(arguments.seeds):
            generator = random.Random(seed)
            output = folder / f"{seed}.npy"
            words = command(arguments, texts, output)
            for _ in range(KILLS_A_SEED):
                if killed(words, generator.uniform(0.05, 0.75) * seconds):
                    kills += 1
                    resumed_in_the_middle += (folder / f".{output.name}.partial" / "progress.json").exists()
            subprocess.run(words, check=True)
            if result(output) != result(undisturbed):
                sys.exit(f"seed {seed}: the output differs from the undisturbed run's")
            rest = [path.name for path in folder.iterdir() if path.name.startswith(f".{output.name}")]
            time.sleep(1)
            if rest or left_over():
                sys.exit(f"seed {seed}: left behind {rest} and {left_over()}")
            output.unlink()
            print(f"seed {seed}: the same bytes after {kills} kills in all", flush=True)
        print(f"{kills} kills, {resumed_in_the_middle} of them with chunks done: every output the same as undisturbed")


if __name__ == "__main__":
    main()
