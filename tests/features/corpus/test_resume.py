import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_features import FakeFeatures, fake_facts, some_texts

from minibert.errors import InputError
from minibert.features.corpus import Step, Stream, TextFiles, TextList
from minibert.features.corpus.work import Work

HERE = Path(__file__).parent
NAMES = (".npy", ".npz", ".jsonl", ".parquet")


class StopError(Exception):
    """What ends a job in these tests where it is."""


def stop_after(chunks: int):
    def report(step: Step) -> None:
        if step.texts >= 8 * chunks:
            raise StopError

    return report


@pytest.fixture
def interrupted(job, tmp_path: Path) -> Path:
    """The output of a job that ended behind its third chunk of six."""
    output = tmp_path / "vectors.npy"
    with pytest.raises(StopError):
        job(output, report=stop_after(3))
    return output


def work_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.partial")


def refusal(job, output: Path, **arguments) -> str:
    with pytest.raises(InputError) as problem:
        job(output, **arguments)
    return str(problem.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seeds", [40, pytest.param(200, marks=pytest.mark.long)])
def test_jobs_killed_at_any_operation_end_in_the_undisturbed_files(seeds: int, in_memory: Path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    command = [sys.executable, "-W", "ignore", str(HERE / "crash_runs.py"), str(in_memory), "0", str(seeds)]
    outcome = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert outcome.returncode == 0, outcome.stderr
    result = json.loads(outcome.stdout)
    assert result["wrong"] == []
    assert result["kills"] > seeds


@pytest.mark.parametrize("name", NAMES)
def test_a_resume_computes_no_finished_chunk_again(name, job, tmp_path: Path):
    output = tmp_path / f"vectors{name}"
    with pytest.raises(StopError):
        job(output, report=stop_after(3))
    assert not output.exists()
    features = FakeFeatures()
    outcome = job(output, features=features)
    assert (outcome.texts, outcome.kept) == (43, 24)
    assert [text for chunk in features.chunks for text in chunk] == some_texts(43)[24:]
    undisturbed = tmp_path / f"undisturbed{name}"
    job(undisturbed)
    assert output.read_bytes() == undisturbed.read_bytes()
    assert not work_of(output).exists()


def test_a_half_written_chunk_is_dropped(job, interrupted: Path, tmp_path: Path):
    with (work_of(interrupted) / "vectors.data").open("ab") as file:
        file.write(b"torn")
    with (work_of(interrupted) / "chunks.jsonl").open("ab") as file:
        file.write(b'{"vectors": [19')
    job(interrupted)
    job(tmp_path / "undisturbed.npy")
    assert interrupted.read_bytes() == (tmp_path / "undisturbed.npy").read_bytes()


def test_progress_that_is_torn_or_flipped_anywhere_is_refused_or_means_the_same(job, interrupted: Path):
    path = work_of(interrupted) / "progress.json"
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole) - 1, 7)]
    damaged += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 3)]
    work = Work(interrupted, {})
    for content in damaged:
        path.write_bytes(content)
        # White space between values may change without a change of what they say.
        try:
            same = json.loads(content) == json.loads(whole)
        except ValueError:
            same = False
        if not same:
            with pytest.raises(InputError, match=r"progress\.json is damaged: .* start anew with --restart"):
                work.read()
    work.close()
    path.write_bytes(whole[:-2])
    assert "progress.json is damaged" in refusal(job, interrupted)
    assert job(interrupted, restart=True).kept == 0


