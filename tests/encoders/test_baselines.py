"""What every figure must stand above: random weights and raw pixels, as encoders like any other."""

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz import EncoderError, check_image_encoder, load_encoder, playground


@pytest.fixture(scope="module")
def images():
    return [scene.image for scene in playground.draw(1500, 2)]


@pytest.mark.parametrize("name", ["random:playground-dino", "random:playground-clip", "pixels"])
def test_baselines_keep_the_contract_of_encoders(name):
    check_image_encoder(load_encoder(name))


def test_random_weights_are_the_same_each_time_and_live_in_a_space_of_their_own(images):
    before = torch.random.get_rng_state()
    first, second = load_encoder("random:playground-dino"), load_encoder("random:playground-dino")
    assert torch.equal(torch.random.get_rng_state(), before)
    trained = load_encoder("playground-dino")
    assert torch.equal(first.encode(images).patches, second.encode(images).patches)
    assert first.space != trained.space
    assert (first.encode(images).patches - trained.encode(images).patches).abs().max() > 0.1


def test_pixels_are_the_values_of_each_patch():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8))
    patches = load_encoder("pixels").encode([image]).patches
    values = np.asarray(image, np.float32) / 255 * 2 - 1
    expected = values[8:16, 16:24].transpose(2, 0, 1).reshape(-1)  # channel by channel, row by row
    assert np.allclose(patches[0, 1, 2].numpy(), expected, atol=1e-6)


def test_random_weights_of_an_unknown_model_are_refused_in_one_line():
    with pytest.raises(EncoderError, match="no model is called 'nonsense'"):
        load_encoder("random:nonsense")
