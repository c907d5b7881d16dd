"""Official checkpoints in: the registry and its downloads, file formats, one table of parameter names, strict loading."""
