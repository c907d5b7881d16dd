"""`TorchFileError`: why a file is refused, for the parts of the reader that do not know the file's name."""

SAVE_TENSORS_ALONE = "save the tensors alone with torch.save(model.state_dict(), path) and use that file"
SAVE_AGAIN = "open it with torch.load and save its tensors again with torch.save(model.state_dict(), path)"


class TorchFileError(Exception):
    """What was found and what to do; `open_torch_file` makes a CheckpointError of it that names the file."""

    def __init__(self, reason: str, advice: str = "fetch or copy it again"):
        super().__init__(f"{reason}; {advice}")
