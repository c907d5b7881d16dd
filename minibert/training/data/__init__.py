"""Files that people have for BERT's tasks, read into examples; what is wrong in them is named by file and line."""

from minibert.training.data.checking import check_examples, check_known, check_training, labels_of
from minibert.training.data.columns import GLUE, Columns
from minibert.training.data.data_warning import DataWarning
from minibert.training.data.examples import Answer, Label, Question, TaggedSentence, TextExample
from minibert.training.data.squad import read_questions
from minibert.training.data.tables import read_texts
from minibert.training.data.tagged import read_tagged

__all__ = [
    "GLUE",
    "Answer",
    "Columns",
    "DataWarning",
    "Label",
    "Question",
    "TaggedSentence",
    "TextExample",
    "check_examples",
    "check_known",
    "check_training",
    "labels_of",
    "read_questions",
    "read_tagged",
    "read_texts",
]
