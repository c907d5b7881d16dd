"""The BERT encoder in Flax NNX, a file for each part of the paper; it knows nothing of files, text or tasks."""

from minibert.model.bert import Bert, BertOutput
from minibert.model.bert_with_heads import BertWithHeads, HeadsOutput
from minibert.model.tap import Tap, identity

__all__ = ["Bert", "BertOutput", "BertWithHeads", "HeadsOutput", "Tap", "identity"]
