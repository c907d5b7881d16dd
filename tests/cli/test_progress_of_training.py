"""How far a training is: few lines in a log, a bar on a terminal, nothing when quiet, and no speed out of thin air."""

import io
import math
import re
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from minibert.cli import progress_of_training
from minibert.cli.progress_of_training import LiveTraining, Speed, training_bar


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 100.0
        monkeypatch.setattr(progress_of_training.time, "monotonic", lambda: self.seconds)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def training(step: int, loss: float = 0.5) -> dict[str, Any]:
    return {"step": step, "epoch": step / 50, "loss": loss, "learning_rate": 5e-05, "gradient_norm": 1.0}


def evaluation(step: int, **metrics: float) -> dict[str, Any]:
    return {"step": step, "epoch": step / 50, "evaluation": metrics}


def said_by(
    records: list[dict[str, Any]], total_steps: int, capsys: pytest.CaptureFixture[str], quiet: bool = False
) -> list[str]:
    with training_bar(quiet, total_steps, 16) as report:
        for record in records:
            report(record)
    printed = capsys.readouterr()
    assert not printed.out
    return printed.err.splitlines()


def test_a_log_gets_a_line_for_each_tenth_of_the_steps(capsys):
    lines = said_by([training(step) for step in range(1, 1001)], 1000, capsys)
    assert [line.split(":")[0] for line in lines] == [f"step {step:,} of 1,000" for step in range(100, 1001, 100)]
    assert lines[0] == "step 100 of 1,000: loss 0.5000, learning rate 5e-05"


@pytest.mark.parametrize(("total", "every", "count"), [(3, 1, 3), (10, 10, 1), (95, 7, 9), (100_000, 30_000, 3)])
def test_a_log_gets_no_more_lines_than_there_are_records(total: int, every: int, count: int, capsys):
    assert len(said_by([training(step) for step in range(every, total + 1, every)], total, capsys)) == count


def test_a_log_gets_a_line_for_each_evaluation(capsys):
    lines = said_by([evaluation(5, accuracy=0.75, f1=math.nan), evaluation(50, accuracy=1.0)], 1000, capsys)
    assert lines[0] == "step 5 of 1,000, epoch 0.1: accuracy 0.7500, f1 nan"
    assert lines[1] == "step 50 of 1,000, epoch 1: accuracy 1.0000"


def test_a_metric_that_is_undefined_is_said_to_be_so(capsys):
    lines = said_by([{"step": 10, "epoch": 0.5, "evaluation": {"pearson": None, "f1": 0.5}}], 100, capsys)
    assert lines == ["step 10 of 100, epoch 0.5: pearson undefined, f1 0.5000"]


def test_nothing_is_said_when_quiet(capsys, monkeypatch):
    records = [training(10, math.nan), evaluation(10, accuracy=0.5)]
    assert said_by(records, 10, capsys, quiet=True) == []
    monkeypatch.setattr(sys, "stderr", Terminal())
    with training_bar(True, 10, 16) as report:
        report(records[1])
    assert sys.stderr.getvalue() == ""


def test_the_speed_and_the_time_left_are_told_in_examples(capsys, clock: Clock):
    with training_bar(False, 7500, 16) as report:
        report(training(700))
        clock.seconds += 25
        report(training(750))
    assert capsys.readouterr().err == "step 750 of 7,500: loss 0.5000, learning rate 5e-05, 32.0 examples/s, 0:56:15 left\n"


def test_records_of_an_earlier_run_do_not_count_as_fast(clock: Clock):
    speed = Speed()
    for step in range(10, 5001, 10):
        assert speed.after(step) is None
    clock.seconds += 20
    assert speed.after(5010) == pytest.approx(0.5)
    clock.seconds += 5
    assert speed.after(5020) == pytest.approx(20 / 25)
    clock.seconds += 6
    assert speed.after(5030) == pytest.approx(20 / 11)


def test_on_a_terminal_a_bar_moves_and_evaluations_stay(monkeypatch, clock: Clock):
    for name, value in (("COLUMNS", "160"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with training_bar(False, 400, 16) as report:
        report(training(100))
        clock.seconds += 30
        report(training(200, loss=0.25))
        report(evaluation(200, **{"accuracy": 0.75, "[red]f1\x1b[31m\n": 0.5}))
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "step 200 of 400: loss 0.2500, learning rate 5e-05, 53.3 examples/s, 0:01:00 left" in seen
    assert "step 200 of 400, epoch 4: accuracy 0.7500, [red]f1\N{REPLACEMENT CHARACTER}[31m 0.5000\n" in seen.replace("\r", "")


def test_a_bar_goes_when_the_training_fails(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(KeyboardInterrupt), training_bar(False, 400, 16) as report:
        report(training(100))
        raise KeyboardInterrupt
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1


@pytest.mark.parametrize(
    ("resume", "done", "words"),
    [
        (False, 0, "the plan; 3 steps"),
        (True, 2, "the plan; 3 steps, going on after step 2"),
        (True, 0, "the plan; 3 steps, from the first: there is no checkpoint to go on from"),
    ],
)
def test_it_says_where_it_goes_on(resume: bool, done: int, words: str, capsys: pytest.CaptureFixture[str]):
    with ExitStack() as stack:
        LiveTraining(stack, False, 16, resume=resume).start("the plan", 3, done)
    assert capsys.readouterr().err.splitlines()[0] == words
