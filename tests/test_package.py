"""The rules between the parts: what an import brings in, and which part may know which."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import beartype
import jaxtyping
import numpy as np
import pytest
from jaxtyping import Float

from minibert.errors import shown
from minibert.verification.measures import real_positions

PACKAGE = Path(__file__).parent.parent / "minibert"

# A part may import those listed, besides itself, errors, strict_json, printable and atomic_write.
MAY_KNOW = {
    "config": set(),
    "model": {"config"},
    "tokenizer": {"checkpoints.registry"},
    "checkpoints": {"config", "model", "tokenizer"},
    "numpy_bert": {"config"},
    "verification": {"config", "model", "checkpoints", "tokenizer", "numpy_bert", "plots"},
    "features": {"config", "model", "checkpoints", "tokenizer"},
    "lab": {"config", "model", "checkpoints", "tokenizer", "numpy_bert"},
    # Of the features it knows how files of texts are read and how what was made of them is told apart.
    "training": {"config", "model", "checkpoints", "tokenizer", "plots", "features.corpus"},
}
FRAMEWORKS = ("torch", "transformers", "tensorflow", "huggingface_hub", "tokenizers", "sentence_transformers", "matplotlib")


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def sources(part: str) -> list[Path]:
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def test_importing_minibert_imports_no_other_framework():
    code = f"import sys, minibert, minibert.cli.main; print([name for name in {FRAMEWORKS} if name in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


@pytest.mark.parametrize("part", MAY_KNOW)
def test_dependencies_point_one_way(part: str):
    allowed = {
        f"minibert.{name}"
        for name in MAY_KNOW[part]
        | {part, "errors", "strict_json", "printable", "atomic_write", "folder_lock", "process_memory", "cores"}
    }
    for path in sources(part):
        for name in imported_modules(path):
            if name.startswith("minibert"):
                assert any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed), (path, name)


@pytest.mark.parametrize("part", ["tokenizer", "config"])
def test_the_tokenizer_and_the_configuration_know_nothing_of_jax(part: str):
    imported = set().union(*(imported_modules(path) for path in sources(part)))
    assert not {name for name in imported if name.split(".")[0] in ("jax", "flax")}


def test_no_module_imports_a_framework_when_it_is_imported():
    for path in PACKAGE.rglob("*.py"):
        top_level = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in top_level if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in top_level if isinstance(node, ast.ImportFrom)}
        assert not {name for name in names if name.split(".")[0] in FRAMEWORKS}, path


def test_the_version_is_that_of_the_package_metadata():
    from importlib.metadata import version

    import minibert

    assert minibert.__version__ == version("minibert")


def test_shapes_are_checked_while_tests_run():
    """The first calls of a function at least; functions without shapes are left as they are."""
    assert hasattr(real_positions, "__wrapped__") and not hasattr(shown, "__wrapped__")

    def first(rows: Float[np.ndarray, "rows width"] | None) -> Any:
        return rows

    checked = jaxtyping.jaxtyped(first, typechecker=beartype.beartype)
    assert checked(None) is None and checked(np.ones((2, 3))).shape == (2, 3)
    with pytest.raises(jaxtyping.TypeCheckError):
        checked(np.ones(3))
