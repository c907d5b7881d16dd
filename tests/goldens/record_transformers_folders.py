"""Records tests/goldens/transformers_folders: checkpoints as transformers' own `save_pretrained` leaves them.

    python tests/goldens/record_transformers_folders.py

Needs the extra `reference`; the tests that read the folders do not: `tensors.json` says of each tensor what it was in torch's
memory, by dtype, shape and the sha256 of its bytes. Since its version 5 transformers writes safetensors alone; files of older
kinds, with LayerNorm's `gamma` and `beta` or of torch's own format, are made from a model's state by the library that wrote them.
"""

import hashlib
import json
import shutil
from pathlib import Path

FOLDER = Path(__file__).parent / "transformers_folders"
TENSORS = FOLDER / "tensors.json"
SIZES = dict(hidden_size=16, num_attention_heads=2, num_hidden_layers=2, intermediate_size=24)
SIZES |= dict(vocab_size=40, max_position_embeddings=12, type_vocab_size=2)
SHARD_BYTES = 12_000


def described(dtype: str, shape: tuple[int, ...], data: bytes) -> str:
    """What `tensors.json` says of a tensor."""
    return f"{dtype} {list(shape)} {hashlib.sha256(data).hexdigest()}"


def main() -> None:
    """Writes every folder anew."""
    import safetensors.torch
    import torch
    import transformers

    def made(name: str, **options: object) -> transformers.PreTrainedModel:
        """A model of which no parameter is as it begins: a scale of one or a bias of zero would hide a swapped name."""
        torch.manual_seed(len(records))
        model = getattr(transformers, name)(transformers.BertConfig(**SIZES, initializer_range=0.3), **options)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
        return model

    def record(folder: str, state: dict[str, torch.Tensor], names: list[str]) -> None:
        records[folder] = {
            name: described(
                str(state[name].dtype).removeprefix("torch."),
                tuple(state[name].shape),
                state[name].detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
            )
            for name in sorted(names)
        }

    def save(folder: str, model: transformers.PreTrainedModel, **options: object) -> None:
        model.save_pretrained(FOLDER / folder, **options)
        names = [name for path in (FOLDER / folder).glob("*.safetensors") for name in safetensors.torch.load_file(path)]
        record(folder, model.state_dict(), names)

    def old_state(model: transformers.PreTrainedModel) -> dict[str, torch.Tensor]:
        """With the names of old conversions from Google's files, and the positions that transformers stored until its 4.31."""
        state = {"bert.embeddings.position_ids": torch.arange(SIZES["max_position_embeddings"])[None]}
        for name, tensor in model.state_dict().items():
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            state[name] = tensor.clone()  # a file of safetensors holds tied tensors twice or not at all
        return state

    def make_folder(folder: str, model: transformers.PreTrainedModel, state: dict[str, torch.Tensor]) -> Path:
        (FOLDER / folder).mkdir()
        model.config.save_pretrained(FOLDER / folder)
        record(folder, state, list(state))
        return FOLDER / folder

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    records: dict[str, dict[str, str]] = {}
    save("model", made("BertModel"))
    save("sharded", made("BertForPreTraining"), max_shard_size=SHARD_BYTES)
    save("float16", made("BertModel").half())
    save("bfloat16", made("BertModel").bfloat16())
    save("without_pooler", made("BertModel", add_pooling_layer=False))
    save("masked_lm", made("BertForMaskedLM"))
    save("classification", made("BertForSequenceClassification"))
    save("question_answering", made("BertForQuestionAnswering"))

    model = made("BertForPreTraining")
    state = old_state(model)
    safetensors.torch.save_file(state, make_folder("gamma_beta", model, state) / "model.safetensors", {"format": "pt"})

    model = made("BertForPreTraining")
    # As it was saved then: the kernel of the masked-language model's head, tied to the table, is a tensor of the file.
    state = old_state(model)
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    torch.save(state, make_folder("torch_zip", model, state) / "pytorch_model.bin")

    model = made("BertForQuestionAnswering")
    state = dict(model.state_dict())
    path = make_folder("torch_stream", model, state) / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=False)

    model = made("BertForPreTraining")
    state = dict(model.state_dict())
    folder = make_folder("torch_shards", model, state)
    names = list(state)
    shards = {f"pytorch_model-{place + 1:05d}-of-00003.bin": names[place::3] for place in range(3)}
    for shard, held in shards.items():
        torch.save({name: state[name] for name in held}, folder / shard)
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in state.values())},
        "weight_map": {name: shard for shard, held in shards.items() for name in held},
    }
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    TENSORS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
