"""minibert: BERT rebuilt from scratch in NumPy and JAX on Flax NNX, proved equal to the references."""

__version__ = "0.1.0"
