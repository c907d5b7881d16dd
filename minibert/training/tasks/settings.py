"""Tasks as values of JSON, which are stored beside a trained model."""

from dataclasses import fields
from typing import Any


def settings_of(task: Any) -> dict[str, Any]:
    """The name of a task and its fields but for the tokenizer, which is stored by itself; tuples as lists."""
    values = {field.name: getattr(task, field.name) for field in fields(task) if field.name != "tokenizer"}
    return {"task": task.name} | {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
