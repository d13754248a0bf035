"""Predictions along the edges of images: inside the crop alone, and nearer to the ground truth."""

import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz import playground
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.head_evaluation import encoded, segmentation_confusion
from dinoclip_viz.tasks.probes.sharp import predict_sharp, sharp_confusion, sharp_depth_errors


@pytest.fixture(scope="module")
def heads():
    return dv.heads_for("playground-dino")


def head_of(heads, kind):
    return next(head for head in heads.values() if head.kind == kind)


def test_classes_and_depths_are_those_of_the_upsampled_outputs(heads):
    image = playground.draw(1506, 1, 96)[0].image
    features = dv.load_encoder("playground-dino").encode([image], 96, "whole")
    head = head_of(heads, "segmentation")
    labels = dv.upsample(head.scores(features)[0], image).argmax(-1)
    assert torch.equal(predict_sharp(head, features, image), labels)
    deep = head_of(heads, "depth")
    metres = dv.upsample(deep.patch_values(features)[0], image, method="bilinear")
    assert torch.allclose(predict_sharp(deep, features, image, "bilinear"), metres)


def test_nothing_is_predicted_outside_the_crop(heads):
    image = Image.new("RGB", (160, 96), "white")
    image.paste(playground.draw(1506, 1, 96)[0].image, (32, 0))
    features = dv.load_encoder("playground-dino").encode([image])
    labels = predict_sharp(head_of(heads, "segmentation"), features, image)
    assert labels.shape == (96, 160) and (labels[:, :32] == -1).all() and (labels[:, 32:128] >= 0).all()
    metres = predict_sharp(head_of(heads, "depth"), features, image)
    assert metres[:, 128:].isnan().all() and metres[:, 32:128].isfinite().all()


def test_sharp_classes_are_nearer_to_the_ground_truth(heads):
    head, encoder = heads["playground-dino-classes"], dv.load_encoder("playground-dino")
    pairs = [(scene.image, scene.mask) for scene in playground.draw(1507, 6, 192)]
    plain = segmentation_confusion(head, encoded(encoder, pairs, 192))
    sharp = sharp_confusion(head, encoder, pairs, 192, "guided")
    assert sharp.pixels == plain.pixels and sharp.accuracy > plain.accuracy


def test_errors_of_depth_are_added(heads):
    pairs = [(scene.image, scene.depth) for scene in playground.draw(1508, 2, 96)]
    errors = sharp_depth_errors(head_of(heads, "depth"), "playground-dino", pairs, 96, "guided", DepthErrors(high=39.9))
    assert errors.images == 2 and 0 < errors.figures()["rmse"] < 20


def test_features_of_several_images_are_refused(heads):
    scenes = [scene.image for scene in playground.draw(1508, 2, 96)]
    features = dv.load_encoder("playground-dino").encode(scenes)
    with pytest.raises(ValueError, match="features are of 2 images"):
        predict_sharp(head_of(heads, "segmentation"), features, scenes[0])
