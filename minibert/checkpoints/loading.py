"""`load`: a name or a folder becomes a model, strictly and without a random initialisation on the way."""

from pathlib import Path
from typing import Any, overload

from minibert.checkpoints.blueprint import fill, read_blueprint
from minibert.checkpoints.heads import load_with_head
from minibert.checkpoints.registry import resolve
from minibert.errors import InputError
from minibert.model import Bert, BertWithHeads


@overload
def load(name_or_path: str | Path, *, head: None = None, **overrides: Any) -> Bert: ...
@overload
def load(
    name_or_path: str | Path,
    *,
    head: str,
    num_labels: int | None = None,
    seed: int = 0,
    replace_head: bool = False,
    **overrides: Any,
) -> BertWithHeads: ...
def load(
    name_or_path: str | Path,
    *,
    head: str | None = None,
    num_labels: int | None = None,
    seed: int = 0,
    replace_head: bool = False,
    **overrides: Any,
) -> Bert | BertWithHeads:
    """The model in a checkpoint: `load("minilm-l6")`, `load("folder/", dtype="bfloat16")`, `load("folder/", head="masked_lm")`.

    Args:
        name_or_path: a name of the registry that has been fetched, a folder with weights and config.json or bert_config.json, a
            file of weights, or the prefix of a TensorFlow checkpoint, with the configuration beside it.
        head: with one of `minibert.model.heads.HEADS`, the encoder with the heads of that task on it; without, the encoder.
        num_labels: of the heads `sequence_classification` and `token_classification`; as many as the checkpoint has if absent.
        seed: of the random numbers of a head, or a pooler that it needs, which the checkpoint has not: a NewHeadWarning says so.
        replace_head: begin with a new head of random numbers even where the checkpoint has one, of other labels perhaps.
        overrides: fields of BertConfig that replace the file's, such as `hidden_act`, `dtype`, `param_dtype`, `precision`.

    The weights are converted to `param_dtype` and held once in memory. Without `head` a checkpoint that has no tensor of the
    pooler gives a model whose `pooler_output` is None, and tensors of task heads are left aside.

    Raises:
        CheckpointError: no such checkpoint, a broken file, or tensors that are missing, unexpected, mis-shaped or mis-typed:
            all of them in one message.
        ConfigError: a configuration that is broken or not implemented.
        InputError: a head that there is not, or a number of labels that does not go with it.
    """
    if head is not None:
        return load_with_head(name_or_path, head, num_labels=num_labels, seed=seed, replace_head=replace_head, **overrides)
    if num_labels is not None:
        raise InputError("num_labels was given without a head; give head=, for instance head='sequence_classification'")
    blueprint = read_blueprint(resolve(name_or_path), **overrides)
    model = Bert(blueprint.config, rngs=None, add_pooling_layer=blueprint.add_pooling_layer)
    fill(model, blueprint.match.parameters, blueprint.config)
    return model