@pytest.mark.parametrize("name", ["vectors.data", "chunks.jsonl"])
def test_damage_inside_what_was_done_is_an_error(name, job, interrupted: Path):
    path = work_of(interrupted) / name
    whole = path.read_bytes()
    for place in range(128 if name == "vectors.data" else 0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert "is damaged" in refusal(job, interrupted)
    for length in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "damaged" in refusal(job, interrupted)
    path.unlink()
    assert f"{path} is missing" in refusal(job, interrupted)


def test_changed_options_are_refused_by_name(job, interrupted: Path):
    for options, said in (
        ({"layers": "first"}, "layers was 'last' and is 'first' now"),
        ({"pooling": "cls"}, "pooling was 'mean' and is 'cls' now"),
        ({"normalize": False}, "normalize was True and is False now"),
        ({"dim": 3}, "dim was None and is 3 now"),
        ({"on_long": "window"}, "on_long was 'truncate' and is 'window' now"),
        ({"output_dtype": "float16"}, "output_dtype was 'float32' and is 'float16' now"),
    ):
        message = refusal(job, interrupted, **options)
        assert said in message
        assert "start anew with --restart" in message
    assert job(interrupted).kept == 24


def test_a_changed_model_is_refused_by_name(job, interrupted: Path, monkeypatch):
    other = {"weights_sha256": "1" * 64, "config": {"hidden_act": "gelu_tanh"}}
    monkeypatch.setattr("minibert.features.corpus.job.model_facts", lambda *each: fake_facts(*each) | other)
    message = refusal(job, interrupted)
    assert "weights_sha256 was '000000000000…' and is '111111111111…' now" in message
    assert "config.hidden_act was 'gelu_erf' and is 'gelu_tanh' now" in message


def test_changed_input_is_refused_by_name(job, interrupted: Path, corpus: Path):
    corpus.write_text(corpus.read_text() + "one more\n")
    message = refusal(job, interrupted)
    assert "input.files[0].bytes was" in message
    assert job(interrupted, restart=True).texts == 44


def test_input_of_another_name_is_the_same_input(job, interrupted: Path, corpus: Path):
    moved = corpus.rename(corpus.with_name("moved.txt"))
    assert job(interrupted, source=TextFiles([str(moved)])).kept == 24


def test_input_that_changes_while_it_is_read_is_refused(job, tmp_path: Path, corpus: Path):
    def change(step: Step) -> None:
        os.utime(corpus, (1, 1))

    assert "texts.txt changed while it was read" in refusal(job, tmp_path / "vectors.npy", report=change)


def test_a_stream_is_resumed_where_the_same_bytes_come_again(job, tmp_path: Path, corpus: Path):
    data, output = corpus.read_bytes(), tmp_path / "vectors.jsonl"
    with pytest.raises(StopError):
        job(output, source=Stream(io.BytesIO(data)), report=stop_after(2))
    assert "does not begin as it did before" in refusal(job, output, source=Stream(io.BytesIO(b"x" + data)))
    assert "does not begin as it did before" in refusal(job, output, source=Stream(io.BytesIO(b"")))
    assert job(output, source=Stream(io.BytesIO(data))).kept == 16
    assert [json.loads(line)["text"] for line in output.read_text().splitlines()] == some_texts(43)


def test_a_list_is_resumed(job, tmp_path: Path):
    output = tmp_path / "vectors.jsonl"
    with pytest.raises(StopError):
        job(output, source=TextList(some_texts(43)), report=stop_after(2))
    assert "input.sha256 was" in refusal(job, output, source=TextList(["other", *some_texts(42)]))
    assert job(output, source=TextList(some_texts(43))).kept == 16
    assert [json.loads(line)["text"] for line in output.read_text().splitlines()] == some_texts(43)


def test_a_second_writer_is_refused_and_the_lock_dies_with_its_holder(job, interrupted: Path):
    code = "import sys, time; from pathlib import Path; from minibert.folder_lock import lock_folder\n"
    code += f"lock_folder(Path({str(work_of(interrupted))!r})); print('locked', flush=True); time.sleep(600)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
        assert f"{interrupted} is being written by process {holder.pid}" in refusal(job, interrupted)
        assert f"{interrupted} is being written by process {holder.pid}" in refusal(job, interrupted, restart=True)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert job(interrupted).kept == 24


@pytest.mark.parametrize("operation", ["fsync", "replace", "write"])
@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.long) for name in NAMES[1:])])
def test_an_operation_that_fails_once_leaves_the_target_and_what_was_done(operation, name, job, tmp_path: Path, monkeypatch):
    undisturbed, output = tmp_path / f"undisturbed{name}", tmp_path / f"vectors{name}"
    real, count, fatal = getattr(os, operation), [0], [-1]

    def counting(*arguments):
        count[0] += 1
        if count[0] == fatal[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)

    monkeypatch.setattr(os, operation, counting)
    job(undisturbed)
    # From the second on: the first write only tells others who holds the lock.
    for place in range(2, count[0] + 1, 3):
        fatal[0] = place
        output.write_bytes(b"before")
        count[0] = 0
        message = refusal(job, output)
        assert "cannot be written: Input/output error" in message
        assert output.read_bytes() in (b"before", undisturbed.read_bytes())
        job(output)
        assert output.read_bytes() == undisturbed.read_bytes()


