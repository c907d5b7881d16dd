"""Checkpoints in the zips that Google published with the papers, from the bucket where they lie."""

import base64
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

from minibert.checkpoints.archive import unpack
from minibert.checkpoints.integrity import check_form, file_sizes
from minibert.checkpoints.registry import File, ZipSource
from minibert.checkpoints.zipped import wanted_members
from minibert.errors import CheckpointError, FetchError

BUCKET = "https://storage.googleapis.com/bert_models"
ENDPOINT_VARIABLE = "MINIBERT_GOOGLE_ENDPOINT"

ATTEMPTS = 5
TIMEOUT_SECONDS = 30
CHUNK = 1 << 20
MOST_BYTES = 8 << 30
"""Of a server that does not say how much it will send; BERT-large's zip has 1.2 GB."""


def download(source: ZipSource, files: tuple[File, ...], work: Path, folder: Path) -> str:
    """Bring the zip into `work` and unpack `files` from it into `folder`; returns the address it came from.

    The server is `$MINIBERT_GOOGLE_ENDPOINT`, or Google's bucket. Where an answer breaks off, the next one goes on from there.
    FetchError: a zip that is not what its server says of it (size, MD5) or has no sound layout, a server that cannot be
    reached. OSError: no room on the disk.
    """
    endpoint = (os.environ.get(ENDPOINT_VARIABLE) or BUCKET).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise FetchError(f"{ENDPOINT_VARIABLE} = {endpoint!r} is no address; expected one that begins with https://")
    url = f"{endpoint}/{source.path}"
    archive = work / "zip" / Path(source.path).name
    archive.parent.mkdir()
    _bring(url, archive)
    check_form(archive)
    try:
        members = wanted_members(archive)
    except CheckpointError as problem:
        raise FetchError(f"{url} is not the zip that was expected: {problem}") from None
    if missing := [file.name for file in files if file.name not in members]:
        raise FetchError(f"{url} has no {missing[0]}, which the registry expects in it; its mirror holds something else")
    unpack(
        archive,
        wanted={members[file.name]: folder / file.name for file in files},
        sizes={members[file.name]: file.size for file in files},
    )
    return url


def bytes_so_far(work: Path) -> int:
    """How much of the zip has arrived."""
    return sum(file_sizes(work / "zip"))


class _BrokenOffError(Exception):
    """An answer that broke off, or a server that may do better when it is asked again."""


def _bring(url: str, archive: Path) -> None:
    """Write what `url` answers to the new file `archive`."""
    tag: str | None = None
    budget = MOST_BYTES
    with archive.open("xb") as file:
        for attempt in range(ATTEMPTS):
            try:
                with _asked(url, file.tell(), tag) as response:
                    if not _goes_on(response, file.tell(), tag):
                        file.seek(0)
                        file.truncate()
                    tag = response.headers.get("ETag")
                    left = response.length
                    if attempt == 0 and left is not None:
                        # A server that breaks off and begins anew each time must not be listened to for ever.
                        budget = min(budget, 2 * left)
                    while chunk := _read(response):
                        budget -= len(chunk)
                        if budget < 0:
                            raise FetchError(f"{url} sent far more bytes than it announced, without ever finishing; try later")
                        file.write(chunk)
                    facts = response.headers
                break
            except _BrokenOffError as problem:
                if attempt == ATTEMPTS - 1:
                    raise FetchError(
                        f"{url} could not be fetched: {problem}; check the network, or set {ENDPOINT_VARIABLE} to a mirror that "
                        "this machine reaches"
                    ) from None
                time.sleep(2**attempt)
    _check_md5(url, archive, facts)


def _asked(url: str, begin: int, tag: str | None) -> http.client.HTTPResponse:
    """The answer of the server, for the bytes from `begin` on where it can be trusted to hold the same file still."""
    headers = {"User-Agent": "minibert", "Accept-Encoding": "identity"}
    if begin and tag is not None:
        headers |= {"Range": f"bytes={begin}-", "If-Range": tag}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        reason = f"the server answers {problem.code} {problem.reason}"
        if problem.code < 500:
            raise FetchError(f"{url} could not be fetched: {reason}; check {ENDPOINT_VARIABLE} and proxies") from None
        raise _BrokenOffError(reason) from None
    except (OSError, http.client.HTTPException) as problem:
        raise _BrokenOffError(str(getattr(problem, "reason", "") or problem or type(problem).__name__)) from None


def _goes_on(response: http.client.HTTPResponse, begin: int, tag: str | None) -> bool:
    """Whether an answer goes on at byte `begin` of the same file; any other begins at the beginning."""
    if response.status != 206:
        return False
    if response.headers.get("ETag") != tag or not response.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
        raise FetchError(f"{response.url} was answered with another part, or of another file, than was asked for; try again")
    return True


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        chunk = response.read(CHUNK)
    except (OSError, http.client.HTTPException) as problem:
        raise _BrokenOffError(f"the answer broke off ({problem})") from None
    # With a size given, read() is silent about an answer that ends too early.
    if not chunk and response.length:
        raise _BrokenOffError(f"the answer broke off, {response.length:,} bytes before its end")
    return chunk


def _check_md5(url: str, archive: Path, facts: Message) -> None:
    """FetchError where Google's storage states an MD5, and the file has another."""
    stated = [part.strip() for line in facts.get_all("x-goog-hash", []) for part in line.split(",")]
    expected = next((part.removeprefix("md5=") for part in stated if part.startswith("md5=")), None)
    if expected is None:
        return
    with archive.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()).decode()
    if found != expected:
        raise FetchError(f"{url} arrived with the MD5 {found}, its server states {expected}: damaged on the way; try again")
