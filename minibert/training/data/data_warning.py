"""The warning for files that can be read and yet are not quite what they should be."""


class DataWarning(UserWarning):
    """A file of a task mixes its line ends, or has rows that are left out."""
