"""Vectors of a corpus of any size: streamed, resumable after a kill, with a receipt.

    source -> chunks of texts -> engine -> streams in a work folder -> one file, by one rename

`sources/` reads texts, `engine` calls Features, `work` keeps what is done, `outputs/` make the file, `receipt` says what it is,
`job` puts them together; `stored` reads the file back.
"""

from minibert.features.corpus.job import Outcome, Step, embed_corpus
from minibert.features.corpus.options import ChunkSize, CorpusOptions
from minibert.features.corpus.outputs import output_of
from minibert.features.corpus.receipt import check_receipt, read_receipt
from minibert.features.corpus.sources import Stream, TextFiles, TextList
from minibert.features.corpus.stored import StoredVectors

__all__ = [
    "ChunkSize",
    "CorpusOptions",
    "Outcome",
    "Step",
    "StoredVectors",
    "Stream",
    "TextFiles",
    "TextList",
    "check_receipt",
    "embed_corpus",
    "output_of",
    "read_receipt",
]
