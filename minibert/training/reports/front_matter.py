"""The lines of YAML at the head of a model's card, by which the Hub files it.

Every text is in double quotes with all that is not plainly printable escaped, so that no reader of YAML, of version 1.1 or 1.2,
takes it for anything but the text. What a number looks like to PyYAML, `1.0e-05`, is one to every other reader too.
"""

import json
import math
from collections.abc import Mapping, Sequence

from minibert.printable import printable


def front_matter(
    *,
    pipeline_tag: str,
    library: str,
    base_model: str | None,
    name: str,
    data: Sequence[str],
    metrics: Mapping[str, float],
) -> str:
    """The front matter, between its two lines of `---`.

    Args:
        pipeline_tag: the Hub's name of the task.
        library: the Hub's name of what loads the model.
        base_model: the Hub's id of what was trained on, if it is there.
        name: of the model.
        data: the names of the files on which it was measured.
        metrics: what came of it; those that are not finite are left out.
    """
    lines = ["---", "# license: add yours, by its name on the Hub", f"library_name: {quoted(library)}"]
    lines.append(f"pipeline_tag: {quoted(pipeline_tag)}")
    if base_model is not None:
        lines.append(f"base_model: {quoted(base_model)}")
    lines += ["tags:", f"- {quoted('minibert')}"]
    finite = {metric: value for metric, value in metrics.items() if math.isfinite(value)}
    if finite:
        lines += ["model-index:", f"- name: {quoted(name)}", "  results:", "  - task:", f"      type: {quoted(pipeline_tag)}"]
        # The Hub wants a type: for its own data sets their ids.
        lines += ["    dataset:", f"      name: {quoted(', '.join(data) or 'evaluation')}", f"      type: {quoted('files')}"]
        lines.append("    metrics:")
        for metric, value in finite.items():
            lines += [f"    - type: {quoted(metric)}", f"      name: {quoted(metric)}", f"      value: {_number(value)}"]
    return "\n".join([*lines, "---"]) + "\n"


def quoted(text: str) -> str:
    """A text as a scalar of YAML in double quotes; control characters and halves of surrogate pairs become �."""
    # JSON's escapes are YAML's too, but for those of characters above U+FFFF, which are not left to JSON.
    written = json.dumps(printable(text), ensure_ascii=False)
    return "".join(character if character.isprintable() else f"\\U{ord(character):08x}" for character in written)


def _number(value: float) -> str:
    mantissa, exponent, power = repr(float(value)).partition("e")
    # Without a point YAML 1.1 takes 1e-05 for a text.
    return mantissa + (".0" if exponent and "." not in mantissa else "") + exponent + power
