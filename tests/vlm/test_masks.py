"""The mask codec against plain NumPy loops, its files, and crops of masks."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz.encoders.errors import EncoderError
from dinoclip_viz.playground import stream
from dinoclip_viz.vlm.masks import MaskCodec, crop_mask, load_mask_codec, mask_tokens, paste_mask, save_mask_codec

SMALL = {"width": 6, "dimension": 5, "decoder_widths": (8, 4, 3, 2), "encoder_widths": (2, 3, 4, 7)}

PUBLISHED_SHAPES = {
    "_vq_vae._embedding": (128, 512),
    "encoder.0": (16, 1, 4, 4),
    "encoder.2": (32, 16, 4, 4),
    "encoder.4": (64, 32, 4, 4),
    "encoder.6": (128, 64, 4, 4),
    "encoder.10": (512, 128, 1, 1),
    "decoder.0": (128, 512, 1, 1),
    "decoder.4": (128, 128, 4, 4),
    "decoder.6": (128, 64, 4, 4),
    "decoder.8": (64, 32, 4, 4),
    "decoder.10": (32, 16, 4, 4),
    "decoder.12": (1, 16, 1, 1),
    **{
        f"{side}.net.{layer}": (128, 128, kernel, kernel)
        for side in ("encoder.8", "encoder.9", "decoder.2", "decoder.3")
        for layer, kernel in ((0, 3), (2, 3), (4, 1))
    },
}
TRANSPOSED = ("decoder.4", "decoder.6", "decoder.8", "decoder.10")


def published_arrays(seed=0):
    """Random arrays with the names and shapes of the published file, of a scale that keeps the signal."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in PUBLISHED_SHAPES.items():
        if name.startswith("_vq_vae"):
            arrays[name] = generator.normal(size=shape).astype(np.float32)
            continue
        inputs = shape[0] * 4 if name in TRANSPOSED else int(np.prod(shape[1:]))
        arrays[f"{name}.weight"] = (generator.normal(size=shape) * inputs**-0.5).astype(np.float32)
        out = shape[1] if name in TRANSPOSED else shape[0]
        arrays[f"{name}.bias"] = (generator.normal(size=out) * 0.1).astype(np.float32)
    return arrays


