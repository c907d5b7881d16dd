"""The words behind masks: which they are, how likely, what texts become with them, and what is refused."""

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minibert import CheckpointError, ConfigError, InputError, MaskedWords, Tokenizer
from minibert.checkpoints.parameters import read_parameters
from minibert.features import FilledText, masked_words
from minibert.numpy_bert import NumpyBert

GELU = Path(__file__).parent.parent / "goldens" / "tiny" / "gelu"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "bank", "of", "a", "river", "raised", "its", "rates", ".", "##s"]
TOKENS += [f"[unused{number}]" for number in range(37 - len(TOKENS))]
TEXTS = ["The [MASK] of a river", "[MASK]", "the bank raised its [MASK] . a bank of the river", "a [MASK] of [MASK]s ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder of 37 tokens and 19 positions with a head of random numbers."""
    path = tmp_path_factory.mktemp("masked")
    random = np.random.default_rng(0)
    tensors = load_file(GELU / "model.safetensors")
    shapes = {"transform.dense.weight": (24, 24), "transform.dense.bias": (24,), "bias": (37,)}
    shapes |= {"transform.LayerNorm.weight": (24,), "transform.LayerNorm.bias": (24,)}
    for name, shape in shapes.items():
        tensors[f"cls.predictions.{name}"] = random.normal(scale=0.3, size=shape).astype(np.float32)
    save_file(tensors, path / "model.safetensors")
    shutil.copy(GELU / "config.json", path)
    (path / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return path


@pytest.fixture(scope="module")
def words(folder: Path) -> MaskedWords:
    return MaskedWords(folder)


def probabilities(folder: Path, texts: list[str]) -> np.ndarray:
    """[masks, vocab], in float64 by the NumPy BERT."""
    batch = Tokenizer.load(folder)(texts)
    logits = NumpyBert(*read_parameters(folder))(**batch).masked_lm_logits
    assert logits is not None
    powers = np.exp(logits[batch["input_ids"] == TOKENS.index("[MASK]")])
    return powers / powers.sum(axis=-1, keepdims=True)


def numbers(filled: list[FilledText]) -> list[list[list[tuple[int, float]]]]:
    return [[[(word.token_id, word.probability) for word in mask.words] for mask in text.masks] for text in filled]


def assert_alike(found: Any, expected: Any, atol: float = 1e-6) -> None:
    """Both as of `numbers`: the same ids, and probabilities that are close."""
    assert [[[pair[0] for pair in mask] for mask in text] for text in found] == [
        [[pair[0] for pair in mask] for mask in text] for text in expected
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose([mask[:] for mask in one], [mask[:] for mask in other], atol=atol, rtol=0)


def test_the_likeliest_words_are_those_of_the_numpy_bert_at_each_mask(words: MaskedWords, folder: Path):
    found = words.fill(TEXTS)
    assert [each.text for each in found] == TEXTS
    assert [len(each.masks) for each in found] == [1, 1, 1, 2]
    rows = probabilities(folder, TEXTS)
    pairs = [[(int(place), row[place]) for place in np.argsort(-row)[:5]] for row in rows]
    assert_alike(numbers(found), [pairs[:1], pairs[1:2], pairs[2:3], pairs[3:]])


def test_five_words_are_given_unless_told_otherwise(words: MaskedWords):
    assert [len(words.fill(["a [MASK]"], **options)[0].masks[0].words) for options in ({}, {"top": 1}, {"top": 37})] == [5, 1, 37]


def test_what_a_text_gives_does_not_depend_on_the_texts_beside_it(words: MaskedWords):
    assert_alike(numbers(words.fill(TEXTS)), [numbers(words.fill([text]))[0] for text in TEXTS])


def test_the_filled_text_is_the_text_with_one_mask_replaced(words: MaskedWords):
    [filled] = words.fill(["  The [MASK] at the CAFÉ, [MASK]  . "], targets=["bank", "##s"])
    assert [mask.span for mask in filled.masks] == [(6, 12), (26, 32)]
    texts = [{word.word: word.text for word in mask.words} for mask in filled.masks]
    assert texts == [
        {"bank": "  The bank at the CAFÉ, [MASK]  . ", "##s": "  Thes at the CAFÉ, [MASK]  . "},
        {"bank": "  The [MASK] at the CAFÉ, bank  . ", "##s": "  The [MASK] at the CAFÉ,s  . "},
    ]
    assert masked_words._with_token(" [MASK] a", (1, 7), "##s") == " ##s a"


def test_targets_have_their_probabilities_among_all_words(words: MaskedWords):
    [[every]] = numbers(words.fill(["a [MASK] ."], 37))
    [[some]] = numbers(words.fill(["a [MASK] ."], targets=["rates", "River", "bank", "BANK", "[UNK]"]))
    wanted = {TOKENS.index(token) for token in ("rates", "river", "bank", "[UNK]")}
    assert some == [pair for pair in every if pair[0] in wanted]
    assert numbers(words.fill(["a [MASK] ."], 2, targets=["rates", "river", "bank"])) == [
        [[pair for pair in some if pair[0] != TOKENS.index("[UNK]")][:2]]
    ]


def test_the_softmax_is_in_float32_whatever_the_products_are_in(folder: Path):
    words = MaskedWords(folder, dtype="bfloat16")
    [row] = words._likeliest(np.ones((1, 24), np.float32), np.arange(37, dtype=np.int32), 37)
    np.testing.assert_allclose(sum(probability for probability, _ in row), 1.0, atol=1e-6)


def test_rows_behind_the_vocabulary_count_in_the_softmax_and_are_never_chosen(
    words: MaskedWords, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(words, "tokenizer", Tokenizer(TOKENS[:20]))
    [[found]] = numbers(words.fill(["a [MASK]"], 20))
    [row] = probabilities(folder, ["a [MASK]"])
    assert sorted(token_id for token_id, _ in found) == list(range(20))
    assert 0.01 < sum(row[20:]) < 0.99
    np.testing.assert_allclose(sum(probability for _, probability in found), sum(row[:20]), atol=1e-5)


def test_logits_are_computed_for_masks_only_and_for_few_of_them_at_a_time(words: MaskedWords, monkeypatch: pytest.MonkeyPatch):
    texts = ["[MASK] [MASK] a [MASK]", *TEXTS, "a bank of a river [MASK] ."]
    expected = numbers(words.fill(texts))
    rows: list[int] = []
    best = masked_words._best

    def seen(head: Any, word_table: Any, hidden: np.ndarray, *arguments: Any, **options: Any) -> Any:
        rows.append(len(hidden))
        return best(head, word_table, hidden, *arguments, **options)

    monkeypatch.setattr(masked_words, "_best", seen)
    monkeypatch.setattr(masked_words, "MASKS_AT_A_TIME", (1, 8))
    assert_alike(numbers(words.fill(texts)), expected)
    assert rows == [8, 1]


def test_any_number_of_texts_is_filled_one_after_the_other(words: MaskedWords, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(masked_words, "TEXTS_AT_A_TIME", 2)
    taken = []

    def endless():
        while True:
            taken.append("a [MASK]")
            yield taken[-1]

    assert len(list(islice(words.fill_each(endless()), 3))) == 3
    assert len(taken) == 4
    given = words.fill_each(["a [MASK]", "[MASK]", "[MASK] .", "a bank"])
    assert [next(given).text, next(given).text] == ["a [MASK]", "[MASK]"]
    with pytest.raises(InputError, match=r"texts\[3\] \('a bank'\) has no \[MASK\]"):
        next(given)


def test_one_string_is_not_taken_for_a_text_a_character(words: MaskedWords):
    with pytest.raises(InputError, match="fill_each.. was given one string"):
        words.fill_each("a [MASK]")


def test_no_texts_give_nothing(words: MaskedWords):
    assert words.fill([]) == []


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ("a [MASK]", {}, r"was given one string; give a list of texts"),
        (5, {}, "was given a int"),
        (["a [MASK]", 5], {}, r"texts\[1\] is of the type int; expected a string"),
        (["a [MASK]", ""], {}, r"texts\[1\] is empty; expected a text with \[MASK\] in it"),
        ([" \n"], {}, r"texts\[0\] is empty"),
        (["a [mask]"], {}, r"texts\[0\] \('a \[mask\]'\) has no \[MASK\], the mask of this model's tokenizer"),
        (["a" * 99], {}, rf"texts\[0\] \('{'a' * 40}…'\) has no"),
        (["a [MASK] \ud800"], {}, r"texts\[0\] has half of a surrogate pair at position 9"),
        (["a [MASK]", "a " * 17 + "[MASK]"], {}, r"texts\[1\] .* has 20 tokens, .* and the model takes 19 at most; shorten it"),
        (["[MASK]"], {"top": 0}, "top is 0; expected a whole number from 1 to 37, the number of tokens in the vocabulary"),
        (["[MASK]"], {"top": 38}, "top is 38"),
        (["[MASK]"], {"top": True}, "top is True"),
        (["[MASK]"], {"top": 2.0}, "top is 2.0"),
        (["[MASK]"], {"top": 3, "targets": ["a", "the"]}, "top is 3; expected a whole number from 1 to 2, the number of targets"),
        (["[MASK]"], {"targets": "bank"}, "targets is one string; expected a list of words"),
        (["[MASK]"], {"targets": 5}, "targets is of the type int"),
        (["[MASK]"], {"targets": ()}, "targets is empty"),
        (["[MASK]"], {"targets": ["bank", 5]}, "a target is of the type int"),
        (["[MASK]"], {"targets": ["banks"]}, "the target 'banks' falls into 2 pieces, bank ##s; expected a word that is one"),
        (["[MASK]"], {"targets": ["the bank"]}, "the target 'the bank' falls into 2 pieces, the bank;"),
        (["[MASK]"], {"targets": ["xylem"]}, r"the target 'xylem' is not in the vocabulary and becomes \[UNK\]"),
        (["[MASK]"], {"targets": [" "]}, "the target ' ' holds no word"),
    ],
)
def test_what_cannot_be_filled_is_refused_and_named(texts: Any, options: dict, message: str, words: MaskedWords):
    with pytest.raises(InputError, match=message):
        words.fill(texts, **options)


def test_a_text_of_all_positions_is_filled(words: MaskedWords):
    assert words.fill(["a " * 16 + "[MASK]"])[0].masks[0].span == (32, 38)


def test_a_model_that_gives_no_numbers_is_refused(folder: Path, words: MaskedWords, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "_word_table", words._word_table * np.float32(np.nan))
    with pytest.raises(InputError, match="the probabilities are not finite"):
        words.fill(["[MASK]"])


def test_a_checkpoint_without_the_head_is_refused_before_its_weights_are_read(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(masked_words, "load", lambda *_, **__: pytest.fail("the weights were read"))
    with pytest.raises(CheckpointError, match=r"does not hold the head masked_lm, .* such as bert-base-uncased, or train one"):
        MaskedWords(tiny)


def test_a_head_with_a_part_missing_is_refused(folder: Path, tmp_path: Path):
    for name in ("config.json", "vocab.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    tensors = load_file(folder / "model.safetensors")
    del tensors["cls.predictions.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="holds the head masked_lm in part; missing: cls.predictions.bias"):
        MaskedWords(tmp_path)


def test_no_other_head_can_be_asked_for(folder: Path):
    for override in ("head", "replace_head", "num_labels"):
        with pytest.raises(ConfigError, match=f"{override} is no field of BertConfig"):
            MaskedWords(folder, **{override: 1})


def test_masks_of_another_name_and_of_the_google_flavor_are_found(words: MaskedWords, folder: Path, tmp_path: Path):
    expected = numbers(words.fill(["a [MASK] ."]))
    for number, (mask, settings) in enumerate((("<mask>", {"mask_token": "<mask>"}), ("[MASK]", {"flavor": "google"}))):
        other = tmp_path / str(number)
        other.mkdir()
        for name in ("config.json", "model.safetensors"):
            (other / name).write_bytes((folder / name).read_bytes())
        (other / "vocab.txt").write_text("\n".join(TOKENS).replace("[MASK]", mask) + "\n")
        (other / "tokenizer_config.json").write_text(json.dumps(settings))
        others = MaskedWords(other)
        with pytest.raises(InputError, match=f"has no {mask}, the mask".replace("[", r"\[")):
            others.fill(["a bank"])
        assert_alike(numbers(others.fill([f"a {mask} ."])), expected)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_words_and_probabilities_are_those_of_transformers_pipeline(tmp_path: Path):
    import torch
    import transformers

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in "lmnrst")]
    tokens += [f"##{token}" for token in tokens[5:40]]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    torch.manual_seed(0)
    sizes = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=19)
    config = transformers.BertConfig(vocab_size=len(tokens), initializer_range=0.3, **sizes)
    model = transformers.BertForMaskedLM(config).eval()
    for parameter in model.parameters():  # biases are born as zero
        parameter.data += 0.05 * torch.randn(parameter.shape)
    model.save_pretrained(tmp_path)
    tokenizer = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    pipeline = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")

    generator = np.random.default_rng(0)
    texts = []
    for length in generator.integers(1, 15, 60):
        text = generator.choice(tokens[5:125], length).tolist()
        for place in generator.integers(0, length, generator.integers(1, 4)):
            text[place] = "[MASK]"
        texts.append(" ".join(text))
    targets = ["bal", "gut", "dim", "##bal"]
    ours = MaskedWords(tmp_path)
    for given, asked in (({"top": 10}, {"top_k": 10}), ({"targets": targets}, {"targets": targets, "top_k": 4})):
        for filled, theirs in zip(ours.fill(texts, **given), pipeline(texts, **asked), strict=True):
            expected = [theirs] if len(filled.masks) == 1 else theirs
            pairs = [[(each["token"], each["score"]) for each in mask] for mask in expected]
            assert_alike(numbers([filled]), [pairs], atol=1e-5)
            if len(filled.masks) == 1:
                for word, each in zip(filled.masks[0].words, theirs, strict=True):
                    if word.token_id >= 5:
                        assert word.text == each["sequence"]
