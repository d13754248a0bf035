"""Text encoders in sentence-transformers' layout: vectors computed by hand, and what is refused."""

import json
import shutil
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch

from dinoclip_viz.encoders import CATALOG, EncoderError, check_text_encoder, load_encoder, load_pair
from dinoclip_viz.encoders import load_text_encoder as load_texts
from dinoclip_viz.encoders.hub import fetching
from dinoclip_viz.encoders.sentence_models.layout import MODES
from dinoclip_viz.encoders.sentence_models.pooling import pool

TEXTS = ["a red cat", "dog", "the blue bird on a tree and a house"]
MODULES = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
OF_LIBRARY = "sentence_transformers.models."


def write(folder, name, content):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def write_modules(folder, kinds, prefix=OF_LIBRARY, **paths):
    inside = {**MODULES, **paths}
    listed = [{"idx": 0, "name": "0", "path": inside.get(kind, ""), "type": prefix + kind} for kind in kinds]
    write(folder, "modules.json", listed)


@pytest.fixture
def folder(tmp_path, write_tiny):
    """A BERT without its pooler, of width 32, with mean pooling."""
    from transformers import BertConfig, BertModel, BertTokenizer

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *write_tiny.WORDS]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=24,
    )  # fmt: skip
    made = tmp_path / "bert"
    BertModel(config, add_pooling_layer=False).save_pretrained(made)
    BertTokenizer(vocab={token: index for index, token in enumerate(tokens)}).save_pretrained(made)
    write_modules(made, ["Transformer", "Pooling"])
    write(made, "1_Pooling/config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    write(made, "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
    return made


def load(folder, **named):
    return load_texts(str(folder), device="cpu", **named)


def vectors(folder, texts=TEXTS):
    return load(folder).encode(texts).pooled


def refused(folder, act=load):
    with pytest.raises(EncoderError) as caught:
        act(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def hidden(folder, text):
    """(L, D) token vectors of one text by the library itself, without padding."""
    from transformers import AutoModel, AutoTokenizer

    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        return AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]


BY_HAND = {
    "cls": lambda rows: rows[0],
    "max": lambda rows: rows.max(0).values,
    "mean": lambda rows: rows.mean(0),
    "mean_sqrt_len_tokens": lambda rows: rows.sum(0) / len(rows) ** 0.5,
    "weightedmean": lambda rows: sum((i + 1) * row for i, row in enumerate(rows)) / sum(range(1, len(rows) + 1)),
    "lasttoken": lambda rows: rows[-1],
}


@pytest.mark.parametrize("mode", MODES)
def test_each_pooling_is_that_of_the_unpadded_text(folder, mode):
    write(folder, "1_Pooling/config.json", {"embedding_dimension": 32, "pooling_mode": mode})
    expected = torch.stack([BY_HAND[mode](hidden(folder, text)) for text in TEXTS])
    torch.testing.assert_close(vectors(folder), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "weightedmean"])
def test_pooling_ignores_padding_on_either_side(mode):
    rows, noise = torch.randn(1, 3, 8), torch.full((1, 2, 8), 99.0)
    whole = pool(rows, torch.ones(1, 3), [mode])
    torch.testing.assert_close(pool(torch.cat([rows, noise], 1), torch.tensor([[1, 1, 1, 0, 0]]), [mode]), whole)
    torch.testing.assert_close(pool(torch.cat([noise, rows], 1), torch.tensor([[0, 0, 1, 1, 1]]), [mode]), whole)


