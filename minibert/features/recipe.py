"""How a checkpoint wants its hidden states turned into one vector a text: sentence-transformers' modules.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.errors import CheckpointError
from minibert.strict_json import MAX_SETTINGS_BYTES, parse_json, read_json_object, read_regular_file

POOLINGS = ("mean", "cls", "max")
IMPLEMENTED = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))


@dataclass(frozen=True)
class Recipe:
    """From hidden states to a sentence vector.

    `pooling` is `mean` (over real tokens, special ones included), `cls` (the first token) or `max` (over real tokens);
    `normalize` scales each vector to length 1; a text is cut after `max_length` tokens, special ones included, None
    meaning the model's maximum.
    """

    pooling: str = "mean"
    normalize: bool = False
    max_length: int | None = None

    @classmethod
    def read(cls, folder: Path) -> "Recipe":
        """The recipe that ships in a checkpoint folder, or the mean over real tokens, unnormalised, if there is none.

        Raises CheckpointError for a recipe with a step that minibert does not implement.
        """
        path = folder / "modules.json"
        if not path.exists():
            return cls()
        data = read_regular_file(path, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES)
        steps = parse_json(data, str(path), error=CheckpointError)
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise CheckpointError(f"{path} is no list of steps; expected sentence-transformers' modules.json")
        kinds = tuple(str(step.get("type", "")).rsplit(".", 1)[-1] for step in steps)
        if kinds not in IMPLEMENTED:
            raise CheckpointError(
                f"{path} has the steps {', '.join(kinds) or '(none)'}; minibert implements Transformer, Pooling and, if "
                "wanted, Normalize, in this order"
            )
        return cls(_pooling(folder, steps[1], path), kinds[-1] == "Normalize", _max_length(folder))


def _max_length(folder: Path) -> int | None:
    path = folder / "sentence_bert_config.json"
    if not path.exists():
        return None
    length = read_json_object(path, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES).get("max_seq_length")
    if length is not None and (type(length) is not int or length < 2):
        raise CheckpointError(f"{path} has max_seq_length {length!r}; expected a whole number of at least 2")
    return length


def _pooling(folder: Path, step: dict[str, Any], modules: Path) -> str:
    part = step.get("path")
    if not isinstance(part, str) or part in ("", ".", "..") or "/" in part or "\\" in part:
        raise CheckpointError(f"{modules} has a Pooling step with path {part!r}; expected the name of a folder beside it")
    path = folder / part / "config.json"
    settings = read_json_object(path, error=CheckpointError, max_bytes=MAX_SETTINGS_BYTES)
    if "pooling_mode" in settings:
        modes = [settings["pooling_mode"]]
    else:
        prefix, suffix = "pooling_mode_", "_tokens"
        flags = [key for key, value in settings.items() if key.startswith(prefix) and value is True]
        modes = [flag.removeprefix(prefix).removesuffix(suffix).removesuffix("_token") for flag in flags]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise CheckpointError(f"{path} asks for pooling {modes}; minibert implements one of {', '.join(POOLINGS)}")
    return modes[0]
