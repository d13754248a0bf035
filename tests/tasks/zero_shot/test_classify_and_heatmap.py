"""Zero-shot probabilities, heat maps and recall against plain rewrites, and what each refuses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size, contrast, region
from dinoclip_viz.tasks.zero_shot.classify import label_vectors


@pytest.fixture(scope="module")
def model():
    return dv.load_model("playground")


@pytest.fixture(scope="module")
def scenes():
    return dv.playground.draw(7000, 4, 96)


def test_probabilities_are_a_softmax_of_scaled_cosines(model, scenes):
    images, labels = [s.image for s in scenes], ["cat", "dog", "car"]
    found = dv.classify(model, images, labels, templates=["a {}", "the {}"], temperature=2.0)
    pooled = model.encode_images(images, methods=()).pooled
    for image, row in zip(pooled, found, strict=True):
        logits = []
        for label in labels:
            vectors = F.normalize(model.encode_texts([f"a {label}", f"the {label}"]).pooled, dim=-1)
            mean = vectors.mean(0)
            logits.append(float(image @ mean / image.norm() / mean.norm()) * model.texts.logit_scale / 2)
        assert torch.allclose(row, torch.softmax(torch.tensor(logits), 0), atol=1e-5)
    assert torch.allclose(found.sum(1), torch.ones(4))


def test_none_of_these_is_a_label_of_fixed_cosine(model, scenes):
    images = [s.image for s in scenes]
    found = dv.classify_or_none(model, images, ["cat"])
    assert found.shape == (4, 2) and torch.allclose(found.sum(1), torch.ones(4))
    assert (dv.classify_or_none(model, images, ["cat"], none_cosine=1.0)[:, 1] > 0.5).all()
    assert (dv.classify_or_none(model, images, ["cat"], none_cosine=-1.0)[:, 1] < 0.5).all()


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"labels": ["cat"]}, "classify_or_none"),
        ({"labels": []}, "no labels"),
        ({"labels": ["cat", " "]}, "empty"),
        ({"labels": ["cat", "cat "]}, "repeated"),
        ({"labels": "cat"}, "list of names"),
        ({"labels": ["a", "b"], "templates": ["no place"]}, "exactly one"),
        ({"labels": ["a", "b"], "templates": []}, "no template"),
        ({"labels": ["a", "b"], "temperature": 0.0}, "above 0"),
    ],
)
def test_classify_refuses_in_one_line(model, scenes, arguments, reason):
    with pytest.raises(ValueError, match=reason) as error:
        dv.classify(model, [scenes[0].image], **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", dv.HEATMAP_METHODS)
def test_heat_maps_are_raw_cosines_of_patches_with_prompts(model, scenes, method):
    features = model.encode_images([scenes[0].image], fit="whole")
    found = dv.heatmap(model, features, ["a cat", "grass"], method)
    assert found.shape == (2, 96, 96) and found.dtype == torch.float32 and found.abs().max() <= 1
    text = model.texts_for(method).encode(["a cat"]).pooled[0]
    patches = features.dense[method][0]
    plain = torch.tensor([[float(p @ text / p.norm() / text.norm()) for p in row] for row in patches])
    grown = F.interpolate(plain[None, None], size=(96, 96), mode="bilinear")[0, 0]
    assert torch.allclose(found[0], grown, atol=1e-5)
    assert torch.allclose(dv.heatmap(model, scenes[0].image, ["a cat", "grass"], method), found, atol=1e-5)


def test_heat_maps_have_the_images_size(model):
    image = Image.new("RGB", (150, 70), "white")
    assert dv.heatmap(model, image, ["a cat"]).shape == (1, 70, 150)
    cropped = dv.heatmap(model, model.encode_images([image]), ["a cat"])
    assert cropped.shape == (1, 70, 150) and cropped.isnan().any() and not cropped[0, 35, 75].isnan()


def test_repeated_prompts_repeat_their_maps(model, scenes):
    found = dv.heatmap(model, scenes[0].image, ["a cat", "a dog", "a cat"])
    assert torch.equal(found[0], found[2])


def test_contrast_and_region():
    maps, against = torch.tensor([[[0.5, 0.1]]]), torch.tensor([[[0.2, 0.3]], [[0.4, 0.0]]])
    assert torch.allclose(contrast(maps, against), torch.tensor([[[0.1, -0.2]]]))
    assert region(maps, 0.2).tolist() == [[[True, False]]]
    assert at_image_size(torch.ones(1, 1, 1), (1, 0, 2, 1), 3, 1).isnan().tolist() == [[[True, False, True]]]


def test_bad_prompts_methods_and_features_are_refused(model, scenes):
    for prompts, reason in (([], "no prompt"), (["cat", ""], "empty"), ("", "empty")):
        with pytest.raises(ValueError, match=reason):
            dv.heatmap(model, scenes[0].image, prompts)
    with pytest.raises(ValueError, match="expected one of: projector, text-to-dino, maskclip"):
        dv.heatmap(model, scenes[0].image, ["cat"], "nothing")
    with pytest.raises(ValueError, match="expected one"):
        dv.heatmap(model, model.encode_images([s.image for s in scenes]), ["cat"])
    with pytest.raises(dv.SpaceError):
        dv.heatmap(model, dv.load_encoder("playground-dino").encode([scenes[0].image]), ["cat"])
    with pytest.raises(ValueError, match="encode the image with"):
        dv.heatmap(model, model.encode_images([scenes[0].image], methods=()), ["cat"])


def test_a_clip_takes_a_guide_and_needs_no_projector(scenes):
    clip = dv.load_model("playground-clip")
    assert clip.guide.space == "playground-dino" and clip.projector is None
    assert {"maskclip", "dinoiser-pooling", "lposs"} <= set(clip.methods) and "projector" not in clip.methods
    assert dv.heatmap(clip, scenes[0].image, ["cat"], "dinoiser-pooling").shape == (1, 96, 96)
    with pytest.raises(ValueError, match="does not serve"):
        dv.heatmap(clip, scenes[0].image, ["cat"], "projector")


def test_a_projector_folder_is_a_model(tmp_path, scenes):
    projector = dv.load_model("playground").projector
    projector.save_pretrained(tmp_path / "mine")
    mine = dv.load_model(str(tmp_path / "mine"))
    assert mine.methods == ("projector",) and mine.clip is None
    whole = dv.load_model("playground")
    images = [s.image for s in scenes]
    assert torch.allclose(mine.encode_images(images).pooled, whole.encode_images(images).pooled, atol=1e-6)


def test_label_vectors_are_unit_vectors(model):
    assert torch.allclose(label_vectors(model.texts, ["cat", "dog"]).norm(dim=1), torch.ones(2), atol=1e-5)


def test_recall_equals_a_plain_loop_with_ties_and_several_captions():
    chance = torch.Generator().manual_seed(0)
    images, texts = torch.randn(17, 4, generator=chance).sign(), torch.randn(40, 4, generator=chance).sign()
    owners = torch.cat([torch.arange(17), torch.randint(17, (23,), generator=chance)])
    found = dv.recall(images, texts, owners, chunk=5)
    scores = (F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T).numpy()
    for direction in ("image_to_text", "text_to_image"):
        ranks = []
        if direction == "image_to_text":
            for i in range(17):
                best = max(scores[i, t] for t in range(40) if owners[t] == i)
                ranks.append(1 + sum(scores[i, t] >= best for t in range(40) if owners[t] != i))
        else:
            for t in range(40):
                ranks.append(sum(scores[i, t] >= scores[owners[t], t] for i in range(17)))
        for k in (1, 5, 10):
            assert abs(found[direction][f"R@{k}"] - np.mean(np.array(ranks) <= k)) < 1e-6


def test_recall_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="one per text"):
        dv.recall(torch.eye(2), torch.eye(2), [0])
    with pytest.raises(ValueError, match="at least once"):
        dv.recall(torch.eye(2), torch.eye(2), [0, 0])


def test_sources_are_encoded_in_order(tmp_path, scenes):
    encoder = dv.load_encoder("playground-dino")
    for index, scene in enumerate(scenes):
        scene.image.save(tmp_path / f"{index}.png")
    paths = sorted(tmp_path.glob("*.png"))
    found = list(dv.encode_sources(encoder, paths, batch_size=3))
    assert [len(part) for part in found] == [3, 1]
    whole = encoder.encode([s.image for s in scenes])
    assert torch.allclose(torch.cat([part.pooled for part in found]), whole.pooled, atol=1e-4)
    (tmp_path / "0.png").write_text("no image")
    with pytest.raises(dv.ImageError, match=r"0\.png"):
        list(dv.encode_sources(encoder, paths))
