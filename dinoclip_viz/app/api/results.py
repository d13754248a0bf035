"""Results of API endpoints: named values, and files that the app serves."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias, TypedDict

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.app.workbench import Workbench

Figure: TypeAlias = gr.FileData | None
"""A PNG file in JSON; endpoints return images, which become files after the model has run. None for none."""
Values: TypeAlias = gr.FileData | None
"""A .npy file of float32 in JSON; endpoints return arrays. None for none."""
FIGURES = ("figure", "image")
"""Names of figures in results."""


class Run(TypedDict):
    """What every result states.

    Keys:
        model: name of the model or encoder that computed it.
        notice: "", or why the result is unreliable.
    """

    model: str
    notice: str


class Classification(Run):
    """Result of `classify`: the most probable label, and the probability of each, which sum to 1."""

    label: str
    scores: dict[str, float]


class PromptMap(TypedDict):
    """The heat map of one prompt: lowest and highest cosine, [x, y] of the highest, and its figure."""

    prompt: str
    lowest: float
    highest: float
    peak: list[float]
    figure: Figure


class HeatMaps(Run):
    """Result of `heatmap`: (prompts, height, width) cosines as `array`, or a figure per prompt."""

    method: str
    width: int
    height: int
    prompts: list[PromptMap]
    array: Values


class ImageColours(TypedDict):
    """The colours of one image: the foreground's fraction of the patches, its figure, or (H, W, 3) colours."""

    foreground: float
    figure: Figure
    array: Values


class Colours(Run):
    """Result of `pca`: the fraction of the variance per component, and each image."""

    explained_variance: list[float]
    images: list[ImageColours]


class Match(TypedDict):
    """Two positions [x, y] that correspond, in pixels of the first and of the second image, and their cosine."""

    first: list[float]
    second: list[float]
    similarity: float


class Matches(Run):
    """Result of `match`, best first; `shortfall` states why there are fewer than requested."""

    matches: list[Match]
    shortfall: str
    figure: Figure


class Similarity(Run):
    """Result of `similarity`: [x, y] of the corresponding position, the highest cosine, a figure or (H, W) cosines."""

    position: list[float]
    highest: float
    figure: Figure
    array: Values


class Found(TypedDict):
    """An image of the gallery: its key, caption and cosine similarity to the query, and the image, enlarged."""

    key: str
    caption: str
    similarity: float
    image: Figure


class SearchResults(Run):
    """Result of `search`: the gallery in words, and its nearest images, best first."""

    gallery: str
    results: list[Found]


class Detected(TypedDict):
    """An object: its box [x0, y0, x1, y1] in pixels, its score, and the COCO run lengths of its mask, if any."""

    label: str
    box: list[float]
    score: float
    mask: dict[str, list[int] | str] | None


class Reply(Run):
    """Result of `ask`: the text as generated, objects in it, and parts of it that are no objects."""

    text: str
    detections: list[Detected]
    problems: list[str]
    figure: Figure


class VerbMap(TypedDict):
    """The heat map of one verb: largest value, fraction of the image above the threshold, whether it was trained."""

    verb: str
    highest: float
    area: float
    trained: bool
    figure: Figure


class Affordances(Run):
    """Result of `afford`: (verbs, height, width) values as `array`, or a figure per verb."""

    width: int
    height: int
    verbs: list[VerbMap]
    array: Values


class Offered(TypedDict):
    """Result of `models`: the page's own model, names for `model`, its heat-map methods, and names for `ask`."""

    model: str
    models: list[str]
    methods: list[str]
    answering: list[str]


def with_files(bench: Workbench, result: Any) -> Any:
    """The result with files that the app serves: .npy for each array, and as they are for paths of figures.

    Args:
        bench: the workbench, whose files are served.
        result: of an endpoint, after `handlers.answers.served` has written its images and put paths in their position.
    """
    if isinstance(result, dict):
        return {
            name: _file(value) if name in FIGURES and isinstance(value, str) else with_files(bench, value)
            for name, value in result.items()
        }
    if isinstance(result, list):
        return [with_files(bench, value) for value in result]
    return array_file(bench, result) if isinstance(result, np.ndarray) else result


def array_file(bench: Workbench, values: NDArray[np.generic]) -> dict[str, Any]:
    """The values as a float32 .npy file that the app serves."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    digest = hashlib.sha256(f"{array.shape} ".encode() + array.tobytes()).hexdigest()[:32]
    path = bench.files.folder / f"array-{digest}.npy"
    if not bench.files.still([path]):
        bench.files.write(path, lambda aside: np.save(aside, array, allow_pickle=False))
    return _file(str(path))


def _file(path: str) -> dict[str, Any]:
    """A file in JSON."""
    made: dict[str, Any] = gr.FileData(path=path).model_dump()
    return made
