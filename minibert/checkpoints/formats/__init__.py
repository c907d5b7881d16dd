"""The files that weights come in, each read by NumPy alone: a checked index first, then tensors on demand."""
