"""`flax_model.msgpack`, the file of `flax.serialization`: read and written without flax."""

from minibert.checkpoints.formats.flax_msgpack.reader import open_flax_msgpack
from minibert.checkpoints.formats.flax_msgpack.writer import write_flax_msgpack

__all__ = ["open_flax_msgpack", "write_flax_msgpack"]
