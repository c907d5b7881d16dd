"""The checksum of a zip file's member, verified when a tensor in it is read."""

import mmap
from pathlib import Path

from minibert.checkpoints.formats.crc import crc32
from minibert.checkpoints.formats.torch_file.zip_container import Member
from minibert.errors import CheckpointError, shown

WINDOW_BYTES = 1 << 22
"""As much of the file is mapped at a time: mapping is faster than reading, and a window that is gone takes no memory."""


class MemberCheck:
    """Raises CheckpointError unless the CRC-32 over all bytes of a member holds; they are read at the first call only."""

    def __init__(self, path: Path, member: Member):
        self.path = path
        self.member = member
        self._checksum: int | None = None

    def __call__(self) -> None:
        """Threads may call at the same time; then each of them may read the bytes."""
        if self._checksum is None:
            self._checksum = self._computed()
        if self._checksum != self.member.crc:
            name = shown(self.member.name)
            raise CheckpointError(f"{self.path} is damaged: the checksum of member {name} does not hold; fetch or copy it again")

    def _computed(self) -> int:
        position, end, checksum = self.member.start, self.member.start + self.member.size, 0
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
                        checksum = crc32(part, checksum)
                    position = begin + length
        except (OSError, ValueError) as problem:  # ValueError: the file is shorter by now
            raise CheckpointError(f"{self.path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
        return checksum
