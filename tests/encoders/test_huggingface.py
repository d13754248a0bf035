"""Every architecture of transformers, through the real loading code, against the library's own forward pass."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz.encoders import EncoderError, load_encoder, load_pair, load_text_encoder

VISION = ("dinov2", "dinov2_with_registers", "dinov3", "dinov3_convnext", "dino", "ijepa", "pixio")
JOINT = ("clip", "metaclip2", "siglip", "tips")
PREFIX = {
    "dinov2": 1,
    "dinov2_with_registers": 5,
    "dinov3": 5,
    "dinov3_convnext": 1,
    "dino": 1,
    "ijepa": 0,
    "pixio": 8,
    "clip": 1,
    "metaclip2": 1,
    "siglip": 0,
    "tips": 2,
}
INTERPOLATED = {"dino", "ijepa", "clip", "metaclip2", "siglip"}


def library_output(folder, kind, pixels):
    """last_hidden_state and joint vector by the library itself, plainly."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    extra = {"interpolate_pos_encoding": True} if kind in INTERPOLATED else {}
    with torch.no_grad():
        if kind in JOINT:
            output = model.get_image_features(pixels, **extra)
            return model, output.last_hidden_state, output.pooler_output
        output = model(pixels, **extra)
    tokens = output.last_hidden_state
    pooled = {"ijepa": tokens.mean(1), "pixio": tokens[:, :8].mean(1)}.get(kind, tokens[:, 0])
    return model, tokens, pooled


def library_pixels(folder, kind, images):
    from transformers import AutoImageProcessor

    backend = "torchvision" if kind in ("dinov3", "dinov3_convnext", "tips") else "pil"
    return AutoImageProcessor.from_pretrained(folder, backend=backend)(images, return_tensors="pt").pixel_values


