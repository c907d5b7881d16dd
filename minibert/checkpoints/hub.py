"""Checkpoints in a model repository on a hub, brought here by huggingface_hub (the extra `hub`)."""

import inspect
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.checkpoints.integrity import NO_ROOM, file_sizes
from minibert.checkpoints.registry import File, HubSource
from minibert.errors import FetchError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# A server that breaks off every answer and ignores where to go on would otherwise be asked for ever.
MAX_TRAFFIC_FACTOR = 4


@dataclass(frozen=True)
class HubOutcome:
    """The commit that the files came from, and the sha256 that the hub itself states for some of them."""

    commit: str
    stated: dict[str, str]


def download(source: HubSource, files: tuple[File, ...], work: Path, folder: Path) -> HubOutcome:
    """Bring `files` of the repository into `folder`, all from one commit: the pinned one, or what main is now.

    The server is `$HF_ENDPOINT`, or the public hub. FetchError: huggingface_hub is absent, the server cannot be
    reached, has not got the file, answers for another commit, or breaks off again and again. OSError: no room on disk.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError:
        raise FetchError(
            f"{source.repository} needs huggingface_hub, which is not installed; run: pip install 'minibert[hub]'"
        ) from None

    # huggingface_hub reads HF_ENDPOINT once, when it is imported; here it counts whenever it is set.
    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    revision = source.revision
    stated: dict[str, str] = {}
    for file in files:
        try:
            url = huggingface_hub.hf_hub_url(source.repository, file.name, revision=revision or "main", endpoint=endpoint)
            facts = huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint)
            revision = _same_commit(revision, facts.commit_hash, url)
            if facts.etag and _SHA256.fullmatch(facts.etag):
                stated[file.name] = facts.etag
            path = huggingface_hub.hf_hub_download(
                source.repository,
                file.name,
                revision=revision,
                local_dir=work / "hub",
                endpoint=endpoint,
                **_traffic_guard(max(file.size or 0, facts.size or 0)),
            )
        except FetchError:
            raise
        # Which classes its transport raises changed from version to version; all of them end as our one sentence.
        except Exception as problem:
            if isinstance(problem, OSError) and problem.errno in NO_ROOM:
                raise
            reason = " ".join(f"{problem}".split())[:300] or type(problem).__name__
            raise FetchError(
                f"{file.name} of {source.repository} could not be fetched from {endpoint}: {reason}; check the "
                "network, or set HF_ENDPOINT to a hub that this machine reaches"
            ) from problem
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
    if revision is None:
        raise FetchError(f"{source.repository} lists no files in the registry")
    return HubOutcome(revision, stated)


def bytes_so_far(work: Path) -> int:
    """How many bytes lie in `work`, finished files and the one on its way together."""
    return sum(file_sizes(work))


def _same_commit(revision: str | None, commit: str | None, url: str) -> str:
    """The commit that the server answers for; FetchError if it names none or another than the pinned one."""
    if commit is None or not _COMMIT.fullmatch(commit):
        raise FetchError(f"{url} was answered by a server that names no commit, so it is no hub; check HF_ENDPOINT and proxies")
    if revision is not None and commit != revision:
        raise FetchError(f"{url} was answered for commit {commit}, the registry pins {revision}; check HF_ENDPOINT")
    return commit


def _traffic_guard(size: int) -> dict[str, Any]:
    """The argument that ends a download after far more traffic than the file has bytes, and draws no bar."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import tqdm

    # The first releases of huggingface_hub 1 do not take it; they do not start over endlessly either.
    if "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        return {}
    received = 0

    class Guard(tqdm):
        """A progress bar that is never drawn and refuses endless traffic."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **(options | {"disable": True}))

        def update(self, n: float | int | None = 1) -> bool | None:
            nonlocal received
            received += int(max(n or 0, 0))
            if size and received > MAX_TRAFFIC_FACTOR * size:
                raise FetchError(
                    f"the server sent {received:,} bytes for a file of {size:,} without ever finishing it; try later"
                )
            return None

    return {"tqdm_class": Guard}
