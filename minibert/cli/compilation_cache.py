"""Compiled programs kept on disk, so that the next command need not compile; never more than so many bytes of them."""

import contextlib
import os
from pathlib import Path

import jax

from minibert.checkpoints.registry import home

MOST_BYTES = 512 << 20
"""A program takes 10 to 500 kB."""


def keep_compiled_programs() -> None:
    """Let JAX keep compiled programs in `compilation/` beside the checkpoints; JAX_COMPILATION_CACHE_DIR is another place."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = home() / "compilation"
    forget_oldest(folder, MOST_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def forget_oldest(folder: Path, most_bytes: int) -> None:
    """Delete the programs that were used longest ago, until half of `most_bytes` is left, if there are more bytes than that.

    Another process may delete the same ones, or write; a program that is missed is compiled again.
    """
    found: list[tuple[float, int, str]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False):
                    found.append((max(status.st_atime, status.st_mtime), status.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    if total <= most_bytes:
        return
    for _, size, path in sorted(found):
        if total <= most_bytes // 2:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
