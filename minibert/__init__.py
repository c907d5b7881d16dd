"""minibert: BERT rebuilt from scratch in JAX on Flax NNX, proved equal to the references.

model = minibert.load("minilm-l6")
tokenizer = minibert.Tokenizer.load("minilm-l6")
output = model(**tokenizer(["The bank raised rates.", "A river bank."]))
"""

from minibert.checkpoints.download import fetch
from minibert.checkpoints.loading import load
from minibert.checkpoints.writing import convert, save
from minibert.config import BertConfig
from minibert.errors import (
    CheckpointError,
    ConfigError,
    FetchError,
    InputError,
    MinibertError,
    NewHeadWarning,
    TokenizerError,
    TraceError,
    TruncationWarning,
)
from minibert.features import Features, MaskedWords
from minibert.model import Bert, BertOutput, BertWithHeads, HeadsOutput
from minibert.tokenizer import Tokenizer
from minibert.verification import Report, Trace, compare, record

__version__ = "0.1.0"

__all__ = [
    "Bert",
    "BertConfig",
    "BertOutput",
    "BertWithHeads",
    "CheckpointError",
    "ConfigError",
    "Features",
    "FetchError",
    "HeadsOutput",
    "InputError",
    "MaskedWords",
    "MinibertError",
    "NewHeadWarning",
    "Report",
    "Tokenizer",
    "TokenizerError",
    "Trace",
    "TraceError",
    "TruncationWarning",
    "compare",
    "convert",
    "fetch",
    "load",
    "record",
    "save",
]
