"""What tests of fetching look at: the folder where the checkpoint `tiny` lands."""

from collections.abc import Iterable
from pathlib import Path


def contents(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The files of those names, by their names."""
    return {name: (folder / name).read_bytes() for name in names}


def leftovers(tmp_path: Path) -> list[str]:
    """What lies in the folder of checkpoints besides the empty lock file."""
    folder = tmp_path / "home" / "checkpoints"
    return sorted(path.name for path in folder.iterdir() if path.name != ".tiny.lock") if folder.is_dir() else []
