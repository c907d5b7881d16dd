"""Fetching Google's zips: a local server that behaves, and one that does not; archives that are not what they should be."""

import base64
import hashlib
import http.server
import io
import json
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fetched_folders import contents, leftovers, serving, without_proxies, write_registry

import minibert
from minibert.checkpoints import google_zip
from minibert.checkpoints.download import fetch
from minibert.errors import FetchError
from minibert.tokenizer import Tokenizer

GOOGLE = Path(__file__).parents[1] / "goldens" / "tensor_bundles" / "google"
WEIGHTS = ("bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001")
LETTERS = [*map(chr, range(ord("A"), ord("Z") + 1)), *"abcdef"]
VOCABULARY = "".join(f"{token}\n" for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]).encode()
FILES = {name: (GOOGLE / name).read_bytes() for name in ("bert_config.json", *WEIGHTS)} | {"vocab.txt": VOCABULARY}
ZIP = "2018_10_18/tiny.zip"


def zipped(files: dict[str, bytes], folder: str = "tiny/") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return stream.getvalue()


class Bucket(http.server.ThreadingHTTPServer):
    """A server with one zip, whose answers a test can spoil; `breaks` is how many of them end in the middle."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = zipped(FILES | {"bert_model.ckpt.meta": b"a graph, which nobody needs"})
        self.fault = ""
        self.breaks = 0
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def do_GET(self) -> None:
        bucket, content = self.server, self.server.content
        asked = self.headers.get("Range", "")
        bucket.requests.append(asked)
        if not self.path.endswith(".zip") or bucket.fault == "404":
            self.send_error(404)
            return
        if bucket.fault == "500" or (bucket.fault == "500 once" and len(bucket.requests) == 1):
            self.send_error(500)
            return
        if bucket.fault == "a new ETag" and asked:
            # Another file by now: as If-Range has it, all of it.
            content = bucket.content = zipped(FILES, folder="other/")
            asked = ""
        if bucket.fault == "no ranges":
            asked = ""
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        rest = content[begin:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header(
                "Content-Range", f"bytes {begin + (bucket.fault == 'another part')}-{len(content) - 1}/{len(content)}"
            )
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        md5 = base64.b64encode(hashlib.md5(b"other" if bucket.fault == "MD5" else content).digest()).decode()
        self.send_header("x-goog-hash", "crc32c=AAAAAA==")
        self.send_header("x-goog-hash", f"md5={md5}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if bucket.breaks:
            bucket.breaks -= 1
            rest = rest[: len(rest) // 2]
            self.close_connection = True
        self.wfile.write(rest)

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    server = Bucket()
    monkeypatch.setenv("MINIBERT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINIBERT_GOOGLE_ENDPOINT", server.address)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    without_proxies(monkeypatch)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    # Small chunks, so that our small file breaks off in the middle of the reading too, as large ones do.
    monkeypatch.setattr(google_zip, "CHUNK", 100)
    use_registry(tmp_path, monkeypatch)
    with serving(server):
        yield server


def use_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, confirmed: bool = True, keeps_case: bool = False, path: str = ZIP
) -> None:
    """Make a registry with the one name `tiny`, of a hub that cannot be reached and of a zip that can."""
    rows = ""
    for name, content in FILES.items():
        known = f', sha256 = "{hashlib.sha256(content).hexdigest()}"' if confirmed else ""
        rows += f'{{ name = "{name}"{known}, confirmed = {str(confirmed).lower()} }},\n'
    folder = tmp_path / f"weights-{time.monotonic_ns()}"
    write_registry(
        folder,
        monkeypatch,
        f"""
        keeps_case = {str(keeps_case).lower()}
        source = {{ kind = "hub", repository = "example/tiny" }}
        files = [ {{ name = "config.json" }}, {{ name = "model.safetensors" }} ]

        [tiny.original]
        source = {{ kind = "zip", path = "{path}" }}
        files = [ {rows} ]
        """,
    )


def test_the_original_arrives_whole_and_loads_by_name(bucket: Bucket, tmp_path: Path) -> None:
    result = fetch("tiny", original=True)
    assert contents(result.folder, FILES) == FILES
    assert sorted(path.name for path in result.folder.iterdir()) == sorted([*FILES, "fetched.json"])
    assert json.loads((result.folder / "fetched.json").read_text())["origin"] == f"{bucket.address}/{ZIP}"
    assert leftovers(tmp_path) == ["tiny"]
    ids = np.array([[2, 7, 8, 3]])
    expected = minibert.load(GOOGLE)(ids).last_hidden_state
    np.testing.assert_array_equal(minibert.load("tiny")(ids).last_hidden_state, expected)


def test_what_is_here_is_checked_without_a_request(bucket: Bucket) -> None:
    fetch("tiny", original=True)
    for original in (True, False):
        assert fetch("tiny", original=original).already_here
    assert bucket.requests == [""]


def test_a_damaged_original_is_fetched_again_and_not_the_hubs_files(bucket: Bucket) -> None:
    folder = fetch("tiny", original=True).folder
    (folder / WEIGHTS[1]).unlink()
    result = fetch("tiny")
    assert "is missing" in result.notes[0]
    assert contents(folder, FILES) == FILES


def test_the_hubs_files_are_replaced_only_when_told_to(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "checkpoints" / "tiny"
    folder.mkdir(parents=True)
    shutil.copyfile(GOOGLE / "bert_config.json", folder / "config.json")
    with pytest.raises(FetchError, match="holds the hub's files of tiny; give --force"):
        fetch("tiny", original=True)
    assert contents(fetch("tiny", original=True, force=True).folder, FILES) == FILES


def test_a_hub_that_cannot_be_reached_is_answered_with_the_zip(bucket: Bucket) -> None:
    with pytest.raises(FetchError, match=r"could not be fetched .* minibert fetch tiny --original"):
        fetch("tiny")


def test_a_checkpoint_without_an_original_says_so() -> None:
    with pytest.raises(FetchError, match="no other files of minilm-l6"):
        fetch("minilm-l6", original=True)


@pytest.mark.parametrize("keeps_case", [False, True])
def test_tokenizers_are_told_where_case_counts(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_case: bool
) -> None:
    use_registry(tmp_path, monkeypatch, keeps_case=keeps_case)
    folder = fetch("tiny", original=True).folder
    assert fetch("tiny").already_here
    # Other libraries need the file; minibert sees it by the vocabulary too.
    assert (folder / "tokenizer_config.json").exists() is keeps_case
    assert Tokenizer.load(folder).tokenize("A") == ["A"]


@pytest.mark.parametrize("breaks", [1, 2, 4])
@pytest.mark.parametrize("fault", ["", "no ranges", "a new ETag"])
def test_an_answer_that_breaks_off_ends_as_the_right_files_or_an_error(
    bucket: Bucket, tmp_path: Path, breaks: int, fault: str
) -> None:
    bucket.breaks, bucket.fault = breaks, fault
    try:
        assert contents(fetch("tiny", original=True).folder, FILES) == FILES
    except FetchError as problem:
        assert breaks == 4
        assert "without ever finishing" in str(problem)
        assert leftovers(tmp_path) == []
    if fault == "":
        assert [bool(asked) for asked in bucket.requests] == [False] + [True] * breaks


def test_a_server_that_stumbles_once_is_asked_again(bucket: Bucket) -> None:
    bucket.fault = "500 once"
    assert contents(fetch("tiny", original=True).folder, FILES) == FILES


@pytest.mark.parametrize(
    ("fault", "breaks", "message"),
    [
        ("404", 0, "the server answers 404"),
        ("500", 0, "the server answers 500"),
        ("", 5, "the answer broke off"),
        ("another part", 1, "was answered with another part"),
        ("MD5", 0, "arrived with the MD5"),
    ],
)
def test_a_bad_answer_is_an_error_and_leaves_nothing(
    bucket: Bucket, tmp_path: Path, fault: str, breaks: int, message: str
) -> None:
    bucket.fault, bucket.breaks = fault, breaks
    with pytest.raises(FetchError, match=message):
        fetch("tiny", original=True)
    assert leftovers(tmp_path) == []


def bomb() -> bytes:
    return zipped(FILES | {WEIGHTS[1]: bytes(100_000_000)})


def with_a_name_that_leads_out() -> bytes:
    return zipped(FILES | {"../../outside": b"x"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>please log in</html>" * 10, "a proxy or mirror sent something else"),
        (b"", "a proxy or mirror sent something else"),
        (zipped(FILES)[:-30], "is not a sound zip file"),
        (zipped(FILES)[:100] + b"!" + zipped(FILES)[101:], "damaged|unlike its central one|sound zip"),
        (zipped({"notes.txt": b"x"}), "holds no checkpoint"),
        (zipped({name: FILES[name] for name in FILES if name != "vocab.txt"}), r"has no vocab\.txt"),
        (zipped(FILES | {"vocab.txt": b"[PAD]\n"}), "the registry expects"),
        (zipped(FILES | {"two/vocab.txt": VOCABULARY}), "expected one checkpoint"),
        (bomb(), "would inflate"),
        (with_a_name_that_leads_out(), "no plain relative path"),
    ],
)
def test_an_archive_that_is_not_the_checkpoint_is_an_error_and_leaves_nothing(
    bucket: Bucket, tmp_path: Path, content: bytes, message: str
) -> None:
    bucket.content = content
    before = {path for path in tmp_path.rglob("*") if "home" not in path.parts}
    with pytest.raises(FetchError, match=message):
        fetch("tiny", original=True)
    assert leftovers(tmp_path) == []
    assert {path for path in tmp_path.rglob("*") if "home" not in path.parts} == before


def test_without_hashes_a_file_is_held_against_what_was_fetched(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, confirmed=False)
    result = fetch("tiny", original=True)
    assert [verdict.text for verdict in result.verdicts] == ["no public hash known"] * 4
    assert fetch("tiny").already_here
    (result.folder / "vocab.txt").write_bytes(VOCABULARY[:-2])
    assert "is not the file that was fetched" in fetch("tiny").notes[0]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "ftp://127.0.0.1"])
def test_a_server_that_cannot_be_reached_is_an_error(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("MINIBERT_GOOGLE_ENDPOINT", endpoint)
    with pytest.raises(FetchError, match=r"could not be fetched: .*MINIBERT_GOOGLE_ENDPOINT|is no address"):
        fetch("tiny", original=True)


def test_the_configuration_of_another_model_is_refused(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, confirmed=False, path="2020_02_20/uncased_L-9_H-128_A-2.zip")
    with pytest.raises(FetchError, match=r"sent a bert_config\.json with num_hidden_layers = 2, where its name says 9"):
        fetch("tiny", original=True)
    assert leftovers(tmp_path) == []
