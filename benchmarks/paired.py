"""What the benchmarks share: contenders timed in turn, medians of paired ratios, and the name of the processor."""

import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round; the order is shuffled every round, two rounds of warm-up are dropped."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(rounds + 2):
        random.shuffle(order)
        for name in order:
            duration = seconds(contenders[name])
            if number >= 2:
                taken[name].append(duration)
    return taken


def paired_ratio(theirs: list[float], ours: list[float]) -> str:
    return spread([their / our for their, our in zip(theirs, ours, strict=True)])


def spread(values: list[float]) -> str:
    """The median, and the 10th to 90th percentile."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    return f"{statistics.median(ordered):.2f} ({low:.2f} to {high:.2f})"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if flag in facts.get("flags", "").split()]
    family = f"family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"
    return f"{facts.get('model name', platform.machine())}, {family}, {', '.join(wide)}"
