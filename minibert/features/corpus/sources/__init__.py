"""Where the texts of a corpus come from: files of several kinds, a stream of lines, a list."""

from minibert.features.corpus.sources.files import TextFiles
from minibert.features.corpus.sources.given import Stream, TextList
from minibert.features.corpus.sources.source import Source

__all__ = ["Source", "Stream", "TextFiles", "TextList"]
