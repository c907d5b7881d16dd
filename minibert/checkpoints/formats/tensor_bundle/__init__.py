"""TensorFlow's checkpoints without TensorFlow: an index in LevelDB's table format, and data in one or several shards."""

from minibert.checkpoints.formats.tensor_bundle.bundle_reader import SUFFIX, TensorBundle, find_bundle, open_tensor_bundle
from minibert.checkpoints.formats.tensor_bundle.bundle_writer import write_tensor_bundle

__all__ = ["SUFFIX", "TensorBundle", "find_bundle", "open_tensor_bundle", "write_tensor_bundle"]
