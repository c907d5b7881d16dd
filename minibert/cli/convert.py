"""`minibert convert`: a checkpoint of any format becomes a folder in another one."""

import argparse
import re
import sys
from typing import Any

from minibert.checkpoints.dialects import in_few_words
from minibert.checkpoints.writing import FORMATS, SHARD_BYTES, convert
from minibert.cli.console import console
from minibert.config import DTYPES
from minibert.errors import InputError

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def add_parser(subparsers: Any) -> None:
    """Register the command `convert`."""
    parser = subparsers.add_parser(
        "convert",
        help="write a checkpoint of any format as safetensors, a TensorFlow checkpoint or Flax's file",
        description="Write a checkpoint of any format that minibert reads, with its heads and its tokenizer, into a new folder "
        "that transformers, TensorFlow or Flax opens.",
    )
    parser.add_argument("name", help="a fetched name, a checkpoint folder, a file of weights, a zip, or the prefix of a bundle")
    parser.add_argument("folder", help="where to write: a folder that is not there yet, or empty")
    parser.add_argument("--to", choices=list(FORMATS), default="safetensors", help="the format (default: %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the stored numbers (default: as they are)")
    parser.add_argument(
        "--max-shard-size", default=str(SHARD_BYTES), metavar="SIZE", help="of one safetensors file, such as 500MB (default: 5GB)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert, and say what was written and what was left out."""
    size = re.fullmatch(r"(\d{1,15})(|KB|MB|GB)", arguments.max_shard_size)
    if size is None or int(size[1]) == 0:
        raise InputError(
            f"--max-shard-size is {arguments.max_shard_size!r}; expected a number of bytes, or one with KB, MB or GB"
        )
    shard_bytes = int(size[1]) * UNITS[size[2]]
    written = convert(arguments.name, arguments.folder, to=arguments.to, dtype=arguments.dtype, max_shard_bytes=shard_bytes)
    for path in written.files:
        console().print(f"{path}  {path.stat().st_size:,} bytes", markup=False, soft_wrap=True)
    for what in in_few_words(written.left_out):
        print(f"left out: {what}", file=sys.stderr)
    return 0
