"""Fetching from a package index: pip against a local index that behaves, and one that does not."""

import hashlib
import http.server
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetched_folders import contents, leftovers, serving, write_registry

from minibert.checkpoints import download as download_module
from minibert.checkpoints import package_index
from minibert.checkpoints import registry as registry_module
from minibert.checkpoints.download import fetch
from minibert.errors import FetchError

WHEEL = "tiny_bert-1.0-py3-none-any.whl"
# The vocabulary is larger unpacked than its wheel, for the test of a full disk.
FILES = {
    "config.json": b'{"hidden_size": 8}',
    "vocab.txt": "".join(f"token{number % 700}\n" for number in range(20_000)).encode(),
    "1_Pooling/config.json": b'{"word_embedding_dimension": 8}',
}


def make_wheel(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_bert/__init__.py", "raise SystemExit('no code of a wheel may run')")
        for name, content in files.items():
            archive.writestr(f"tiny_bert/model/{name}", content)
        information = "tiny_bert-1.0.dist-info"
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: tiny-bert\nVersion: 1.0\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return stream.getvalue()


class Index(http.server.ThreadingHTTPServer):
    """A package index with one project, whose answers a test can spoil."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), IndexHandler)
        self.wheel = make_wheel(FILES)
        self.fault = ""
        self.requests = 0
        self.stalled = threading.Event()
        self.go_on = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/simple/"


class IndexHandler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.requests += 1
        fault = self.server.fault
        if not self.path.endswith(".whl"):
            found = self.path == "/simple/tiny-bert/" and fault != "404"
            self.answer(200 if found else 404, "text/html", f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode() if found else b"")
        elif fault == "500":
            self.answer(500, "text/plain", b"")
        elif fault == "HTML for a file":
            self.answer(200, "text/html", b"<!DOCTYPE html><html>please log in</html>")
        else:
            self.answer(200, "application/octet-stream", self.server.wheel)

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path.endswith(".whl") and self.server.fault in ("half a body", "stall"):
            self.wfile.write(body[: len(body) // 2])
            if self.server.fault == "stall":
                self.server.stalled.set()
                self.server.go_on.wait(20)
        else:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    server = Index()
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    settings = {
        "MINIBERT_HOME": str(tmp_path / "home"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": server.address,
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CACHE_DIR": str(tmp_path / "pip-cache"),
        "PIP_RETRIES": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    use_registry(tmp_path, monkeypatch, server.wheel)
    with serving(server):
        yield server
        server.go_on.set()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def use_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: bytes, wheel_name: str = WHEEL) -> None:
    """Make a registry with the one name `tiny`, for this wheel."""
    rows = "".join(
        f'{{ name = "{name}", sha256 = "{sha256(content)}", size = {len(content)}, confirmed = true }},\n'
        for name, content in FILES.items()
    )
    folder = tmp_path / f"weights-{time.monotonic_ns()}"
    write_registry(
        folder,
        monkeypatch,
        f"""
        source = {{ kind = "package", project = "tiny-bert", version = "1.0", wheel = "{wheel_name}",
                    sha256 = "{sha256(wheel)}", size = {len(wheel)}, folder = "tiny_bert/model" }}
        files = [ {rows} ]
        """.replace("\n                    ", " "),
    )


def test_a_checkpoint_arrives_whole(index: Index, tmp_path: Path) -> None:
    result = fetch("tiny")
    assert result.folder == tmp_path / "home" / "checkpoints" / "tiny"
    assert contents(result.folder, FILES) == FILES
    assert [verdict.text for verdict in result.verdicts] == ["sha256 as registered"] * 3
    assert leftovers(tmp_path) == ["tiny"]


def test_a_second_fetch_makes_no_request(index: Index) -> None:
    fetch("tiny")
    requests = index.requests
    assert fetch("tiny").already_here
    assert index.requests == requests


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("404", "pip could not download tiny-bert==1.0: No matching distribution found"),
        ("500", "pip could not download tiny-bert==1.0: .*500"),
        ("half a body", r"tiny-bert==1\.0|tiny_bert-1\.0.* bytes"),
        ("HTML for a file", "tiny_bert-1.0-py3-none-any.whl"),
    ],
)
def test_a_bad_answer_is_an_error_and_leaves_nothing(index: Index, tmp_path: Path, fault: str, complaint: str) -> None:
    index.fault = fault
    with pytest.raises(FetchError, match=complaint):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_a_wheel_of_another_name_is_refused(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, index.wheel, wheel_name="tiny_bert-1.0-1-py3-none-any.whl")
    with pytest.raises(FetchError, match=f"pip downloaded {WHEEL}"):
        fetch("tiny")


def test_no_network_is_said_to_be_no_network(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 1 of this machine: nobody listens there. pip says so only when it retries.
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple/")
    with pytest.raises(FetchError, match=r"no package index could be reached for tiny-bert==1.0"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_a_python_without_pip_is_told_how_to_get_it(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout=f"{sys.executable}: No module named pip\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(FetchError, match=r"has no pip.*ensurepip"):
        fetch("tiny")
    assert leftovers(tmp_path) == []


def test_a_python_that_cannot_be_started_is_an_error(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FetchError, match="pip could not be started"):
        fetch("tiny")


def test_a_pip_that_breaks_is_quoted_by_its_last_line(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    output = "WARNING: old\nERROR: Exception:\nTraceback (most recent call last):\nKeyError: 'wheels'\n"
    failed = subprocess.CompletedProcess([], 2, stdout=output)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(FetchError, match=r"pip could not download tiny-bert==1.0: KeyError: 'wheels'"):
        fetch("tiny")


def test_a_disk_that_is_full_for_pip_is_said_to_be_full(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="ERROR: OSError: [Errno 28] No space left on device\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(FetchError, match="no room for the checkpoint tiny"):
        fetch("tiny")


def test_progress_counts_the_bytes_that_came(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "POLL_SECONDS", 0.001)
    calls: list[tuple[int, int | None]] = []
    fetch("tiny", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][1] == len(index.wheel)
    assert 0 < max(done for done, _ in calls) <= len(index.wheel)


def test_a_file_that_vanishes_while_it_is_counted_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "wheel").mkdir()
    (tmp_path / "wheel" / "gone").symlink_to(tmp_path / "nowhere")
    assert package_index.bytes_so_far(tmp_path) == 0


def outcomes_of_two_fetches_at_once() -> list[object]:
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(contents(fetch("tiny").folder, FILES))
        except FetchError as problem:
            outcomes.append(problem)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_two_fetches_at_once_both_end_with_the_checkpoint(index: Index, tmp_path: Path) -> None:
    assert outcomes_of_two_fetches_at_once() == [FILES, FILES]
    assert leftovers(tmp_path) == ["tiny"]


def test_two_fetches_at_once_without_locks_both_end_with_the_checkpoint(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "fcntl", None)
    assert outcomes_of_two_fetches_at_once() == [FILES, FILES]
    assert leftovers(tmp_path) == ["tiny"]


# Fetches in a process of its own, where the registry of the test has to be put in place once more.
CHILD = """
import sys
from pathlib import Path
from minibert.checkpoints import registry
registry.weights_folder = lambda: Path(sys.argv[1])
from minibert.checkpoints.download import fetch
from minibert.errors import FetchError
try:
    print(fetch("tiny").folder)
except FetchError as problem:
    sys.exit(f"minibert: {problem}")
"""


def child_command() -> list[str]:
    return [sys.executable, "-c", CHILD, str(registry_module.weights_folder())]


@pytest.mark.long
def test_a_killed_fetch_leaves_no_checkpoint_and_the_next_one_cleans_up(index: Index, tmp_path: Path) -> None:
    index.fault = "stall"
    child = subprocess.Popen(child_command(), start_new_session=True)
    assert index.stalled.wait(20)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    index.go_on.set()
    (stale,) = leftovers(tmp_path)
    assert stale.endswith(".part")
    index.fault = ""
    assert contents(fetch("tiny").folder, FILES) == FILES
    assert leftovers(tmp_path) == ["tiny"]


@pytest.mark.long
def test_the_folder_of_a_fetch_that_still_runs_is_left_alone(index: Index, tmp_path: Path) -> None:
    index.fault = "stall"
    child = subprocess.Popen(child_command(), stdout=subprocess.PIPE)
    assert index.stalled.wait(20)
    index.fault = ""
    fetch("tiny")
    assert len(leftovers(tmp_path)) == 2
    child.kill()
    child.communicate()


@pytest.mark.long
def test_a_file_size_limit_ends_as_one_sentence_and_leaves_nothing(index: Index, tmp_path: Path) -> None:
    limit = len(index.wheel) + 10_000
    assert limit < len(FILES["vocab.txt"])
    outcome = subprocess.run(
        child_command(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert outcome.stderr.startswith("minibert: no room for the checkpoint tiny")
    assert outcome.stderr.count("\n") == 1
    assert leftovers(tmp_path) == []