def test_settings_of_both_versions_concatenate_their_poolings(folder):
    cls, mean = (torch.stack([BY_HAND[mode](hidden(folder, text)) for text in TEXTS]) for mode in ("cls", "mean"))
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": False}
    write(folder, "1_Pooling/config.json", flags)
    torch.testing.assert_close(vectors(folder), torch.cat([cls, mean], 1), rtol=0, atol=1e-5)
    write(folder, "1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]})
    torch.testing.assert_close(vectors(folder), torch.cat([mean, cls], 1), rtol=0, atol=1e-5)
    assert load(folder).dimension == 64


@pytest.mark.parametrize("residual", [False, True])
def test_dense_and_normalize_follow_in_their_order(folder, residual):
    from safetensors.torch import save_file

    plain = vectors(folder)
    weights = {"linear.weight": torch.randn(8, 32), "linear.bias": torch.randn(8)}
    if residual:
        weights["residual.weight"] = torch.randn(8, 32)
    settings = {"in_features": 32, "out_features": 8, "bias": True, "use_residual": residual}
    write(folder, "2_Dense/config.json", {**settings, "activation_function": "torch.nn.modules.activation.Tanh"})
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    write_modules(folder, ["Transformer", "Pooling", "Dense", "Normalize"])
    expected = torch.tanh(plain @ weights["linear.weight"].T + weights["linear.bias"])
    expected = expected + plain @ weights["residual.weight"].T if residual else expected
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(vectors(folder), expected, rtol=0, atol=1e-5)
    assert load(folder).dimension == 8


def test_texts_are_truncated_lowered_and_prefixed_as_the_folder_states(folder):
    words = ["cat", "dog", "bird", "tree"] * 10
    assert torch.equal(vectors(folder, [" ".join(words)]), vectors(folder, [" ".join(words[:14])]))  # and two frames
    assert not torch.equal(vectors(folder, [" ".join(words)]), vectors(folder, [" ".join(words[:13])]))
    write(folder, "config_sentence_transformers.json", {"prompts": {"p": "photo of "}, "default_prompt_name": None})
    plain = vectors(folder, ["cat", "photo of cat"])
    write(folder, "config_sentence_transformers.json", {"prompts": {"p": "photo of "}, "default_prompt_name": "p"})
    torch.testing.assert_close(vectors(folder, ["cat"]), plain[1:])
    write(folder, "config_sentence_transformers.json", {})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    write(folder, "tokenizer_config.json", {**settings, "do_lower_case": False})
    assert not torch.allclose(vectors(folder, ["RED cat"]), vectors(folder, ["red cat"]))
    write(folder, "sentence_bert_config.json", {"do_lower_case": True})
    assert torch.allclose(vectors(folder, ["RED cat"]), vectors(folder, ["red cat"]))


def test_the_encoder_keeps_the_contract_and_has_a_space_of_its_own(folder):
    encoder = load(folder)
    check_text_encoder(encoder)
    assert encoder.space.startswith("bert-") and encoder.templates == ("{}",) and encoder.dtype == torch.float32
    write(folder, "1_Pooling/config.json", {"pooling_mode": "cls"})
    assert load(folder).space != encoder.space


def test_random_weights_are_those_of_a_seed(folder):
    random, again = (load_texts(f"random:{folder}", device="cpu") for _ in range(2))
    assert torch.equal(random.encode(TEXTS).pooled, again.encode(TEXTS).pooled)
    assert not torch.allclose(random.encode(TEXTS).pooled, vectors(folder), atol=1e-2)
    assert random.space.startswith("random:")


def test_the_transformer_may_be_in_a_folder_of_its_own(folder, tmp_path):
    inner = tmp_path / "old" / "0_Transformer"
    shutil.copytree(folder, inner, ignore=shutil.ignore_patterns("1_Pooling", "modules.json"))
    shutil.copytree(folder / "1_Pooling", tmp_path / "old" / "1_Pooling")
    write_modules(tmp_path / "old", ["Transformer", "Pooling"], Transformer="0_Transformer")
    assert torch.equal(vectors(tmp_path / "old"), vectors(folder))
    write_modules(tmp_path / "old", ["Transformer", "Pooling"], Transformer="../bert")
    assert "outside the folder" in refused(tmp_path / "old")


def test_of_t5_the_encoder_is_loaded(folder):
    from transformers import T5Config, T5EncoderModel, T5Model

    config = T5Config(vocab_size=30, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0)
    (folder / "model.safetensors").unlink()
    T5Model(config).save_pretrained(folder)
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)("a red cat", return_tensors="pt")
    with torch.no_grad():
        rows = T5EncoderModel.from_pretrained(folder).eval()(tokens.input_ids).last_hidden_state[0]
    torch.testing.assert_close(vectors(folder, TEXTS)[0], rows.mean(0), rtol=0, atol=1e-5)


def test_an_image_text_model_with_modules_stays_one(tiny_folder, tmp_path):
    copied = Path(shutil.copytree(tiny_folder("siglip"), tmp_path / "siglip"))
    plain = load_pair(str(copied), device="cpu")[1]
    write_modules(copied, ["Transformer"])
    assert torch.equal(load(copied).encode(["cat"]).pooled, plain.encode(["cat"]).pooled)


def test_a_text_encoder_has_no_images(folder):
    for act in (load_encoder, load_pair):
        assert "is a text encoder without images" in refused(folder, lambda path, act=act: act(str(path), device="cpu"))


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda f: write_modules(f, ["Transformer", "Pooling"], prefix="custom_st."), "needs code of its own"),
        (lambda f: write_modules(f, ["Transformer"]), "lists Transformer; expected Transformer, Pooling"),
        (lambda f: write_modules(f, ["Transformer", "Pooling", "WordWeights"]), "lists Transformer, Pooling, WordW"),
        (lambda f: write(f, "modules.json", {"a": 1}), "expected a list of modules"),
        (lambda f: (f / "1_Pooling" / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "1_Pooling" / "config.json").write_text("[1"), "is not valid JSON"),
        (lambda f: write(f, "1_Pooling/config.json", {"pooling_mode": "median"}), "expected one or more of cls, max"),
        (lambda f: write(f, "1_Pooling/config.json", {"embedding_dimension": 7}), "vectors of 7 values, but the model"),
        (lambda f: write(f, "sentence_bert_config.json", {"max_seq_length": "x"}), "expected a whole number"),
        (lambda f: write(f, "sentence_bert_config.json", {"transformer_task": "fill-mask"}), "the task 'fill-mask'"),
        (lambda f: write(f, "config_sentence_transformers.json", {"default_prompt_name": "q"}), "default prompt 'q'"),
        (lambda f: (f / "config.json").unlink(), "config.json is missing or not of a model of transformers"),
        (lambda f: write(f, "config.json", {"model_type": "bart"}), "has an encoder and a decoder"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer; expected one of"),
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "a pickle that could run code"),
    ],
)
def test_every_refusal_is_one_line(folder, spoil, line):
    spoil(folder)
    assert line in refused(folder)


