"""A training's records as TensorBoard shows them; needs tensorboardX, the extra `tensorboard`, imported when it is asked for."""

import time
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.printable import printable
from minibert.training.loop import Record
from minibert.training.reports.metrics_file import OF_TRAINING


class TensorBoardEvents:
    """A file of events in a folder, to which each record is appended as soon as it comes: what `fit` calls as its `report`.

    The scalars are `train/loss`, `train/learning_rate`, `train/gradient_norm` and `evaluation/{metric}`, over steps. The file
    tells TensorBoard to forget what earlier files of the folder say: a run that goes on reports the earlier records once more.

    Written in this thread, without tensorboardX's queue, which would wait for ever behind a disk that is full.

    Args:
        folder: what `tensorboard --logdir` is given; made if it is not there.

    Raises InputError where tensorboardX is missing and, as does every call, where nothing can be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
            from tensorboardX.proto.summary_pb2 import Summary
        except ImportError:
            raise InputError(
                "events for TensorBoard need tensorboardX, which is not installed; run: pip install 'minibert[tensorboard]'"
            ) from None
        self.folder = folder
        self._event, self._summary = Event, Summary
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Absolute, for tensorboardX takes what begins with a scheme, such as s3:, for no folder.
            self._writer = EventsWriter(str(folder.absolute() / "events"))
        except (OSError, ValueError) as problem:
            raise self._refusal(problem) from None
        self._write(step=0, session_log=SessionLog(status=SessionLog.START))

    def __call__(self, record: Record) -> None:
        """Append a record's numbers, those that are not finite too: TensorBoard marks them."""
        if "evaluation" in record:
            known = {name: value for name, value in record["evaluation"].items() if value is not None}
            scalars = {f"evaluation/{name}": value for name, value in known.items()}
        else:
            scalars = {f"train/{name}": record[name] for name in OF_TRAINING}
        values = [self._summary.Value(tag=printable(tag), simple_value=value) for tag, value in scalars.items()]
        self._write(step=record["step"], summary=self._summary(value=values))

    def close(self) -> None:
        """Nothing can be appended any more."""
        self._writer.close()

    def __enter__(self) -> "TensorBoardEvents":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, **content: Any) -> None:
        try:
            self._writer.write_event(self._event(wall_time=time.time(), **content))
            self._writer.flush()
        except OSError as problem:
            raise self._refusal(problem) from None

    def _refusal(self, problem: OSError | ValueError) -> InputError:
        reason = getattr(problem, "strerror", None) or problem
        return InputError(
            f"events for TensorBoard cannot be written to {self.folder}: {reason}; give another folder, or make room"
        )
