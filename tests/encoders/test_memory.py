"""Batches larger than the memory are halved, with one warning, and give the same features."""

import logging

import pytest
import torch
from torch import Tensor

import dinoclip_viz as dv
from dinoclip_viz.encoders.towers.memory import Halving, fitting_batch, is_out_of_memory


def again(error: Exception) -> Exception:
    """A new error: a raised one would keep its frames, and their tensors, alive."""
    return type(error)(*error.args)


class Small:
    """A device on which no more than `most` images fit."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error, self.seen = most, error, []

    def __call__(self, inputs: Tensor) -> Tensor:
        self.seen.append(len(inputs))
        if len(inputs) > self.most:
            raise again(self.error)
        return inputs * 2


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("most", [1, 3, 5])
def test_a_batch_is_halved_until_it_fits_and_the_size_is_kept(error, most, caplog):
    run, inputs = Small(most, error), torch.arange(13)[:, None]
    halving = Halving("vit", torch.cat)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(halving(run, inputs), inputs * 2)
    assert halving.most <= most
    assert "vit: a batch of 13 images exceeds the memory; halved to 7" in caplog.text
    run.seen.clear()
    caplog.clear()
    assert torch.equal(halving(run, inputs), inputs * 2)
    assert max(run.seen) <= most
    assert not caplog.text


def test_one_image_too_large_is_one_line():
    halving = Halving("vit", torch.cat)
    with pytest.raises(RuntimeError, match=r"vit: one image of 30 x 20 pixels exceeds the memory of the device; use"):
        halving(Small(0, ERRORS[0]), torch.zeros(4, 20, 30, 3, dtype=torch.uint8))


def test_other_errors_pass():
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        Halving("vit", torch.cat)(Small(0, RuntimeError("shapes differ")), torch.zeros(4, 2))


def test_an_encoder_halves_and_its_features_stay(monkeypatch, tmp_path):
    images = [scene.image for scene in dv.playground.draw(2701, 7)]
    encoder = dv.load_encoder("random:playground-dino")
    whole = encoder.encode(images)
    tower, asked = encoder.tower, []

    def short(pixels, grid, methods):
        asked.append(len(pixels))
        if len(pixels) > 3:
            raise again(ERRORS[0])
        return tower(pixels, grid, methods)

    monkeypatch.setattr(encoder, "tower", short)
    monkeypatch.setattr(encoder, "_halving", Halving(encoder.name, encoder._halving.join))
    halved = encoder.encode(images)
    assert asked[:3] == [7, 4, 2]
    torch.testing.assert_close(halved.pooled, whole.pooled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(halved.patches, whole.patches, atol=1e-4, rtol=1e-3)


def test_auto_is_32_on_a_cpu():
    assert fitting_batch(lambda inputs: None, torch.zeros(1, 8, 8, 3), torch.device("cpu")) == 32


@pytest.mark.gpu
def test_auto_fits_on_a_gpu():
    encoder = dv.load_encoder("random:dinov2-small", "cuda", torch.bfloat16)
    one = torch.zeros(1, 518, 518, 3, dtype=torch.uint8)
    count = fitting_batch(encoder.forward, one, encoder.device)
    assert count >= 8
    encoder.forward(one.expand(count, -1, -1, -1).contiguous())


def test_a_compiled_encoder_gives_the_same_features():
    images = [scene.image for scene in dv.playground.draw(2702, 3)]
    encoder = dv.load_encoder("playground-dino")
    compiled = encoder.compiled("eager")
    torch.testing.assert_close(compiled.encode(images).pooled, encoder.encode(images).pooled, atol=1e-5, rtol=1e-5)
    assert compiled.name == encoder.name


def test_compiling_needs_cuda(tmp_path):
    with pytest.raises(
        ValueError, match="compile serves encoders of this package on CUDA; found playground-dino on cpu"
    ):
        dv.embed("playground:2702:2", dv.load_encoder("playground-dino", "cpu"), tmp_path / "s", compile=True)