def convolved(values, arrays, name, stride=1, padding=0):
    """A convolution of (channels, height, width), written as a sum over the kernel's positions."""
    weight, bias = arrays[f"{name}.weight"].astype(np.float64), arrays[f"{name}.bias"]
    values = np.pad(values, ((0, 0), (padding, padding), (padding, padding)))
    side = weight.shape[-1]
    height, width = ((length - side) // stride + 1 for length in values.shape[1:])
    found = np.zeros((weight.shape[0], height, width)) + bias[:, None, None]
    for row in range(side):
        for column in range(side):
            part = values[:, row : row + stride * height : stride, column : column + stride * width : stride]
            found += np.tensordot(weight[:, :, row, column], part[:, :height, :width], 1)
    return found


def enlarged(values, arrays, name):
    """A transposed 4 x 4 convolution of stride 2 and padding 1: each input pixel adds its kernel to the output."""
    weight, bias = arrays[f"{name}.weight"].astype(np.float64), arrays[f"{name}.bias"]
    _, height, width = values.shape
    found = np.zeros((weight.shape[1], 2 * height + 2, 2 * width + 2))
    for row in range(height):
        for column in range(width):
            added = np.tensordot(values[:, row, column], weight, 1)  # (out, 4, 4)
            found[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += added
    return found[:, 1:-1, 1:-1] + bias[:, None, None]


def relu(values):
    return np.maximum(values, 0)


def residual(values, arrays, name):
    inner = relu(convolved(values, arrays, f"{name}.net.0", padding=1))
    inner = relu(convolved(inner, arrays, f"{name}.net.2", padding=1))
    return values + convolved(inner, arrays, f"{name}.net.4")


def plain_decoder(codes, arrays):
    grid = arrays["_vq_vae._embedding"][codes].reshape(4, 4, -1).transpose(2, 0, 1).astype(np.float64)
    values = relu(convolved(grid, arrays, "decoder.0"))
    values = residual(residual(values, arrays, "decoder.2"), arrays, "decoder.3")
    for name in TRANSPOSED:
        values = relu(enlarged(values, arrays, name))
    return convolved(values, arrays, "decoder.12")[0]


def plain_latents(mask, arrays):
    values = 2 * (mask[None].astype(np.float64) - 0.5)
    for layer in (0, 2, 4, 6):
        values = relu(convolved(values, arrays, f"encoder.{layer}", stride=2, padding=1))
    values = residual(residual(values, arrays, "encoder.8"), arrays, "encoder.9")
    return convolved(values, arrays, "encoder.10")


@pytest.fixture(scope="module")
def arrays():
    return published_arrays()


@pytest.fixture(scope="module")
def published(arrays, tmp_path_factory):
    file = tmp_path_factory.mktemp("npz") / "vae-oid.npz"
    np.savez(file, **arrays, **{"_vq_vae._ema_w": np.zeros((128, 512), np.float32)})
    return file


def test_the_published_file_has_the_published_size(arrays):
    averages = 128 * 512 + 128  # the two buffers of the moving averages
    assert sum(values.nbytes for values in arrays.values()) + 4 * averages == pytest.approx(8.48e6, rel=0.005)


def test_the_decoder_of_the_published_file_equals_a_plain_one(arrays, published):
    codec = load_mask_codec(published)
    codes = np.random.default_rng(1).integers(0, 128, (2, 16))
    expected = np.stack([plain_decoder(row, arrays) for row in codes])
    assert 0.05 < expected.std() < 5
    maps = codec.from_latents(codec.vectors(torch.from_numpy(codes))).numpy()
    assert np.abs(maps - expected).max() < 1e-5
    assert np.abs(codec.decode(torch.from_numpy(codes)).numpy() - expected.clip(-1, 1)).max() < 1e-5


def test_the_encoder_of_the_published_file_equals_a_plain_one(arrays, published):
    codec = load_mask_codec(published)
    masks = np.zeros((2, 64, 64), np.float32)
    masks[0, 10:50, 20:40] = 1
    masks[1] = np.random.default_rng(2).random((64, 64)) > 0.5
    expected = np.stack([plain_latents(mask, arrays) for mask in masks])
    assert np.abs(codec.latents(torch.from_numpy(masks)).numpy() - expected).max() < 1e-5
    vectors = expected.reshape(2, -1, 16).transpose(0, 2, 1)
    distances = ((vectors[:, :, None] - arrays["_vq_vae._embedding"]) ** 2).sum(-1)
    assert codec.encode(torch.from_numpy(masks)).tolist() == distances.argmin(-1).tolist()


def test_a_file_without_the_encoder_only_decodes(arrays, published, tmp_path):
    file = tmp_path / "decoder.npz"
    np.savez(file, **{name: values for name, values in arrays.items() if not name.startswith("encoder")})
    codec, codes = load_mask_codec(file), torch.arange(16)[None]
    assert torch.equal(codec.decode(codes), load_mask_codec(published).decode(codes))
    with pytest.raises(ValueError, match="only decodes"):
        codec.encode(torch.zeros(1, 64, 64))


def test_files_with_missing_or_wrong_arrays_are_refused(arrays, tmp_path):
    file = tmp_path / "vae-oid.npz"
    np.savez(file, **{name: values for name, values in arrays.items() if name != "decoder.3.net.2.bias"})
    with pytest.raises(EncoderError, match=r"has no array decoder\.3\.net\.2\.bias"):
        load_mask_codec(file)
    np.savez(file, **{name: values for name, values in arrays.items() if name != "_vq_vae._embedding"})
    with pytest.raises(EncoderError, match=r"has no array _vq_vae\._embedding"):
        load_mask_codec(file)
    np.savez(file, **{**arrays, "decoder.12.weight": np.zeros((1, 8, 1, 1), np.float32)})
    with pytest.raises(EncoderError, match=r"decoder\.12\.weight has shape \(1, 8, 1, 1\); expected \(1, 16, 1, 1\)"):
        load_mask_codec(file)


def test_pickled_objects_and_other_files_are_refused_in_one_line(tmp_path):
    objects, text = tmp_path / "objects.npz", tmp_path / "text.npz"
    np.savez(objects, **{"decoder.0.weight": np.array([{"a": 1}], dtype=object)})
    text.write_text("not an archive")
    (tmp_path / "empty.npz").touch()
    for name in ("objects.npz", "text.npz", "empty.npz", "missing.npz"):
        with pytest.raises(EncoderError) as refused:
            load_mask_codec(tmp_path / name)
        assert "\n" not in str(refused.value) and name in str(refused.value)


def test_a_codec_is_the_same_after_it_was_saved(tmp_path):
    torch.manual_seed(0)
    codec = MaskCodec(**SMALL)
    save_mask_codec(codec, tmp_path / "codec")
    again = load_mask_codec(tmp_path / "codec")
    masks = (torch.rand(3, 64, 64) > 0.5).float()
    assert torch.equal(codec.latents(masks).detach(), again.latents(masks))
    assert torch.equal(codec.encode(masks), again.encode(masks))
    assert torch.equal(codec.decode(codec.encode(masks)), again.decode(again.encode(masks)))
    assert not any(value.requires_grad for value in again.parameters())
    assert json.loads((tmp_path / "codec" / "config.json").read_text())["decoder_widths"] == [8, 4, 3, 2]


def test_half_precision_on_disk_is_loaded_as_float32(tmp_path):
    save_mask_codec(MaskCodec(**SMALL).half(), tmp_path)
    assert {value.dtype for value in load_mask_codec(tmp_path).state_dict().values()} == {torch.float32}


def test_folders_without_a_codec_are_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"has no config\.json"):
        load_mask_codec(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"\0")
    with pytest.raises(EncoderError, match="found model type None"):
        load_mask_codec(tmp_path)
    save_mask_codec(MaskCodec(**SMALL), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(EncoderError, match="cannot be read"):
        load_mask_codec(tmp_path)


def test_the_embedded_codec_reconstructs_masks_of_held_out_objects():
    found, boxes = [], []
    for scene in stream(3000, 20, 96):
        for number, one in enumerate(scene.objects, 1):
            mask = scene.instances == number
            if mask.sum() >= 60:
                found.append(mask)
                boxes.append(one["box"])
    crops = torch.stack([crop_mask(mask, box) for mask, box in zip(found, boxes, strict=True)])
    codec = load_mask_codec()
    maps = codec.decode(codec.encode(crops))
    small = [((a > 0) & (b > 0.5)).sum() / ((a > 0) | (b > 0.5)).sum() for a, b in zip(maps, crops, strict=True)]
    pasted = [paste_mask(each, box, (96, 96)) for each, box in zip(maps, boxes, strict=True)]
    whole = [(a & b).sum() / (a | b).sum() for a, b in zip(pasted, found, strict=True)]
    assert len(found) > 20
    assert float(np.mean(small)) > 0.88
    assert float(np.mean(whole)) > 0.88


def test_codes_are_the_nearest_vectors_and_gradients_reach_the_encoder():
    torch.manual_seed(0)
    codec = MaskCodec(**SMALL)
    masks = torch.rand(300, 64, 64)  # more than one batch
    latents = codec.latents(masks)
    vectors = latents.detach().flatten(2).transpose(1, 2)  # (N, 16, D)
    assert torch.equal(codec.encode(masks), torch.cdist(vectors, codec.codebook[None]).argmin(2))
    codec.from_latents(latents).sum().backward()
    assert all(value.grad is not None for value in codec.parameters())


def test_codes_are_laid_out_row_by_row():
    codec = MaskCodec(**SMALL)
    vectors = codec.vectors(torch.arange(16)[None])
    assert torch.equal(vectors[0, :, 1, 2], codec.codebook[6])


@pytest.mark.parametrize("codes", [torch.zeros(1, 15), torch.full((1, 16), 128), torch.full((1, 16), -1)])
def test_other_codes_are_refused(codes):
    with pytest.raises(ValueError, match="expected"):
        MaskCodec(**SMALL).decode(codes.long())


def test_other_masks_and_widths_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 32, 32\); expected \(N, 64, 64\)"):
        MaskCodec(**SMALL).encode(torch.zeros(1, 32, 32))
    with pytest.raises(ValueError, match="3 decoder widths"):
        MaskCodec(decoder_widths=(1, 2, 3))
    with pytest.raises(ValueError, match="expected 1 or more"):
        MaskCodec(width=0)


def test_mask_tokens_are_sixteen_numbers_of_three_digits():
    text = mask_tokens(torch.arange(100, 116))
    assert re.findall(r"<seg(\d{3})>", text) == [str(code) for code in range(100, 116)]
    for wrong in (range(15), [*range(15), 128]):
        with pytest.raises(ValueError, match="expected 16"):
            mask_tokens(list(wrong))


def test_crops_equal_pillows_antialiased_resizing():
    mask = np.zeros((200, 300), bool)
    mask[40:160, 50:250] = np.random.default_rng(0).random((120, 200)) > 0.4
    cut = crop_mask(mask, (50.4, 39.6, 249.6, 160.4))
    expected = Image.fromarray(mask[40:160, 50:250].astype(np.float32)).resize((64, 64), Image.Resampling.BILINEAR)
    assert cut.shape == (64, 64) and cut.dtype == torch.float32
    assert np.abs(cut.numpy() - np.asarray(expected)).max() < 1e-5


def test_crops_are_clipped_to_the_mask_and_empty_ones_refused():
    mask = np.ones((10, 10), bool)
    assert crop_mask(mask, (-20, 5, 40, 60)).min() == 1
    for box in ((3.2, 3.2, 3.4, 8), (12, 0, 20, 5)):
        with pytest.raises(ValueError, match="covers no pixel"):
            crop_mask(mask, box)


def test_pasted_masks_fill_their_box_alone():
    decoded = torch.full((64, 64), -1.0)
    decoded[:, :32] = 1
    found = paste_mask(decoded, (10, 20, 30, 60), (100, 80))
    expected = np.zeros((80, 100), bool)
    expected[20:60, 10:20] = True
    assert found.shape == (80, 100) and (found == expected).all()


def test_pasted_masks_are_resized_as_pillow_does():
    decoded = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    for width, height in ((200, 90), (20, 31)):
        found = paste_mask(decoded, (5, 7, 5 + width, 7 + height), (300, 200))
        resized = np.asarray(Image.fromarray(decoded).resize((width, height), Image.Resampling.BILINEAR))
        assert (found[7 : 7 + height, 5 : 5 + width] == (resized > 0)).all()


def test_masks_are_pasted_into_boxes_that_leave_the_image_and_into_none():
    assert paste_mask(torch.ones(64, 64), (-10, -10, 5, 3), (20, 10)).sum() == 15
    assert paste_mask(torch.ones(64, 64), (4.6, 4.6, 5.4, 9), (20, 10)).sum() == 0
    assert paste_mask(torch.ones(64, 64), (0.1, 0.2, 0.9, 0.8), (1, 1)).all()


def test_a_mask_there_and_back_through_crop_and_paste_keeps_its_shape():
    rows, columns = np.mgrid[:120, :160]
    mask = (rows - 60) ** 2 + (columns - 80) ** 2 < 40**2
    box = (40, 20, 121, 101)
    back = paste_mask(2 * crop_mask(mask, box) - 1, box, (160, 120))
    assert (mask & back).sum() / (mask | back).sum() > 0.97
