"""`minibert finetune` and `minibert predict` as functions: files in, a folder with a trained model out, and predictions of it."""

from minibert.training.finetuning.job import Finetuned, finetune
from minibert.training.finetuning.options import FinetuneOptions
from minibert.training.finetuning.prediction import Predictor

__all__ = ["FinetuneOptions", "Finetuned", "Predictor", "finetune"]
