"""`record_transformers`: the trace of transformers' BERT on torch, by forward hooks."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.checkpoints.blueprint import read_blueprint
from minibert.checkpoints.registry import resolve
from minibert.config import DTYPES, BertConfig
from minibert.errors import ConfigError, InputError, TraceError
from minibert.model.tap import intermediate_names
from minibert.verification.recorders.arrays import checked_batch, dtype_name, numpy_copy
from minibert.verification.recorders.watching import plain_torch
from minibert.verification.trace import Trace, check_names
from minibert.verification.trace_file import versions

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import BertModel

NOT_FORMED = (".scores", ".probabilities")
"""What only `eager` attention forms."""

SAME_SOFTMAX = 4.0
"""How many roundings of the model's dtype a softmax of its scores may differ from the probabilities that it returned."""


def record_transformers(model: "nn.Module", batch: Mapping[str, Any], names: Sequence[str] | None = None) -> Trace:
    """Run transformers' BERT on a batch and keep its intermediates, in float32 or wider.

    Args:
        model: a transformers.BertModel, or any module of torch that has one inside, which alone is run; in whatever dtype,
            on whatever device and with whatever attention it has. It is left as it was, and in the mode it is in: dropout
            is on in training mode, of which the trace's metadata says so.
        batch: `input_ids` and, if there are, `attention_mask`, `token_type_ids` and `position_ids`, each [batch, tokens].
        names: which intermediates to keep; by default all that the model forms: with attention other than eager there are
            neither scores nor probabilities, and where an attention function in place of transformers' own makes its
            probabilities of something else than the scaled products of query and key, no scores.

    Raises:
        TraceError: no BertModel, or a name that the model does not have or never forms.
        InputError: a batch that the model cannot take.
    """
    bert = _bert_in(model)
    import torch

    layers = list(bert.encoder.layer)
    if len({id(layer) for layer in layers}) < len(layers):
        raise TraceError(
            "two layers of the model are one and the same module, whose calls cannot be told apart; give each its own: "
            "copy.deepcopy(layer)"
        )
    implementation = bert.config._attn_implementation
    known = intermediate_names(len(bert.encoder.layer), pooler=bert.pooler is not None)
    check_names(names or (), known)
    formed = [name for name in known if implementation == "eager" or not name.endswith(NOT_FORMED)]
    never = sorted(set(names or ()) - set(formed))
    if never:
        raise TraceError(
            f"{implementation} attention never forms {', '.join(never)}; load the model with attn_implementation='eager' to "
            "record it"
        )
    table = bert.embeddings.word_embeddings.weight
    inputs = _inputs(bert, batch)
    hooks = _Hooks(frozenset(formed if names is None else names))
    try:
        _watch(bert, hooks, inputs["attention_mask"])
        with plain_torch():
            bert(**{name: torch.tensor(inputs[name], dtype=torch.int64, device=table.device) for name in batch})
    finally:
        hooks.remove()
    unseen = sorted(set(names or ()) - set(hooks.values))
    if unseen:
        raise TraceError(
            f"the model's attention function makes its probabilities of something else than the scaled products of query and "
            f"key; leave {', '.join(unseen)} out"
        )
    # With `chunk_size_feed_forward` a layer computes this part some tokens at a time.
    values = {name: np.concatenate(pieces, axis=1) if len(pieces) > 1 else pieces[0] for name, pieces in hooks.values.items()}
    return Trace(values, inputs, _metadata(model, bert, dtype_name(table), table.device.type))


def load_transformers(name_or_path: str | Path, attention: str = "eager", dtype: str = "float32") -> "BertModel":
    """transformers' BertModel with the weights of a checkpoint, all of which must be there.

    Args:
        name_or_path: as `minibert.load` takes it.
        attention: `eager` or `sdpa`, or another that transformers knows.
        dtype: of weights and arithmetic, one of minibert's.

    Raises:
        InputError: torch or transformers is not installed, or an attention or dtype that they do not have.
        CheckpointError, ConfigError: a checkpoint that `minibert.load` does not take either.
    """
    try:
        import torch
        import transformers
    except ImportError as problem:
        raise InputError(f"{problem.name} is not installed; run: pip install 'minibert[reference]'") from None
    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; expected one of {', '.join(DTYPES)}")
    folder = resolve(name_or_path)
    # Before transformers, which fills what is missing with random numbers, sees the folder.
    blueprint = read_blueprint(folder)
    messages = transformers.utils.logging
    shows_progress = messages.is_progress_bar_enabled()
    messages.disable_progress_bar()
    try:
        return transformers.BertModel.from_pretrained(
            folder,
            attn_implementation=attention,
            dtype=getattr(torch, dtype),
            add_pooling_layer=blueprint.add_pooling_layer,
            local_files_only=True,
        )
    except (ValueError, ImportError) as problem:
        raise InputError(f"transformers does not load {folder} with attention {attention!r}: {problem}") from None
    finally:
        if shows_progress:
            messages.enable_progress_bar()


class _Hooks:
    """Forward hooks that keep values under the names that are wanted."""

    def __init__(self, wanted: frozenset[str]):
        self.wanted = wanted
        self.values: dict[str, list[np.ndarray]] = {}
        self.handles: list[Any] = []

    def output(self, name: str, module: "nn.Module", change: Callable[["Tensor"], "Tensor"] = lambda value: value) -> None:
        """Keep the output of a module, the first where there are several, in the form that `change` gives it."""
        if name in self.wanted:
            self.calls(module, lambda _, output: self.keep(name, change(output[0] if isinstance(output, tuple) else output)))

    def calls(self, module: "nn.Module", see: Callable[[tuple[Any, ...], Any], None]) -> None:
        """Show `see` the positional arguments and the output of every call of a module."""

        def hook(_: Any, arguments: tuple[Any, ...], output: Any) -> None:
            see(arguments, output)

        self.handles.append(module.register_forward_hook(hook))

    def keep(self, name: str, value: "Tensor") -> None:
        """Keep a copy, for whatever comes next may write over it."""
        if name in self.wanted:
            self.values.setdefault(name, []).append(numpy_copy(value))

    def remove(self) -> None:
        """Leave nothing behind."""
        for handle in self.handles:
            handle.remove()


