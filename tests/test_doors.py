"""Every public callable with images accepts every kind of image, and refuses everything else in one line.

Which callables these are, their annotations say; `CALLS` says how to call each, and a new one without a row fails.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz import playground
from dinoclip_viz.affordance.model import AffordanceModel
from dinoclip_viz.affordance.neighbours import LabelTransfer, transfer_labels
from dinoclip_viz.dense.refinement import neighbour_weights, refine
from dinoclip_viz.encoders.layers import LayerFeatures, encode_layers
from dinoclip_viz.encoders.mixed import as_features
from dinoclip_viz.images import ImageError, load_images
from dinoclip_viz.tasks.correspondence.colours import dense_colours
from dinoclip_viz.tasks.correspondence.match import encoded
from dinoclip_viz.tasks.correspondence.transfer import point_similarity, transfer
from dinoclip_viz.tasks.open_vocabulary.heatmap import encoded_each
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, score_maps, vocabulary_vectors
from dinoclip_viz.tasks.open_vocabulary.templates import choose_templates
from dinoclip_viz.tasks.open_vocabulary.windows import window_scores
from dinoclip_viz.tasks.pca.parts import parts
from dinoclip_viz.tasks.pca.segments import PatchClusters
from dinoclip_viz.tasks.probes.sharp import predict_sharp
from dinoclip_viz.tasks.retrieval.search import image_queries, search_images
from dinoclip_viz.training.text_map import collect, head_embeddings
from dinoclip_viz.vlm.asking import ask
from dinoclip_viz.vlm.model import VisionLanguageModel
from dinoclip_viz.vlm.results import Generation

PACKAGE = Path(dv.__file__).parent
NOT_PUBLIC = {"cli", "app", "recipe", "images", "viz"}  # `images` has tests of its own; viz draws what it is given
KINDS = ("ImageLike", "ImagesLike", "FeaturesLike")
DINO, CLIP, MODEL = "playground-dino", "playground-clip", "playground"


def annotated() -> set[str]:
    """Names of the package's public callables of which a parameter is annotated as images."""
    found = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                visit(node.body, f"{node.name}.")
            elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__call__"):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                notes = " ".join(ast.unparse(each.annotation) for each in given if each.annotation)
                if any(kind in notes for kind in KINDS):
                    found.add(prefix + node.name)

    for path in PACKAGE.rglob("*.py"):
        if not NOT_PUBLIC & set(path.relative_to(PACKAGE).parts):
            visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


@cache
def scenes() -> list[Image.Image]:
    return [scene.image for scene in playground.draw(1010, 3, 96)]


@cache
def loaded(name: str) -> object:
    return dv.load_model(name) if name == MODEL else dv.load_encoder(name)


@cache
def store(folder: str) -> dv.FeatureStore:
    for number, scene in enumerate(scenes()):
        scene.save(Path(folder) / f"{number}.png")
    dv.embed(folder, DINO, f"{folder}/store")
    return dv.FeatureStore.open(f"{folder}/store")


@cache
def fitted() -> dv.PatchPCA:
    return dv.PatchPCA().fit(scenes())


@cache
def words() -> object:
    return vocabulary_vectors(loaded(MODEL), Vocabulary.of(["cat", "tree"]), "sclip")


@cache
def clicked() -> dv.ForegroundHead:
    return dv.clicked_foreground(scenes()[0], [(48, 48)], [(4, 4)])


@cache
def affordances() -> AffordanceModel:
    return dv.load_affordance()


@cache
def asked() -> VisionLanguageModel:
    return dv.load_vlm()


@cache
def boxed() -> Generation:
    return asked().generate_with_scores(scenes()[0], "detect cat")


@cache
def seen() -> LayerFeatures:
    return affordances().encode(scenes()[0])


@cache
def labelled() -> LabelTransfer:
    return transfer_labels([dv.AffordanceExample(scenes()[0], {"cut": np.eye(96, dtype=bool)})], DINO)