def test_a_failed_rename_leaves_the_target(job, tmp_path: Path, monkeypatch):
    output = tmp_path / "vectors.npy"
    output.write_bytes(b"before")
    real = os.replace

    def failing(source, target):
        if Path(target) == output:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    assert "43 texts done so far are kept" in refusal(job, output)
    assert output.read_bytes() == b"before"
    monkeypatch.undo()


def test_a_result_that_was_damaged_before_its_rename_is_refused(job, tmp_path: Path, monkeypatch):
    output = tmp_path / "vectors.npy"
    monkeypatch.setattr("minibert.features.corpus.work.Work.publish", lambda *_, **__: (_ for _ in ()).throw(StopError))
    with pytest.raises(StopError):
        job(output)
    monkeypatch.undo()
    monkeypatch.setattr("minibert.features.corpus.job.model_facts", fake_facts)
    path = work_of(output) / "vectors.data"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "is damaged (its sha256" in refusal(job, output)


def test_a_crash_between_the_two_renames_is_made_good(job, tmp_path: Path, monkeypatch):
    output, receipt = tmp_path / "vectors.npy", tmp_path / "vectors.npy.receipt.json"
    real = os.replace

    def failing(source, target):
        if Path(target) == receipt:
            raise StopError
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(StopError):
        job(output)
    assert output.exists() and not receipt.exists()
    monkeypatch.setattr(os, "replace", real)
    features = FakeFeatures()
    assert job(output, features=features).texts == 43
    assert receipt.exists() and features.chunks == []
    assert not work_of(output).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.long) for name in NAMES[1:])])
def test_a_disk_that_fills_up_is_one_sentence_and_the_job_goes_on(name, job, corpus: Path, tmp_path: Path):
    corpus.write_text("".join(text + "\n" for text in some_texts(400)))
    output = tmp_path / f"vectors{name}"
    code = "import resource, sys; sys.argv = ['']\n"
    code += "import crash_runs as runs; from pathlib import Path; runs.job.model_facts = runs.fake_facts\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, resource.RLIM_INFINITY))\n"
    code += f"runs.run(Path({str(corpus)!r}), Path({str(output)!r}), 'sentences')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    # No file may grow over so many bytes: short writes, then EFBIG.
    for limit in (700, 5000):
        outcome = subprocess.run([sys.executable, "-c", code.format(limit)], capture_output=True, text=True, env=environment)
        assert outcome.returncode == 1
        assert f"{output} cannot be written: File too large" in outcome.stderr.splitlines()[-1]
    assert not output.exists()
    assert job(output).kept > 0
    job(tmp_path / f"undisturbed{name}")
    assert output.read_bytes() == (tmp_path / f"undisturbed{name}").read_bytes()


def test_nothing_is_left_of_a_job_that_got_nowhere(job, tmp_path: Path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    message = refusal(job, tmp_path / "vectors.npy")
    assert "No space left on device; what was there is unchanged" in message
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]


@pytest.mark.long
def test_two_jobs_started_at_once_give_one_whole_file(corpus: Path, tmp_path: Path):
    code = "import sys; import crash_runs as runs; from pathlib import Path; runs.job.model_facts = runs.fake_facts\n"
    code += "import time; time.sleep(max(0, float(sys.argv[1]) - time.time()))\n"
    code += f"runs.run(Path({str(corpus)!r}), Path({str(tmp_path / 'vectors.npy')!r}), 'sentences')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    command = [sys.executable, "-c", code, str(time.time() + 8)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    errors = [process.communicate()[1] for process in started]
    assert any(process.returncode == 0 for process in started)
    assert all("is being written by" in error for process, error in zip(started, errors, strict=True) if process.returncode)
    assert (tmp_path / "vectors.npy").stat().st_size == 128 + 43 * 6 * 4
