import random
import shutil
from pathlib import Path

import crash_runs
import pytest
from fake_features import fake_facts, some_texts
from power_cuts import Disk, File, watched


@pytest.mark.parametrize(
    ("level", "suffix"),
    [
        ("sentences", ".npy"),
        pytest.param("sentences", ".jsonl", marks=pytest.mark.long),
        pytest.param("words", ".npz", marks=pytest.mark.long),
    ],
)
def test_after_a_power_cut_the_old_file_or_the_new_is_there_and_the_job_goes_on(level, suffix, in_memory: Path, monkeypatch):
    monkeypatch.setattr("minibert.features.corpus.job.model_facts", fake_facts)
    source = in_memory / "texts.txt"
    source.write_text("".join(text + "\n" for text in some_texts(20)))
    root = in_memory / "disk"
    root.mkdir()
    output = root / f"vectors{suffix}"
    output.write_bytes(b"what was there before")
    chance = random.Random(7)
    pictures = []

    def look(disk: Disk) -> None:
        pictures.extend(disk.after_a_cut(chance) for _ in range(2))

    old = File(output.read_bytes(), output.read_bytes())
    disk = Disk(root, {str(output): old}, {str(output): old}, on_cut=look)
    with watched(disk):
        crash_runs.run(source, output, level)
    expected = output.read_bytes()

    assert len(pictures) > 80
    for picture in pictures:
        shutil.rmtree(root)
        root.mkdir()
        for path, content in picture.items():
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_bytes(content)
        assert output.read_bytes() in (b"what was there before", expected)
        crash_runs.run(source, output, level)
        assert output.read_bytes() == expected
        assert {path.name for path in root.iterdir()} <= {output.name, f"{output.name}.receipt.json"}
