"""PyTorch's files, `pytorch_model.bin`, without PyTorch: the zip format (since torch 1.6) and the stream before it.

Both hold one pickle, which says how tensors lie in storages, and the storages' raw bytes. The pickle is read by a closed loop of
our own, in which nothing is imported and nothing that the file names is called.
"""

from minibert.checkpoints.formats.torch_file.reader import open_torch_file

__all__ = ["open_torch_file"]
