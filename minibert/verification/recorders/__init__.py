"""Recorders: traces of implementations that are not ours, transformers' and any other BERT in torch or JAX."""

from minibert.verification.recorders.by_mapping import record_by_mapping
from minibert.verification.recorders.transformers_bert import load_transformers, record_transformers

__all__ = ["load_transformers", "record_by_mapping", "record_transformers"]
