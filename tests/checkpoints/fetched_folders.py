"""What tests of fetching share: a server, a registry with the checkpoint `tiny`, and the folder where it lands."""

import socketserver
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minibert.checkpoints import registry as registry_module


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """The server answers within it, in a thread."""
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or they would be asked for a server on this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def write_registry(folder: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """Make `folder`, new, that of the registry; of `tiny` the table has what is not the same in every test."""
    folder.mkdir()
    text = f'[tiny]\ndescription = "made for a test"\nlicence = "MIT"\n{table}'
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(registry_module, "weights_folder", lambda: folder)


def contents(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The files of those names, by their names."""
    return {name: (folder / name).read_bytes() for name in names}


def leftovers(tmp_path: Path) -> list[str]:
    """What lies in the folder of checkpoints besides the empty lock file."""
    folder = tmp_path / "home" / "checkpoints"
    return sorted(path.name for path in folder.iterdir() if path.name != ".tiny.lock") if folder.is_dir() else []