def test_a_prompt_that_pooling_excludes_is_refused(folder):
    write(folder, "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False})
    assert len(vectors(folder)) == len(TEXTS)
    write(folder, "config_sentence_transformers.json", {"prompts": {"q": "find "}, "default_prompt_name": "q"})
    assert "excludes the prompt 'find '" in refused(folder)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"in_features": 31}, "31 inputs and 8 outputs; expected 32 inputs"),
        ({"activation_function": "my.Own"}, "the activation 'my.Own'"),
        ({"module_input_name": "token_embeddings"}, "module_input_name 'token_embeddings'"),
        ({}, "has no model.safetensors, and a pickle is never loaded"),
    ],
)
def test_a_dense_layer_that_does_not_fit_is_refused(folder, change, line):
    write(folder, "2_Dense/config.json", {"in_features": 32, "out_features": 8, **change})
    write_modules(folder, ["Transformer", "Pooling", "Dense"])
    assert line in refused(folder)


def test_weights_that_lack_a_tensor_are_refused_and_a_pooler_may_be_absent(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    assert not any(name.startswith("pooler") for name in tensors)
    del tensors["embeddings.LayerNorm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lack 1 tensors of a bert model, embeddings.LayerNorm.weight first" in refused(folder)


def test_the_hub_is_asked_for_the_files_of_the_layout_and_for_no_pickle():
    files = [
        "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
        "2_Dense/config.json", "2_Dense/model.safetensors",
    ]  # fmt: skip
    asked = [*fetching._SETTINGS, *fetching._WEIGHTS["transformers"]]
    assert [file for file in files if not any(fnmatch(file, pattern) for pattern in asked)] == []
    unwanted = ["2_Dense/pytorch_model.bin", "pytorch_model.bin", "onnx/model.onnx", "openvino/openvino_model.bin"]
    assert [file for file in unwanted if any(fnmatch(file, pattern) for pattern in asked)] == []


def test_the_catalogues_text_encoder_is_known_and_its_absence_is_one_line(folder, tmp_path, monkeypatch):
    entry = CATALOG["playground-text"]
    assert (entry.kind, entry.dimension, entry.patch) == ("text", 128, 0)
    monkeypatch.setitem(CATALOG, entry.name, replace(entry, weights=str(tmp_path / "absent")))
    assert "is missing; reinstall the package" in refused(entry.name)
    monkeypatch.setitem(CATALOG, entry.name, replace(entry, weights=str(folder)))
    assert load(entry.name).space == load(entry.name).name == "playground-text"


def test_token_vectors_are_those_of_the_unpadded_texts_with_their_special_tokens(folder):
    features = load(folder).encode_tokens(TEXTS, batch_size=2)
    expected = [hidden(folder, text) for text in TEXTS]
    assert features.offsets.diff().tolist() == [len(rows) for rows in expected] == [5, 3, 11]
    torch.testing.assert_close(features.values, torch.cat(expected), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.pooled, vectors(folder))
    assert load(folder).token_dimension == 32


def test_a_model_of_transformers_alone_takes_its_pooling_from_the_name(folder):
    for mode in ("cls", "lasttoken"):
        write(folder, "1_Pooling/config.json", {"embedding_dimension": 32, "pooling_mode": mode})
        expected = vectors(folder)
        (folder / "modules.json").rename(folder / "kept.json")
        named = load_texts(f"{mode}:{folder}", device="cpu")
        torch.testing.assert_close(named.encode(TEXTS).pooled, expected)
        assert named.space.startswith(f"{mode}:bert-")
        (folder / "kept.json").rename(folder / "modules.json")
    (folder / "modules.json").unlink()
    told = refused(folder)
    assert "pooling is unknown" in told and f"mean:{folder}" in told and "lasttoken" in told


def test_a_pooling_in_the_name_replaces_the_folders_own_and_is_for_texts_alone(folder, tmp_path, write_tiny):
    own = vectors(folder)
    assert not torch.allclose(load_texts(f"cls:{folder}", device="cpu").encode(TEXTS).pooled, own)
    write_tiny.tiny_dinov2(tmp_path / "dino")
    with pytest.raises(EncoderError, match="is no text model; the pooling 'mean' is for text models alone"):
        load_texts(f"mean:{tmp_path / 'dino'}", device="cpu")
