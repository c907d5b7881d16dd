"""`minibert pretrain` as functions: text files in, a folder with a pre-trained model out, and the examples by themselves.

A file for each step: `documents` (text), `vocabulary`, `corpus` (tokens), `examples` (rows of two segments), `masking`,
`example_file`, `preparation` (all of these), `masked_places` (the loss), `measuring`, `job`.
"""

from minibert.training.pretraining.job import Pretrained, pretrain
from minibert.training.pretraining.options import PretrainOptions
from minibert.training.pretraining.vocabulary import train_vocabulary

__all__ = ["PretrainOptions", "Pretrained", "pretrain", "train_vocabulary"]
