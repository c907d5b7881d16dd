"""What a call costs on this machine."""

import contextlib
import math
import os
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from minibert.model import Bert
from minibert.model.inputs import check_inputs
from minibert.verification.doctor.findings import Finding, good, size
from minibert.verification.doctor.patient import Patient

TOKENS = 32
BATCH = 8
CALLS = 15
SECONDS = 1.0
"""For how long calls are repeated at most, once there are three."""


def parameters(patient: Patient) -> Finding:
    """How many parameters the encoder has, and their memory."""
    count = sum(math.prod(shape) for shape in patient.shapes.values())
    stored = patient.stored.number_of_bytes
    return good(
        f"{count:,}: {size(4 * count)} as float32; the file holds tensors of {size(stored)}.",
        parameters=count,
        bytes_as_float32=4 * count,
        bytes_stored=stored,
    )


def compilation(patient: Patient) -> Finding:
    """How long the compiler takes for a shape that it has not seen."""
    model = patient.model
    tokens = _tokens(model)
    with _without_kept_programs():
        begin = time.perf_counter()
        # A new function each time, which JAX cannot know already.
        jax.jit(lambda model, inputs: model.forward(*inputs)).lower(model, check_inputs(model.config, _ids(model, 1))).compile()
        seconds = time.perf_counter() - begin
    return good(
        f"{seconds:.2f} s for a new shape, here 1 text of {tokens} tokens; the commands keep compiled programs on disk.",
        seconds=seconds,
    )


def one_text(patient: Patient) -> Finding:
    """A call with one text."""
    return _call(patient.model, 1)


def batch(patient: Patient) -> Finding:
    """A call with a batch."""
    return _call(patient.model, BATCH)


def machine(patient: Patient) -> Finding:
    """What was measured on."""
    _ = patient.model  # without it nothing was measured
    device = jax.devices()[0]
    name = _processor() if device.platform == "cpu" else device.device_kind
    cores = os.cpu_count() or 1
    what = f"{name}, {cores} cores" if device.platform == "cpu" else f"{device.platform}: {name}"
    return good(
        f"These times are this machine's: {what}, JAX {jax.__version__}.", device=device.platform, name=name, jax=jax.__version__
    )


def _call(model: Bert, rows: int) -> Finding:
    ids = _ids(model, rows)
    jax.block_until_ready(model(ids))
    times: list[float] = []
    while len(times) < 3 or (len(times) < CALLS and sum(times) < SECONDS):
        begin = time.perf_counter()
        jax.block_until_ready(model(ids))
        times.append(time.perf_counter() - begin)
    milliseconds = statistics.median(times) * 1e3
    each = f" ({milliseconds / rows:.3g} ms a text)" if rows > 1 else ""
    return good(
        f"{milliseconds:.3g} ms for {rows} of {ids.shape[1]} tokens{each}, the median of {len(times)} calls.",
        milliseconds=milliseconds,
        rows=rows,
        tokens=ids.shape[1],
        calls=len(times),
    )


def _ids(model: Bert, rows: int) -> np.ndarray:
    """Any ids: they make no difference to the time."""
    tokens = _tokens(model)
    return np.arange(rows * tokens, dtype=np.int32).reshape(rows, tokens) % model.config.vocab_size


def _tokens(model: Bert) -> int:
    return min(TOKENS, model.config.max_position_embeddings)


@contextlib.contextmanager
def _without_kept_programs() -> Iterator[None]:
    """Compile in earnest: JAX looks only once whether compiled programs are kept on disk, so it is made to look again."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