@pytest.mark.parametrize("kind", VISION + JOINT)
def test_features_are_those_of_the_library(kind, tiny_folder, draw_images):
    folder, images = tiny_folder(kind), draw_images((90, 70), (64, 120))
    encoder = load_encoder(folder, device="cpu")
    pixels = library_pixels(folder, kind, images)
    model, tokens, pooled = library_output(folder, kind, pixels)
    features = encoder.encode(images)
    patches = tokens[:, PREFIX[kind] :]
    if kind in ("clip", "metaclip2"):
        patches = model.vision_model.post_layernorm(patches)
    torch.testing.assert_close(features.pooled, pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(features.mean, tokens.mean(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.patches.flatten(1, 2), patches.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", VISION + JOINT)
def test_pixels_are_the_librarys_bit_for_bit(kind, tiny_folder, draw_images):
    folder, images = tiny_folder(kind), draw_images((90, 71), (64, 120), (33, 20))
    encoder = load_encoder(folder, device="cpu")
    plans = [encoder.preprocessing.plan(image.size, encoder.patch, None, "crop") for image in images]
    ours = encoder.preprocessing.pixels(images, plans)
    assert torch.equal(ours, library_pixels(folder, kind, images))


@pytest.mark.parametrize("kind", ["dinov2", "dinov3_convnext", "ijepa", "pixio", "clip", "siglip", "tips"])
def test_whole_images_of_any_grid_equal_the_librarys_pass(kind, tiny_folder, draw_images):
    folder, image = tiny_folder(kind), draw_images((200, 90))[0]
    encoder = load_encoder(folder, device="cpu")
    features = encoder.encode([image], size=6 * encoder.patch, fit="whole")
    assert features.grid == (3, 6)
    small = image.resize((6 * encoder.patch, 3 * encoder.patch), Image.Resampling.BICUBIC)
    from transformers import AutoImageProcessor

    backend = "torchvision" if kind in ("dinov3_convnext", "tips") else "pil"
    processor = AutoImageProcessor.from_pretrained(folder, backend=backend)
    pixels = processor(small, do_resize=False, do_center_crop=False, return_tensors="pt").pixel_values
    _, tokens, pooled = library_output(folder, kind, pixels)
    torch.testing.assert_close(features.pooled, pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(features.mean, tokens.mean(1), rtol=0, atol=1e-5)
    assert features.boxes.tolist() == [[0.0, 0.0, 200.0, 90.0]]


def test_the_corner_of_a_crop_is_rounded_as_published_not_as_in_transformers(tiny_folder):
    """Of 3 pixels too many, torchvision leaves 2 at the left, transformers 1."""
    encoder = load_encoder(tiny_folder("clip"), device="cpu")
    assert encoder.preprocessing.plan((35, 32), encoder.patch, None, "crop").corner == (2, 0)


def test_another_crop_size_scales_the_resize_in_proportion(tiny_folder):
    encoder = load_encoder(tiny_folder("dinov2"), device="cpu")  # published: shorter side 64, crop 56
    plan = encoder.preprocessing.plan((256, 128), encoder.patch, 112, "crop")
    assert plan.resized == (256, 128)
    assert plan.box == (72.0, 8.0, 184.0, 120.0)


def test_what_a_crop_leaves_beside_the_last_patch_is_not_in_the_box(tiny_folder, draw_images):
    encoder = load_encoder(tiny_folder("dinov3"), device="cpu")
    features = encoder.encode(draw_images((100, 100)), size=50)
    assert features.grid == (3, 3)
    assert features.boxes.tolist() == [[0.0, 0.0, 96.0, 96.0]]


def test_squeezed_models_crop_nothing(tiny_folder, draw_images):
    features = load_encoder(tiny_folder("siglip"), device="cpu").encode(draw_images((300, 100)))
    assert features.boxes.tolist() == [[0.0, 0.0, 300.0, 100.0]]


@pytest.mark.parametrize("kind", JOINT)
def test_text_vectors_are_those_of_the_library(kind, tiny_folder):
    from transformers import AutoModel, AutoTokenizer

    folder, texts = tiny_folder(kind), ["a photo of a cat", "bird", "the red dog and the blue tree on a house"]
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    fixed = kind in ("siglip", "tips")
    expected = []
    for text in texts:  # one by one, so that padding cannot matter where it should not
        tokens = tokenizer([text], padding="max_length" if fixed else False, max_length=64, return_tensors="pt")
        mask = {} if kind == "siglip" else {"attention_mask": tokens["attention_mask"]}
        with torch.no_grad():
            expected.append(model.get_text_features(tokens["input_ids"], **mask).pooler_output)
    encoder = load_text_encoder(folder, device="cpu")
    torch.testing.assert_close(encoder.encode(texts).pooled, torch.cat(expected), rtol=0, atol=1e-5)
    scale = 1 / model.temperature if kind == "tips" else model.logit_scale.exp()
    assert encoder.logit_scale == pytest.approx(scale.item())


@pytest.mark.parametrize("kind", JOINT)
def test_both_sides_of_a_model_share_a_space_and_its_weights(kind, tiny_folder):
    images, texts = load_pair(tiny_folder(kind), device="cpu")
    assert images.space == texts.space
    assert images.dimension == texts.dimension
    assert images.patch_space == (images.space if kind == "tips" else f"{images.space}/patches")


def test_vision_models_keep_patches_and_vector_in_one_space(tiny_folder):
    encoder = load_encoder(tiny_folder("dinov2"), device="cpu")
    assert encoder.patch_space == encoder.space
    assert encoder.methods == ()


def test_vision_alone_does_not_keep_the_text_tower(tiny_folder, draw_images):
    encoder = load_encoder(tiny_folder("clip"), device="cpu")
    assert len(encoder.encode(draw_images((40, 40)))) == 1


def test_a_vision_model_reads_no_text(tiny_folder):
    with pytest.raises(EncoderError, match=r"reads no text; kinds that do: clip, metaclip_2, siglip, tipsv2"):
        load_text_encoder(tiny_folder("dinov2"), device="cpu")


@pytest.mark.parametrize("eos", [2, 5])
def test_an_end_token_that_the_tokenizer_does_not_write_is_refused(eos, write_tiny, tmp_path):
    folder = write_tiny.tiny_clip(tmp_path / "clip", eos_token_id=eos)
    with pytest.raises(EncoderError, match=f"ends a text with token 4, but text_config.eos_token_id is {eos}"):
        load_text_encoder(str(folder), device="cpu")


def test_the_real_clip_tokenizer_passes_with_the_historic_end_token(write_tiny, tmp_path):
    folder = write_tiny.tiny_clip(tmp_path / "clip")
    write_tiny.real_clip_tokenizer().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"].update(vocab_size=49408, eos_token_id=2, bos_token_id=0, pad_token_id=1)
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    CLIPModel(CLIPConfig.from_dict(config)).save_pretrained(folder)
    encoder = load_text_encoder(str(folder), device="cpu")
    vectors = encoder.encode(["a cat", "a dog", "a very long text about one cat"]).pooled
    assert not torch.allclose(vectors[0], vectors[1])
    torch.testing.assert_close(vectors[:1], encoder.encode(["a cat"]).pooled, rtol=0, atol=1e-5)


def test_templates_come_from_the_folder_if_it_has_them(write_tiny, tmp_path):
    folder = write_tiny.tiny_clip(tmp_path / "clip")
    assert len(load_text_encoder(str(folder), device="cpu").templates) == 80
    (folder / "templates.json").write_text('["a drawing of a {}."]')
    assert load_text_encoder(str(folder), device="cpu").templates == ("a drawing of a {}.",)
    (folder / "templates.json").write_text('["a drawing"]')
    with pytest.raises(EncoderError, match=r"templates\.json .* expected a list of prompts"):
        load_text_encoder(str(folder), device="cpu")


def test_features_can_be_trained_on(tiny_folder, draw_images):
    features = load_encoder(tiny_folder("dinov2"), device="cpu").encode(draw_images((40, 40)))
    layer = torch.nn.Linear(32, 2)
    layer(features.pooled).sum().backward()
    assert layer.weight.grad is not None


def test_half_precision_stays_near_and_comes_back_as_float32(tiny_folder, draw_images):
    images = draw_images((70, 50))
    exact = load_encoder(tiny_folder("dinov2"), device="cpu").encode(images)
    half = load_encoder(tiny_folder("dinov2"), device="cpu", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    rough = half.encode(images)
    assert rough.patches.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact.pooled, rough.pooled).item() > 0.99


def test_many_images_of_many_grids_come_back_in_order(tiny_folder, draw_images):
    encoder = load_encoder(tiny_folder("dinov2"), device="cpu")
    images = draw_images(*[(40 + 30 * (index % 4), 70) for index in range(11)])
    each = encoder.encode_each(images, size=84, batch_size=2)
    for image, features in zip(images, each, strict=True):
        assert features.sizes.tolist() == [list(image.size)]
        torch.testing.assert_close(
            features.patches, encoder.encode([image], size=84, fit="whole").patches, rtol=0, atol=1e-5
        )
        assert features.patches.untyped_storage().nbytes() == features.patches.nbytes


def test_images_that_are_not_rgb_are_converted(tiny_folder):
    encoder = load_encoder(tiny_folder("dinov2"), device="cpu")
    grey = Image.fromarray(np.arange(60 * 60, dtype=np.uint32).reshape(60, 60).astype(np.uint8))
    torch.testing.assert_close(encoder.encode([grey]).pooled, encoder.encode([grey.convert("RGB")]).pooled)
