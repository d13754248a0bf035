"""Evaluation of the embedded models on scenes of held-out seeds."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.devices import dtypes_of
from dinoclip_viz.models import ImageTextModel, load_model
from dinoclip_viz.playground.domains import DOMAINS
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS, PARTS
from dinoclip_viz.playground.world import Scene, draw
from dinoclip_viz.tasks.grids import patch_labels
from dinoclip_viz.tasks.open_vocabulary.accuracy import WordsTask, measure_words
from dinoclip_viz.tasks.open_vocabulary.heatmap import heatmap
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.knn import knn_accuracy
from dinoclip_viz.tasks.probes.linear import LinearProbe
from dinoclip_viz.tasks.probes.patch_head import PatchHead
from dinoclip_viz.tasks.retrieval.recall import recall
from dinoclip_viz.tasks.zero_shot.classify import classify

log = logging.getLogger(__name__)

Numbers = dict[str, float]


def measure_all(
    seed: int = 3000,
    count: int = 1000,
    device: str | torch.device | None = "auto",
    dtype: str | torch.dtype | None = "auto",
) -> dict[str, object]:
    """Every metric of the embedded models' cards, on scenes of `seed` and the five seeds after it.

    Args:
        seed: 1000 or more; the models were trained on seeds below.
        count: scenes per metric; dense metrics use a fifth of it, galleries twice as many.
        device, dtype: as in `load_encoder`; the cards' figures are of float32.

    Raises:
        ValueError: a seed below 1000, or fewer than 50 scenes.
    """
    if seed < 1000:
        raise ValueError(f"seed is {seed}, which the models were trained on; expected 1000 or more")
    if count < 50:
        raise ValueError(f"count is {count}; expected 50 scenes or more")
    model, clip = (load_model(name, None, device, dtype) for name in ("playground", "playground-clip"))
    encoders = {
        "playground-dino": load_encoder("playground-dino", device, dtype),
        "playground-clip": clip.images,
        "random": load_encoder("random:playground-dino", device, dtype),
    }
    single = draw(seed, count, 96, objects=1)
    gallery = draw(seed + 1, 2 * count, 96, objects=1)
    scenes = draw(seed + 2, count, 96)
    dense = count // 5
    train, test = draw(seed + 3, 2 * dense, 192), draw(seed + 4, dense, 192)
    one = draw(seed + 5, dense, 192, objects=1)
    figures: dict[str, object] = {"seed": seed, "count": count}
    figures |= {"device": str(clip.images.device), "dtype": dtypes_of(clip.images)}
    figures["zero_shot"] = {
        name: zero_shot(m, single) for name, m in (("playground-clip", clip), ("playground", model))
    }
    figures["retrieval"] = {
        name: retrieval(m, scenes) for name, m in (("playground-clip", clip), ("playground", model))
    }
    figures["retrieval_ceiling"] = caption_ceiling(scenes)
    figures["probes"] = {name: probes(encoder, gallery, single) for name, encoder in encoders.items()}
    figures["segmentation_192px"] = {name: segmentation(encoder, train, test) for name, encoder in encoders.items()}
    figures["pca_foreground_192px"] = {name: pca_foreground(encoder, one) for name, encoder in encoders.items()}
    figures["pointing_96px"] = pointing(model, scenes[: 2 * dense])
    figures["pointing_192px"] = pointing(model, test)
    figures["words_192px"] = words(model, train[: dense // 2], test)
    return figures


def zero_shot(model: ImageTextModel, scenes: Sequence[Scene]) -> Numbers:
    """Top-1 accuracy on single-object scenes with the 20 bare class names, and with the model's templates."""
    features = model.encode_images([scene.image for scene in scenes], methods=())
    labels = class_numbers(scenes)
    scores = {"bare_names": classify(model, features, CLASSES, ["{}"]), "templates": classify(model, features, CLASSES)}
    return {f"top1_{name}": (values.argmax(1) == labels).float().mean().item() for name, values in scores.items()}


def domains(model: ImageTextModel, seed: int, count: int, names: Sequence[str] = tuple(DOMAINS)) -> dict[str, Numbers]:
    """Name of the domain -> `zero_shot` on the same single-object scenes drawn in it; "plain" leaves them unchanged.

    Args:
        model: the image-text model.
        seed, count: of the scenes, at 96 px.
        names: of `DOMAINS`.
    """
    found = {"plain": zero_shot(model, draw(seed, count, 96, objects=1))}
    for name in names:
        found[name] = zero_shot(model, draw(seed, count, 96, objects=1, domain=name))
        log.info("%s: %s", name, found[name])
    return found


def retrieval(model: ImageTextModel, scenes: Sequence[Scene]) -> dict[str, Numbers]:
    """Recall in both directions between images and their first captions."""
    images = model.encode_images([scene.image for scene in scenes], methods=()).pooled
    texts = model.encode_texts([scene.captions[0] for scene in scenes]).pooled
    return recall(images, texts, range(len(scenes)))


def caption_ceiling(scenes: Sequence[Scene]) -> float:
    """R@1 of an oracle, in both directions: scenes with equal first captions are indistinguishable."""
    captions = [scene.captions[0] for scene in scenes]
    return float(np.mean([1 / captions.count(caption) for caption in captions]))