@cache
def head() -> dv.PatchHead:
    return next(iter(dv.heads_for(DINO).values()))


def templates_of(images: object) -> object:
    found = choose_templates(loaded(MODEL), images, Vocabulary.of(["cat", "tree"]), "sclip", ["a {}", "the {}"])
    return [torch.tensor([len(found), *(len(each) for each in found.values())]), found]


def pca_of(images: object) -> object:
    pca = dv.PatchPCA().fit(images)
    return [pca.components_, pca.mean_]


ONE, SEVERAL = "one", "several"
CALLS: dict[str, tuple[str, Callable[[object, str], object]]] = {
    "refine": (ONE, lambda image, _: refine(torch.rand(2, 24, 24, generator=torch.manual_seed(0)), image)),
    "neighbour_weights": (ONE, lambda image, _: neighbour_weights(image, 24, 24)),
    "ImageEncoder.encode": (SEVERAL, lambda images, _: loaded(CLIP).encode(images)),
    "ImageEncoder.encode_each": (SEVERAL, lambda images, _: loaded(CLIP).encode_each(images)),
    "BatchedImageEncoder.encode": (SEVERAL, lambda images, _: loaded(DINO).encode(images)),
    "BatchedImageEncoder.encode_each": (SEVERAL, lambda images, _: loaded(DINO).encode_each(images)),
    "BatchedImageEncoder.inputs": (SEVERAL, lambda images, _: loaded(DINO).inputs(images)[1]),
    "encode_layers": (SEVERAL, lambda images, _: encode_layers(DINO, images)),
    "AffordanceModel.predict": (ONE, lambda image, _: affordances().predict(image, ["cut", "hold"])),
    "AffordanceModel.encode": (ONE, lambda image, _: affordances().encode(image)),
    "AffordanceModel.pixel_maps": (ONE, lambda image, _: affordances().pixel_maps(seen(), image, "cut")),
    "LabelTransfer.predict": (ONE, lambda image, _: labelled().predict(image, "cut")),
    "VisionLanguageModel.caption": (SEVERAL, lambda images, _: asked().caption(images, max_tokens=3)),
    "VisionLanguageModel.answer": (SEVERAL, lambda images, _: asked().answer(images, "how many objects are there?")),
    "VisionLanguageModel.detect": (SEVERAL, lambda images, _: asked().detect(images, "cat")),
    "VisionLanguageModel.segment": (SEVERAL, lambda images, _: asked().segment(images, "cat")),
    "VisionLanguageModel.generate": (SEVERAL, lambda images, _: asked().generate(images, "detect cat", 5)),
    "VisionLanguageModel.generate_with_scores": (
        SEVERAL,
        lambda images, _: asked().generate_with_scores(images, "caption en", 2),
    ),
    "VisionLanguageModel.detections": (ONE, lambda image, _: asked().detections(boxed(), image)),
    "ask": (ONE, lambda image, _: ask(asked(), image, "detect", "cat").detections),
    "look_inside": (SEVERAL, lambda images, _: dv.look_inside(DINO, images)),
    "encode_tiled": (ONE, lambda image, _: dv.encode_tiled(DINO, image, 256, tile=96)),
    "encode_sources": (SEVERAL, lambda images, _: list(dv.encode_sources(DINO, images))),
    "as_features": (SEVERAL, lambda images, _: as_features(DINO, images)),
    "hover": (SEVERAL, lambda images, _: dv.hover(DINO, images).meta["images"]),
    "ImageTextModel.encode_images": (SEVERAL, lambda images, _: loaded(MODEL).encode_images(images)),
    "ImageTextModel.encode_each": (SEVERAL, lambda images, _: loaded(MODEL).encode_each(images)),
    "ImageTextModel.encode_to_classify": (SEVERAL, lambda images, _: loaded(MODEL).encode_to_classify(images)),
    "match": (ONE, lambda image, _: dv.match(DINO, image, scenes()[1])),
    "encoded": (ONE, lambda image, _: list(encoded(DINO, scenes()[1], image))),
    "propagate": (ONE, lambda image, _: list(dv.propagate([image, scenes()[1]], points=[[40.0, 40.0]]))),
    "heatmap": (SEVERAL, lambda images, _: dv.heatmap(MODEL, images, "a cat")),
    "window_scores": (ONE, lambda image, _: window_scores(MODEL, image, words(), "sclip", window=96, stride=48)),
    "transfer": (ONE, lambda image, _: transfer(image, scenes()[1], [[40.0, 40.0]])),
    "point_similarity": (ONE, lambda image, _: point_similarity(image, scenes()[1], [[40.0, 40.0]])),
    "dense_colours": (ONE, lambda image, _: dense_colours(image, scenes()[1])[:2]),
    "upsample": (ONE, lambda image, _: dv.upsample(torch.rand(6, 6, 2, generator=torch.manual_seed(0)), image)),
    "predict_sharp": (ONE, lambda image, _: predict_sharp(head(), loaded(DINO).encode(scenes()[:1]), image)),
    "encoded_each": (SEVERAL, lambda images, _: list(encoded_each(loaded(MODEL), images, "sclip"))),
    "score_maps": (ONE, lambda image, _: score_maps(MODEL, image, words(), "sclip")),
    "choose_templates": (SEVERAL, lambda images, _: templates_of(images)),
    "PatchClusters.fit": (SEVERAL, lambda images, _: PatchClusters(4).fit(images).centres_),
    "PatchClusters.assign": (SEVERAL, lambda images, _: PatchClusters(4).fit(scenes()).assign(images)),
    "kmeans_segments": (SEVERAL, lambda images, _: dv.kmeans_segments(images, 4)),
    "spectral_segments": (SEVERAL, lambda images, _: dv.spectral_segments(images, 4)),
    "parts": (SEVERAL, lambda images, _: parts(fitted(), images, 3)),
    "clicked_foreground": (ONE, lambda image, _: dv.clicked_foreground(image, [(48, 48)], [(4, 4)]).weights_),
    "ForegroundHead.probability": (SEVERAL, lambda images, _: clicked().probability(images)),
    "ForegroundHead.mask": (SEVERAL, lambda images, _: clicked().mask(images)),
    "PatchHead.predict": (SEVERAL, lambda images, _: head().predict(images)),
    "PatchPCA.fit": (SEVERAL, lambda images, _: pca_of(images)),
    "PatchPCA.transform": (SEVERAL, lambda images, _: fitted().transform(images)),
    "PatchPCA.foreground": (SEVERAL, lambda images, _: fitted().foreground(images)),
    "PatchPCA.first_component": (SEVERAL, lambda images, _: fitted().first_component(images)),
    "image_queries": (SEVERAL, lambda images, folder: image_queries(store(folder), images, DINO)[0]),
    "search_images": (SEVERAL, lambda images, folder: search_images(store(folder), images, DINO)),
    "classify": (SEVERAL, lambda images, _: dv.classify(MODEL, images, ["cat", "tree"])),
    "classify_or_none": (SEVERAL, lambda images, _: dv.classify_or_none(MODEL, images, ["cat"])),
    "head_embeddings": (SEVERAL, lambda images, _: head_embeddings(DINO, images)),
    "collect": (ONE, lambda image, _: collect(DINO, loaded(CLIP_TEXTS), [(image, ["a cat"]), (scenes()[1], ["a"])])),
}
CLIP_TEXTS = "texts"
NEEDS_MORE = {
    "DepthModel.__call__": "tests/encoders/test_dense_models.py",
    "SegmentationModel.__call__": "tests/encoders/test_dense_models.py",
    "ReinforcedStore.replay": "tests/reinforce/test_reinforcing.py",
    "upsample_anyup": "tests/tasks/upsampling/test_anyup.py",
}
"""Callables whose models or stores are not part of the package -> where they meet the kinds of images."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("scenes"))


def as_path(image: Image.Image, folder: Path) -> Path:
    path = folder / "door.png"
    image.save(path)
    return path


def as_bytes(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


FORMS: dict[str, Callable[[Image.Image, Path], object]] = {
    "path as text": lambda image, folder: str(as_path(image, folder)),
    "Path": as_path,
    "bytes": lambda image, _: as_bytes(image),
    "BytesIO": lambda image, _: io.BytesIO(as_bytes(image)),
    "open file": lambda image, folder: as_path(image, folder).open("rb"),
    "array": lambda image, _: np.asarray(image),
    "float array": lambda image, _: np.asarray(image) / 255,
    "array (C, H, W)": lambda image, _: np.asarray(image).transpose(2, 0, 1),
    "tensor (C, H, W)": lambda image, _: torch.from_numpy(np.array(image)).permute(2, 0, 1),
    "tensor (H, W, C) with grad": lambda image, _: torch.from_numpy(np.array(image) / 255).requires_grad_(),
    "16 bits": lambda image, _: torch.from_numpy(np.array(image).astype(np.uint16) * 257),
}


def numbers(result: object) -> Iterator[np.ndarray]:
    """Everything numeric in a result, in order."""
    if isinstance(result, torch.Tensor):
        yield result.detach().double().numpy()
    elif isinstance(result, np.ndarray):
        yield result.astype(float)
    elif isinstance(result, (list, tuple)):
        for each in result:
            yield from numbers(each)
    elif isinstance(result, dict):
        for name in sorted(result, key=str):
            yield from numbers(result[name])
    elif is_dataclass(result):
        for field in fields(result):
            yield from numbers(getattr(result, field.name))


def assert_same(found: object, expected: object) -> None:
    pairs = list(zip(numbers(found), numbers(expected), strict=True))
    assert pairs or found == expected
    for one, other in pairs:
        assert one.shape == other.shape
        assert np.allclose(one, other, rtol=0, atol=1e-6, equal_nan=True)


def call(name: str, given: object, folder: str) -> object:
    return CALLS[name][1](given, folder)


def setup_module() -> None:
    """Text encoders are no encoders by name."""
    global loaded  # noqa: PLW0603
    plain = loaded

    def with_texts(name: str) -> object:
        return dv.load_text_encoder(CLIP) if name == CLIP_TEXTS else plain(name)

    loaded = with_texts


def test_every_callable_with_images_is_called_here():
    assert annotated() == {*CALLS, *NEEDS_MORE}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_kind_of_image_gives_the_same(name, folder, tmp_path):
    image = scenes()[0]
    expected = call(name, image, folder)
    for form in FORMS.values():
        assert_same(call(name, form(image, tmp_path), folder), expected)


@pytest.mark.parametrize("name", [name for name in sorted(CALLS) if CALLS[name][0] == SEVERAL])
def test_mixed_lists_give_the_same_as_lists_of_pil_images(name, folder, tmp_path):
    expected = call(name, scenes(), folder)
    mixed = [form(scene, tmp_path) for scene, form in zip(scenes(), list(FORMS.values())[3:], strict=False)]
    assert_same(call(name, mixed, folder), expected)
    forms = FORMS["Path"], FORMS["tensor (C, H, W)"], FORMS["array"]
    mixed = tuple(form(scene, tmp_path) for scene, form in zip(scenes(), forms, strict=True))
    assert_same(call(name, mixed, folder), expected)


def wrong(folder: Path) -> dict[str, tuple[object, str]]:
    """What is no image -> a part of the line that must name it."""
    good = scenes()[0]
    text = folder / "notes.png"
    text.write_text("no image")
    closed = open(text, "rb")  # noqa: SIM115
    closed.close()
    nan = np.zeros((8, 8))
    nan[0, 0] = np.nan
    return {
        "None": (None, "None"),
        "a number": (3, "3"),
        "a float": (2.5, "2.5"),
        "a folder": (folder, folder.name),
        "a folder as text": (str(folder), folder.name),
        "a missing file": ("gone.png", "gone.png"),
        "a missing Path": (Path("gone") / "a.png", "a.png"),
        "an empty text": ("", "''"),
        "text in a file": (text, "notes.png"),
        "a closed file": (closed, "notes.png"),
        "a text file object": (io.StringIO("x"), "StringIO"),
        "empty bytes": (b"", "0 bytes"),
        "cut bytes": (as_bytes(good)[:100], "100 bytes"),
        "a private address": ("http://127.0.0.1/a.png", "127.0.0.1"),
        "another scheme": ("s3://bucket/a.png", "s3://"),
        "an empty list": ([], "empty"),
        "an empty tuple": ((), "empty"),
        "a dictionary": ({"image": good}, "dict"),
        "a list with one bad item": ([good, None, good], "images[1]"),
        "a list with a missing file": ([good, good, "gone.png"], "images[2]: gone.png"),
        "a list of numbers": ([1, 2, 3], "images[0]"),
        "NaN": (nan, "NaN"),
        "int64": (np.zeros((8, 8), np.int64), "int64"),
        "a float beyond 1": (np.full((8, 8), 200.0), "divide by 255"),
        "a tensor of 5 axes": (torch.zeros(1, 1, 3, 8, 8), "5 axes"),
        "a batch": (torch.zeros(2, 3, 8, 8), "a list of images"),
        "two channels": (np.zeros((8, 9, 2), np.uint8), "(8, 9, 2)"),
        "no pixels": (np.zeros((0, 8), np.uint8), "no pixels"),
        "complex": (np.zeros((8, 8), complex), "complex128"),
        "a type": (dict, "type"),
    }


@pytest.mark.parametrize("name", sorted(CALLS))
def test_what_is_no_image_is_refused_in_one_line(name, folder, tmp_path):
    one = CALLS[name][0] == ONE
    for kind, (given, part) in wrong(tmp_path).items():
        with pytest.raises(ImageError) as caught:
            call(name, given, folder)
        message = str(caught.value)
        assert "\n" not in message, kind
        assert part in message or (one and type(given).__name__ in message), f"{kind}: {message}"


def test_one_image_gives_one_result_and_a_list_a_list():
    one, several = dv.heatmap(MODEL, scenes()[0], "a cat"), dv.heatmap(MODEL, scenes(), ["a cat", "a tree"])
    assert one.shape == (1, 96, 96) and [each.shape for each in several] == [(2, 96, 96)] * 3
    assert dv.classify(MODEL, scenes()[0], ["cat", "tree"]).shape == (1, 2)
    assert fitted().transform(scenes()[0]).shape == (1, 12, 12, 3)
    assert len(fitted().transform(scenes())) == 3
    assert len(load_images(scenes()[0])) == 1


def test_numbers_may_be_tensors_arrays_or_nested_lists():
    images, texts = torch.eye(3) + 0.1, torch.eye(3)
    expected = dv.recall(images, texts, [0, 1, 2])
    assert dv.recall(images.tolist(), texts.numpy(), np.arange(3)) == expected
    given = torch.rand(6, 4, generator=torch.manual_seed(0))
    votes = dv.knn_classify(given, [0, 1, 0, 1, 0, 1], given[:2], k=2)
    assert_same(dv.knn_classify(given.tolist(), np.array([0, 1, 0, 1, 0, 1]), given[:2].numpy(), k=2), votes)
    with pytest.raises(ValueError, match="image_vectors"):
        dv.recall([[1.0, 2.0], [3.0]], texts, [0, 1, 2])


def test_models_go_in_by_name_or_loaded():
    model = dv.load_model(MODEL)
    assert torch.equal(dv.classify(MODEL, scenes(), ["cat", "tree"]), dv.classify(model, scenes(), ["cat", "tree"]))
    assert torch.equal(dv.heatmap(MODEL, scenes()[0], "a cat"), dv.heatmap(model, scenes()[0], ["a cat"]))