def _watch(bert: "BertModel", hooks: _Hooks, mask: np.ndarray) -> None:
    batch = len(mask)
    embeddings = bert.embeddings
    hooks.output("embeddings.word", embeddings.word_embeddings)
    hooks.output("embeddings.position", embeddings.position_embeddings, lambda value: value.expand(batch, -1, -1))
    hooks.output("embeddings.token_type", embeddings.token_type_embeddings)
    hooks.calls(embeddings.LayerNorm, lambda arguments, _: hooks.keep("embeddings.sum", arguments[0]))
    hooks.output("embeddings.output", embeddings)
    layers: Any = bert.encoder.layer
    for number, layer in enumerate(layers):
        name = f"layers.{number}"
        _watch_attention(layer.attention.self, hooks, f"{name}.attention", mask)
        hooks.output(f"{name}.attention.projection", layer.attention.output.dense)
        hooks.output(f"{name}.attention.output", layer.attention.output)
        hooks.output(f"{name}.feed_forward.intermediate", layer.intermediate.dense)
        hooks.output(f"{name}.feed_forward.activation", layer.intermediate)
        hooks.output(f"{name}.feed_forward.projection", layer.output.dense)
        hooks.output(f"{name}.feed_forward.output", layer.output)
        hooks.output(f"{name}.output", layer)
    if bert.pooler is not None:
        hooks.output("pooler.dense", bert.pooler.dense)
        hooks.output("pooler.output", bert.pooler)


def _watch_attention(attention: Any, hooks: _Hooks, name: str, mask: np.ndarray) -> None:
    split: dict[str, Any] = {}

    def heads(part: str, _: tuple[Any, ...], output: Any) -> None:
        split[part] = output.view(*output.shape[:2], attention.num_attention_heads, -1).transpose(1, 2)
        hooks.keep(f"{name}.{part}", split[part])

    def attended(_: tuple[Any, ...], output: Any) -> None:
        hooks.keep(f"{name}.context", output[0])
        if hooks.wanted.isdisjoint(f"{name}{part}" for part in NOT_FORMED):
            return
        # Eager attention does not show its scores; these are the same operations on the same values.
        scores = split["query"] @ split["key"].transpose(2, 3) * attention.scaling
        kept = 1.0 - attention.dropout.p if attention.training else 1.0
        if _is_softmax(output[1] * kept, scores, mask):
            hooks.keep(f"{name}.scores", scores)
        hooks.keep(f"{name}.probabilities", output[1])

    for part in ("query", "key", "value"):
        hooks.calls(getattr(attention, part), partial(heads, part))
    hooks.calls(attention, attended)


def _is_softmax(probabilities: "Tensor", scores: "Tensor", mask: np.ndarray) -> bool:
    """Whether probabilities, of which dropout may have left some out, are those of the scores, at real positions."""
    import torch

    real = torch.tensor(mask > 0, device=scores.device)
    columns = real[:, None, None, :]
    expected = scores.masked_fill(~columns, -torch.inf).softmax(dim=-1)
    difference = torch.where(real[:, None, :, None] & columns & (probabilities != 0.0), probabilities - expected, 0.0)
    return bool(difference.nan_to_num().abs().max() <= SAME_SOFTMAX * torch.finfo(scores.dtype).eps)


def _bert_in(model: object) -> "BertModel":
    try:
        from torch import nn
        from transformers import BertModel
    except ImportError as problem:
        raise TraceError(f"{problem.name} is not installed; run: pip install 'minibert[reference]'") from None
    if isinstance(model, nn.Module):
        for module in model.modules():
            if isinstance(module, BertModel):
                return module
    raise TraceError(
        f"record_transformers() was given a {type(model).__name__}; expected transformers' BertModel or a module of torch with "
        "one inside; of other implementations record_by_mapping() makes traces"
    )


def _inputs(bert: "BertModel", batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    embeddings = bert.embeddings
    # The sizes that count are those of the tables: a configuration may say something else, or have what minibert refuses.
    sizes = BertConfig(
        vocab_size=embeddings.word_embeddings.num_embeddings,
        max_position_embeddings=embeddings.position_embeddings.num_embeddings,
        type_vocab_size=embeddings.token_type_embeddings.num_embeddings,
    )
    return checked_batch(sizes, batch)


def _metadata(model: "nn.Module", bert: "BertModel", dtype: str, device: str) -> dict[str, str]:
    inside = "" if model is bert else f" inside {type(model).__name__}"
    attention = bert.config._attn_implementation
    mode = ", in training mode: dropout is on" if any(module.training for module in bert.modules()) else ""
    metadata = {
        "implementation": f"transformers {type(bert).__name__}{inside} on torch, attention {attention}{mode}",
        "versions": versions("transformers", "torch"),
        "dtype": dtype,
        "device": device,
    }
    with contextlib.suppress(ConfigError):  # which minibert does not implement
        metadata["config"] = json.dumps(dataclasses.asdict(BertConfig.from_hf(bert.config.to_dict())))
    return metadata