def probes(encoder: ImageEncoder, gallery: Sequence[Scene], queries: Sequence[Scene]) -> Numbers:
    """k-NN class on `pooled` (k 20, temperature .07); linear class, colour, background on both vectors (C .1)."""
    seen = [encoder.encode([scene.image for scene in group]) for group in (gallery, queries)]
    labels = [class_numbers(group) for group in (gallery, queries)]
    numbers = {"knn_class": knn_accuracy(seen[0].pooled, labels[0], seen[1].pooled, labels[1], [20])[20]}
    both = [torch.cat([part.pooled, part.mean], dim=1) for part in seen]
    colours, backgrounds = list(COLOURS), list(BACKGROUNDS)
    targets = {
        "class": labels,
        "colour": [torch.tensor([colours.index(s.objects[0]["colour"]) for s in g]) for g in (gallery, queries)],
        "background": [torch.tensor([backgrounds.index(s.background) for s in g]) for g in (gallery, queries)],
    }
    for name, (known, queried) in targets.items():
        numbers[f"linear_{name}"] = LinearProbe(grid=[0.1]).fit(both[0], known).score(both[1], queried)
    return numbers


def class_numbers(scenes: Sequence[Scene]) -> Tensor:
    """(B,) class index of the first object of each scene."""
    return torch.tensor([CLASSES.index(scene.objects[0]["name"]) for scene in scenes])


def segmentation(encoder: ImageEncoder, train: Sequence[Scene], test: Sequence[Scene]) -> Numbers:
    """Patch-level mIoU of classes, foreground and parts, of a linear layer on frozen patches.

    The background is a class of each.
    """
    features = [encoder.encode([scene.image for scene in group], fit="whole") for group in (train, test)]
    numbers: Numbers = {}
    for target, listed in (("mask", CLASSES), ("parts", PARTS)):
        names = ["background", *listed]
        head = PatchHead(names=names).fit([(features[0], [getattr(scene, target) for scene in train])])
        predicted = head.patch_values(features[1])
        wanted = label_grids([getattr(scene, target) for scene in test], features[1].grid, len(names))
        found = Confusion(names).add(predicted, wanted).miou
        if target == "mask":
            numbers["class_miou"] = found
            numbers["foreground_miou"] = Confusion(2).add((predicted > 0).long(), (wanted > 0).long()).miou
        else:
            numbers["part_miou"] = found
    return numbers


def label_grids(masks: Sequence[NDArray[np.uint8]], grid: tuple[int, int], labels: int) -> Tensor:
    """(B, H, W) majority label of each patch."""
    return torch.stack([patch_labels(mask, grid, labels) for mask in masks])


def pca_foreground(encoder: ImageEncoder, scenes: Sequence[Scene]) -> Numbers:
    """Patch-level IoU of PatchPCA's foreground, fitted jointly, and the fraction of scenes with correct polarity."""
    features = encoder.encode([scene.image for scene in scenes], fit="whole")
    found = PatchPCA(components=3).fit(features).foreground(features).flatten(1)
    wanted = label_grids([(s.mask > 0).astype(np.uint8) for s in scenes], features.grid, 2).flatten(1).bool()

    def overlap(mask: Tensor) -> Tensor:
        return (mask & wanted).sum(1) / (mask | wanted).sum(1).clamp(min=1)

    return {
        "iou": overlap(found).mean().item(),
        "right_polarity": (overlap(found) > overlap(~found)).float().mean().item(),
    }


def pointing(model: ImageTextModel, scenes: Sequence[Scene]) -> dict[str, Numbers]:
    """Pointing accuracy per method: the fraction of classes whose maximum lies on them, next to that by chance."""
    hits: dict[str, list[float]] = {method: [] for method in model.methods}
    chance: list[float] = []
    for scene in scenes:
        present = sorted({CLASSES[number - 1] for number in np.unique(scene.mask) if number})
        if not present:
            continue
        features = model.encode_images([scene.image], fit="whole")
        masks = [scene.mask == CLASSES.index(name) + 1 for name in present]
        chance += [float(mask.mean()) for mask in masks]
        for method in model.methods:
            maps = heatmap(model, features, present, method)
            hits[method] += [bool(mask.flat[int(values.argmax())]) for values, mask in zip(maps, masks, strict=True)]
    named = {method: {"hit": float(np.mean(values))} for method, values in hits.items()}
    return {**named, "chance": {"hit": float(np.mean(chance))}, "default": named[model.default_method]}


def words(model: ImageTextModel, known: Sequence[Scene], scenes: Sequence[Scene]) -> dict[str, Numbers]:
    """Segmentation metrics of the heat maps of the 20 class names, per method.

    "miou" and "accuracy": argmax over classes at every pixel of an object, without the background.
    "miou_with_background": the background is a class, predicted where the maximum is below a cosine threshold, the best
    of a hundred on the `known` scenes.
    """
    test, tuning = ([(scene.image, scene.mask) for scene in group] for group in (scenes, known))
    figures = {}
    for method, found in measure_words(model, WordsTask(Vocabulary.of(CLASSES)), test, tuning).items():
        whole = found.whole.miou if found.whole is not None else float("nan")
        objects = found.objects
        figures[method] = {"miou": objects.miou, "accuracy": objects.accuracy, "miou_with_background": whole}
    return figures
