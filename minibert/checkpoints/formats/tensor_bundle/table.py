"""LevelDB's table format (google/leveldb, doc/table_format.md), which TensorFlow's index files are in: sorted keys and values.

They lie in blocks. A block is a series of entries, each of three variable-length integers, how many bytes the key shares with the
one before, how many it adds, and how long the value is, and of the bytes; behind them where the entries that share nothing begin,
and how many there are. Every block is followed by one byte, 0 or 1 for snappy, and a masked CRC-32C of both. The footer says
where the index of blocks is.
"""

from minibert.checkpoints.formats.crc import crc32c
from minibert.checkpoints.formats.tensor_bundle.snappy import decompressed
from minibert.checkpoints.formats.tensor_bundle.wire import Refuse, variable_length

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5

MAX_KEY_BYTES = 16_000_000
"""In full: a key may take over all of the one before, so that a small block holds enormous keys."""


def masked(checksum: int) -> int:
    """A CRC as it is stored: a CRC of data that holds its own CRC would be no good one."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def unmasked(stored: int) -> int:
    """The CRC of which `stored` is the masked form."""
    rotated = (stored - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def read_table(data: bytes, refuse: Refuse) -> dict[bytes, bytes]:
    """All keys and values of a table. Raises what `refuse` makes where anything is not as the format has it."""
    if len(data) < FOOTER or int.from_bytes(data[-8:], "little") != MAGIC:
        raise refuse("it does not end as an index does")
    offset, size, begin = _handle(data[-FOOTER:-8], 0, refuse)
    _block(data, offset, size, refuse)  # about the blocks: TensorFlow leaves it empty
    offset, size, _ = _handle(data[-FOOTER:-8], begin, refuse)
    entries: dict[bytes, bytes] = {}
    last: bytes | None = None
    read = keys = 0
    for _, handle in _entries(_block(data, offset, size, refuse), refuse):
        offset, size, _ = _handle(handle, 0, refuse)
        read += size
        if read > len(data):
            raise refuse("its blocks are listed more than once")
        for key, value in _entries(_block(data, offset, size, refuse), refuse):
            if last is not None and key <= last:
                raise refuse("its keys are not in order")
            entries[key] = value
            last = key
            keys += len(key)
            if keys > MAX_KEY_BYTES:
                raise refuse(f"its keys take more than {MAX_KEY_BYTES:,} bytes")
    return entries


def _handle(data: bytes, begin: int, refuse: Refuse) -> tuple[int, int, int]:
    offset, begin = variable_length(data, begin, refuse)
    size, begin = variable_length(data, begin, refuse)
    return offset, size, begin


def _block(data: bytes, offset: int, size: int, refuse: Refuse) -> bytes:
    if offset + size + TRAILER > len(data) - FOOTER:
        raise refuse(f"a block at byte {offset:,} of {size:,} bytes reaches outside it")
    content = data[offset : offset + size]
    kind, stored = data[offset + size], int.from_bytes(data[offset + size + 1 : offset + size + TRAILER], "little")
    if masked(crc32c(data[offset : offset + size + 1])) != stored:
        raise refuse(f"the checksum of the block at byte {offset:,} does not hold")
    if kind > 1:
        raise refuse(f"the block at byte {offset:,} is compressed in a way {kind} that is not known")
    return decompressed(content, refuse) if kind == 1 else content


def _entries(block: bytes, refuse: Refuse) -> list[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little") if len(block) >= 4 else 0
    end = len(block) - 4 - 4 * restarts
    if not restarts or end < 0:
        raise refuse("a block does not say where its entries begin")
    begins = [int.from_bytes(block[place : place + 4], "little") for place in range(end, len(block) - 4, 4)]
    entries: list[tuple[bytes, bytes]] = []
    whole = set()
    key, begin, keys = b"", 0, 0
    while begin < end:
        entry = begin
        shared, begin = variable_length(block, begin, refuse)
        own, begin = variable_length(block, begin, refuse)
        length, begin = variable_length(block, begin, refuse)
        if shared > len(key) or own + length > end - begin:
            raise refuse("an entry of a block reaches outside it")
        if not shared:
            whole.add(entry)
        keys += shared + own
        if keys > MAX_KEY_BYTES:
            raise refuse(f"its keys take more than {MAX_KEY_BYTES:,} bytes")
        key = key[:shared] + block[begin : begin + own]
        entries.append((key, block[begin + own : begin + own + length]))
        begin += own + length
    if entries and (begins[0] != 0 or begins != sorted(set(begins)) or not whole.issuperset(begins)):
        raise refuse("a block says wrongly where its entries begin")
    return entries
