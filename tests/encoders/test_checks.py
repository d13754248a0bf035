"""Tiny models of every architecture follow the interfaces; a violation is named."""

import dataclasses

import pytest
import torch

from dinoclip_viz.encoders import TextFeatures, as_encoder, load_encoder, load_pair
from dinoclip_viz.encoders.checks import ContractError, check_image_encoder, check_text_encoder

VISION = ("dinov2", "dinov2_with_registers", "dinov3", "dinov3_convnext", "dino", "ijepa", "pixio")
JOINT = ("clip", "metaclip2", "siglip", "tips", "openclip", "openclip_timm")


@pytest.mark.parametrize("kind", [*VISION, "openclip_convolutional"])
def test_vision_models_keep_the_contract(kind, tiny_folder):
    check_image_encoder(load_encoder(tiny_folder(kind), device="cpu"))


@pytest.mark.parametrize("kind", JOINT)
def test_image_text_models_keep_the_contract(kind, tiny_folder):
    images, texts = load_pair(tiny_folder(kind), device="cpu")
    check_image_encoder(images)
    check_text_encoder(texts)


class Spoiled:
    """An encoder that answers as the real one does, until `spoil` changes the features."""

    def __init__(self, real, spoil):
        self.__dict__.update(vars(real))
        self.real, self.spoil = real, spoil

    def encode(self, *positional, **named):
        return self.spoil(self.real.encode(*positional, **named))

    def encode_each(self, *positional, **named):
        return [self.spoil(features) for features in self.real.encode_each(*positional, **named)]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda f: {"pooled": f.pooled.half()}, r"pooled is torch.float16; expected torch.float32"),
        (lambda f: {"pooled": f.pooled + torch.rand(1)}, "the same images gave different features"),
        (lambda f: {"pooled": f.pooled - f.pooled.mean(0)}, "an image alone and in a batch differ"),
        (lambda f: {"patches": f.patches * torch.nan}, "values that are not finite"),
        (lambda f: {"boxes": f.boxes - 5}, "expected one inside the image"),
        (lambda f: {"space": "elsewhere"}, "space of the features differs from the encoder's"),
        (lambda f: {"mean": f.mean[:, :3]}, r"mean is \(4, 3\)"),
        (lambda f: {"pooled": f.pooled.clone().requires_grad_()}, "requires a gradient"),
    ],
)
def test_a_broken_promise_is_named(change, complaint, tiny_folder):
    real = load_encoder(tiny_folder("dinov2"), device="cpu")
    with pytest.raises(ContractError, match=complaint):
        check_image_encoder(Spoiled(real, lambda features: dataclasses.replace(features, **change(features))))


def test_swapped_rows_and_columns_are_noticed(tiny_folder):
    real = load_encoder(tiny_folder("dinov2"), device="cpu")
    spoiled = Spoiled(real, lambda f: dataclasses.replace(f, patches=f.patches.transpose(1, 2)))
    with pytest.raises(ContractError, match="H and W may be swapped"):
        check_image_encoder(spoiled)


def test_a_missing_attribute_is_named():
    with pytest.raises(ContractError, match="object lacks name, space, patch_space"):
        check_image_encoder(object())


def test_one_vector_for_all_texts_is_noticed(tiny_folder):
    _, real = load_pair(tiny_folder("clip"), device="cpu")
    spoiled = Spoiled(real, lambda f: TextFeatures(torch.ones_like(f.pooled), f.space))
    with pytest.raises(ContractError, match="two different texts have the same vector"):
        check_text_encoder(spoiled)


def test_an_encoder_that_passes_is_accepted_wherever_one_goes_in(tiny_folder):
    own = Spoiled(load_encoder(tiny_folder("dinov2"), device="cpu"), lambda features: features)
    check_image_encoder(own)
    assert as_encoder(own) is own
    del own.reader
    with pytest.raises(ContractError, match="Spoiled lacks reader"):
        check_image_encoder(own)
