"""Fetching from a hub: huggingface_hub against a local server that behaves, and one that does not."""

import hashlib
import http.server
import json
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from fetched_folders import contents, leftovers, serving, without_proxies, write_registry
from huggingface_hub import constants

from minibert.checkpoints.download import fetch
from minibert.errors import FetchError

REPOSITORY = "example/tiny"
COMMIT = "5af368743e3f1d81c2a846f7c8d4a028ad9fb021"
OTHER_COMMIT = "86b5e0934494bd15c9632b12f734a8a67f723594"


def make_safetensors(values: list[float]) -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, 4 * len(values)]}}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack(f"<{len(values)}f", *values)


FILES = {
    "config.json": b'{"hidden_size": 8}',
    "vocab.txt": b"[PAD]\n[UNK]\nword\n",
    "model.safetensors": make_safetensors([1.0, 2.0, 3.0, 4.0]),
}


class Hub(http.server.ThreadingHTTPServer):
    """A model hub with one repository, whose answers for one file a test can spoil."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files = dict(FILES)
        self.commit = COMMIT
        self.spoiled = "model.safetensors"
        self.fault = ""
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Hub

    def do_HEAD(self) -> None:
        self.serve(head=True)

    def do_GET(self) -> None:
        self.serve(head=False)

    def serve(self, head: bool) -> None:
        hub = self.server
        hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        name = self.path.rsplit("/", 1)[-1]
        fault = hub.fault if name == hub.spoiled else ""
        content = hub.files.get(name)
        known = self.path.startswith((f"/{REPOSITORY}/resolve/{hub.commit}/", f"/{REPOSITORY}/resolve/main/"))
        if not known or content is None or fault == "404":
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"}, head)
        elif fault == "500" or (fault == "500 for the body" and not head):
            self.answer(500, b"", {}, head)
        elif fault == "HTML for a file":
            page = b"<!DOCTYPE html><html>please log in</html>"
            self.answer(200, page, self.facts(page), head)
        elif fault == "no hub":
            self.answer(200, content, {"ETag": '"1"'}, head)
        elif fault == "HTML for the body" and not head:
            self.answer(200, b"<!DOCTYPE html>".ljust(len(content)), self.facts(content), head)
        elif fault == "a new ETag" and not head:
            changed = content[:-1] + b"!"
            self.answer(200, changed, self.facts(changed), head)
        elif fault.startswith("half a body") and not head:
            self.serve_half(content, again="again" in fault, ranges="200" not in fault)
        else:
            self.answer(200, content, self.facts(content), head)

    def serve_half(self, content: bytes, again: bool, ranges: bool) -> None:
        """Break off in the middle, the first time or each time; then answer a Range request, or ignore it."""
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and ranges else 0
        rest = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if asked and not again:
            self.wfile.write(rest)
            return
        self.wfile.write(rest[: len(rest) // 2])
        self.close_connection = True

    def facts(self, content: bytes) -> dict[str, str]:
        return {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": self.server.commit}

    def answer(self, status: int, body: bytes, headers: dict[str, str], head: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    without_proxies(monkeypatch)
    # Small chunks, so that our small files break off in the middle of the reading too, as large ones do.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16)
    # huggingface_hub waits between its attempts; the attempts are the same without.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    use_registry(tmp_path, monkeypatch)
    with serving(server):
        yield server


def use_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hashes: str = "confirmed", revision: str | None = COMMIT
) -> None:
    """Make a registry with the one name `tiny`; `hashes` is confirmed, wrong (and unconfirmed), or unknown."""
    rows = ""
    for name, content in FILES.items():
        sha256 = hashlib.sha256(b"other" if hashes == "wrong" else content).hexdigest()
        known = "" if hashes == "unknown" else f', sha256 = "{sha256}"'
        size = f", size = {len(content)}" if hashes == "confirmed" else ""
        rows += f'{{ name = "{name}"{known}{size}, confirmed = {str(hashes == "confirmed").lower()} }},\n'
    pinned = "" if revision is None else f', revision = "{revision}"'
    folder = tmp_path / f"weights-{time.monotonic_ns()}"
    write_registry(
        folder,
        monkeypatch,
        f"""
        source = {{ kind = "hub", repository = "{REPOSITORY}"{pinned} }}
        files = [ {rows} ]
        """,
    )


def test_a_checkpoint_arrives_whole(hub: Hub, tmp_path: Path) -> None:
    result = fetch("tiny")
    assert contents(result.folder, FILES) == FILES
    assert sorted(path.name for path in result.folder.iterdir()) == sorted([*FILES, "fetched.json"])
    assert leftovers(tmp_path) == ["tiny"]
    assert result.notes == ()


def test_a_second_fetch_makes_no_request(hub: Hub) -> None:
    fetch("tiny")
    requests = len(hub.requests)
    assert fetch("tiny").already_here
    assert len(hub.requests) == requests


@pytest.mark.parametrize(
    ("fault", "with_hash", "without_hash"),
    [
        ("404", "404 Client Error", "404 Client Error"),
        ("500", "500", "500"),
        ("500 for the body", "500", "500"),
        ("HTML for a file", "bytes, the registry expects", "a proxy or mirror sent something else"),
        ("HTML for the body", "sha256 .* the registry expects", "a proxy or mirror sent something else"),
        ("a new ETag", "sha256 .* the registry expects", "its server states"),
        ("no hub", "names no commit, so it is no hub", "names no commit, so it is no hub"),
        ("half a body again", "could not be fetched", "could not be fetched"),
        ("half a body again, 200 to a Range request", "without ever finishing it", "without ever finishing it"),
    ],
)
@pytest.mark.parametrize("hashes", ["confirmed", "unknown"])
def test_a_bad_answer_is_an_error_and_leaves_nothing(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    with_hash: str,
    without_hash: str,
    hashes: str,
) -> None:
    use_registry(tmp_path, monkeypatch, hashes=hashes)
    hub.fault = fault
    with pytest.raises(FetchError, match=with_hash if hashes == "confirmed" else without_hash):
        fetch("tiny")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("fault", ["half a body", "half a body, 200 to a Range request"])
@pytest.mark.parametrize("hashes", ["confirmed", "unknown"])
def test_a_broken_off_answer_ends_as_the_right_file_or_an_error(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, hashes: str
) -> None:
    use_registry(tmp_path, monkeypatch, hashes=hashes)
    hub.fault = fault
    try:
        folder = fetch("tiny").folder
    except FetchError:
        assert leftovers(tmp_path) == []
    else:
        assert contents(folder, FILES) == FILES


def test_wrong_bytes_of_the_right_length_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.files["model.safetensors"] = make_safetensors([1.0, 2.0, 3.0, 5.0])
    with pytest.raises(FetchError, match=r"model\.safetensors has sha256 .* the registry expects"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_a_difference_from_an_unconfirmed_hash_is_a_warning(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, hashes="wrong")
    for _ in range(2):
        result = fetch("tiny")
        assert all(verdict.suspect and "one public source alone states" in verdict.text for verdict in result.verdicts)
    assert result.already_here


def test_a_file_without_a_known_hash_that_changes_later_is_fetched_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, hashes="unknown")
    folder = fetch("tiny").folder
    (folder / "vocab.txt").write_bytes(b"[PAD]\n[UNK]\nbird\n")
    result = fetch("tiny")
    assert "vocab.txt is not the file that was fetched" in result.notes[0]
    assert contents(folder, FILES) == FILES


def test_a_checkpoint_without_its_record_is_fetched_again(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, hashes="unknown")
    (fetch("tiny").folder / "fetched.json").write_text("{")
    assert "does not say what was fetched" in fetch("tiny").notes[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"<html>please log in</html>"),
        ("config.json", b"{'hidden_size': 8}"),
        ("config.json", b""),
        ("vocab.txt", b"\n <!doctype html>"),
        ("vocab.txt", b"\xff\xfe\x00"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        ("model.safetensors", FILES["model.safetensors"][:-1]),
        ("model.safetensors", FILES["model.safetensors"][:20]),
        ("model.safetensors", FILES["model.safetensors"] + b"\0"),
        ("model.safetensors", struct.pack("<Q", 4) + b"null"),
    ],
)
def test_what_is_visibly_not_the_file_is_refused_where_no_hash_is_known(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    use_registry(tmp_path, monkeypatch, hashes="unknown")
    hub.files[name] = content
    with pytest.raises(FetchError, match=name):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_without_a_revision_main_is_taken_at_one_commit_with_a_warning(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, hashes="unknown", revision=None)
    result = fetch("tiny")
    assert result.notes == (f"nothing pins {REPOSITORY}: its main branch was taken as it is now, commit {COMMIT}",)
    assert len([request for request in hub.requests if "/resolve/main/" in request]) == 1
    assert json.loads((result.folder / "fetched.json").read_text())["origin"] == f"{REPOSITORY}@{COMMIT}"


def test_another_commit_than_the_pinned_one_is_refused(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, revision=OTHER_COMMIT)
    monkeypatch.setattr(HubHandler, "facts", lambda handler, content: {"ETag": '"1"', "X-Repo-Commit": COMMIT})
    hub.commit = OTHER_COMMIT
    with pytest.raises(FetchError, match=f"answered for commit {COMMIT}, the registry pins {OTHER_COMMIT}"):
        fetch("tiny")


def test_an_unreachable_hub_is_an_error(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 1 of this machine: nobody listens there.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(FetchError, match=r"could not be fetched from http://127.0.0.1:1: .*check the network"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_without_a_chosen_endpoint_the_library_knows_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert contents(fetch("tiny").folder, FILES) == FILES


def test_a_missing_huggingface_hub_is_named_with_its_extra(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FetchError, match=r"pip install 'minibert\[hub\]'"):
        fetch("tiny")


def test_a_full_disk_is_said_to_be_full(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(FetchError, match="no room for the checkpoint tiny"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_progress_counts_towards_the_size_of_all_files(hub: Hub) -> None:
    calls: list[tuple[int, int | None]] = []
    fetch("tiny", progress=lambda done, total: calls.append((done, total)))
    assert {total for _, total in calls} <= {sum(len(content) for content in FILES.values())}
