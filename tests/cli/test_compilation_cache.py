"""Compiled programs on disk: where, how many bytes, and how to do without."""

import os
from pathlib import Path

import jax
import pytest

from minibert.cli import compilation_cache
from minibert.cli.main import main


def test_the_programs_used_longest_ago_are_forgotten(tmp_path: Path):
    for number in range(10):
        path = tmp_path / f"program-{number}"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    compilation_cache.forget_oldest(tmp_path, 900)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"program-{number}" for number in (6, 7, 8, 9)]


def test_few_programs_are_all_kept(tmp_path: Path):
    (tmp_path / "program").write_bytes(bytes(100))
    compilation_cache.forget_oldest(tmp_path, 100)
    compilation_cache.forget_oldest(tmp_path / "absent", 100)
    assert (tmp_path / "program").exists()


@pytest.mark.parametrize("flag", [[], ["--no-compilation-cache"]])
def test_the_cache_is_on_unless_a_flag_says_otherwise(flag: list[str], tmp_path: Path, monkeypatch, capsys):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setattr(compilation_cache, "home", lambda: tmp_path)
    before = jax.config.jax_compilation_cache_dir
    changes: dict[str, object] = {}
    monkeypatch.setattr(compilation_cache.jax.config, "update", lambda name, value: changes.update({name: value}))
    assert main([*flag, "fetch", "--list"]) == 0
    assert changes.get("jax_compilation_cache_dir") == (None if flag else str(tmp_path / "compilation"))
    assert jax.config.jax_compilation_cache_dir == before
