"""The checksums of a zip file's members, verified when tensors are read.

A checksum takes about as long as the copy of a tensor. So while the caller uses one member, threads verify those that follow it
in the file; zlib and NumPy let other threads run meanwhile.
"""

import mmap
import os
import threading
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from minibert.checkpoints.formats.torch_file.zip_container import Member
from minibert.errors import CheckpointError, shown

WINDOW_BYTES = 1 << 22
"""As much of the file is mapped at a time: mapping is faster than reading, and a window that is gone takes no memory."""
AHEAD_BYTES = 1 << 26
SMALL_BYTES = 1 << 18
"""Such members are not worth a thread's while."""


class MemberChecks:
    """Verifies each member of one file once. Threads may call its checks at the same time."""

    def __init__(self, path: Path, members: Iterable[Member]):
        self.path = path
        self.members = sorted(members, key=lambda member: member.start)
        self._holds: dict[int, bool] = {}
        self._ahead: dict[int, Future[None]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()

    def by_name(self) -> dict[str, Callable[[], None]]:
        """For each member a function that raises CheckpointError unless the CRC-32 over all of its bytes holds."""
        return {member.name: partial(self._check, index) for index, member in enumerate(self.members)}

    def _check(self, index: int) -> None:
        if index not in self._holds:
            # A forked process has not the threads.
            future = self._start_ahead(index) if os.getpid() == self._process else None
            if future is None or future.cancel():
                self._verify(index)
            else:
                future.result()
        if not self._holds[index]:
            name = shown(self.members[index].name)
            raise CheckpointError(f"{self.path} is damaged: the checksum of member {name} does not hold; fetch or copy it again")

    def _start_ahead(self, index: int) -> Future[None] | None:
        """Lets threads verify the members behind member `index`; returns its own verification if it has been started so."""
        with self._lock:
            begin = self.members[index].start + self.members[index].size
            for other in range(index + 1, len(self.members)):
                member = self.members[other]
                if member.start > begin + AHEAD_BYTES:
                    break
                if member.size > SMALL_BYTES and other not in self._holds and other not in self._ahead:
                    self._threads = self._threads or ThreadPoolExecutor(min(4, os.cpu_count() or 1), "minibert-checksum")
                    try:
                        self._ahead[other] = self._threads.submit(self._verify, other)
                    except RuntimeError:
                        break  # no thread can be started: the caller verifies each member itself
            return self._ahead.get(index)

    def _verify(self, index: int) -> None:
        member = self.members[index]
        position, end, checksum = member.start, member.start + member.size, 0
        try:
            with self.path.open("rb") as file:
                while position < end:
                    # A mapping begins at a multiple of the granularity.
                    begin = position - position % mmap.ALLOCATIONGRANULARITY
                    length = min(WINDOW_BYTES, end - begin)
                    with (
                        mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=begin) as window,
                        memoryview(window) as view,
                        view[position - begin :] as part,
                    ):
                        checksum = zlib.crc32(part, checksum)
                    position = begin + length
        except (OSError, ValueError) as problem:  # ValueError: the file is shorter by now
            raise CheckpointError(f"{self.path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
        self._holds[index] = checksum == member.crc
