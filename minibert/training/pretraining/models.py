"""What is pre-trained: a new BERT, or the one in a checkpoint, with the heads of pre-training."""

from typing import Any

from flax import nnx

from minibert.checkpoints.heads import load_with_head
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.model import Bert, BertWithHeads
from minibert.model.heads import HEADS, new_head
from minibert.tokenizer import Tokenizer
from minibert.training.losses import LOSSES
from minibert.training.pretraining.masked_places import HEAD, masked_lm_loss
from minibert.training.pretraining.options import HEAD_DIM, HIDDEN_SIZE, LAYERS, PretrainOptions
from minibert.training.step import Objective


def new_model(options: PretrainOptions, tokenizer: Tokenizer) -> BertWithHeads:
    """What training begins with; all that is new follows from the seed.

    Raises CheckpointError as `minibert.load`, ConfigError for sizes that do not go together, InputError for a model without
    types for two segments. A NewHeadWarning says what a checkpoint lacks.
    """
    name = "pretraining" if options.next_sentence else HEAD
    overrides: dict[str, Any] = {"dtype": options.dtype, "param_dtype": "float32"}
    if options.dropout is not None:
        overrides |= {"hidden_dropout_prob": options.dropout, "attention_probs_dropout_prob": options.dropout}
    seed = options.training.seed
    if options.model is not None:
        model = load_with_head(options.model, name, seed=seed, **overrides)
    else:
        rngs, config = nnx.Rngs(seed), BertConfig(**sizes(options), vocab_size=len(tokenizer.vocabulary), **overrides)
        config = config.replace(pad_token_id=tokenizer.pad_token_id)
        bert = Bert(config, rngs=rngs, add_pooling_layer=options.next_sentence)
        model = BertWithHeads(bert, {each: new_head(each, config, 2, 0.0, rngs=rngs) for each in HEADS[name]})
    if options.next_sentence and model.config.type_vocab_size < 2:
        raise InputError(
            "the model has a single token type, and rows of two segments take two: leave out the next sentence "
            "(next_sentence=False, --no-next-sentence)"
        )
    return model


def objective_of(model: BertWithHeads, options: PretrainOptions) -> Objective:
    """The sum of the losses of the heads, that of the masked tokens for a model `with_masked_places`."""
    losses = {name: LOSSES[name] for name in model.heads}
    return Objective(losses | {HEAD: masked_lm_loss(model.config, options.most_masked)})


def sizes(options: PretrainOptions) -> dict[str, Any]:
    """Those of a new model."""
    hidden = HIDDEN_SIZE if options.hidden_size is None else options.hidden_size
    return {
        "hidden_size": hidden,
        "num_hidden_layers": LAYERS if options.layers is None else options.layers,
        "num_attention_heads": max(1, hidden // HEAD_DIM) if options.heads is None else options.heads,
        "intermediate_size": 4 * hidden if options.intermediate_size is None else options.intermediate_size,
        "max_position_embeddings": options.new_positions,
    }
