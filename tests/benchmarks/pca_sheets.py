"""PCA maps to look at: `python -m tests.benchmarks.pca_sheets FOLDER`.

Writes two sheets, of 24 scenes and of 12 photographs that come with scikit-image and scikit-learn, each image next to
its patches and its sharp map; and a third with the three mappings of components to colours. Nothing is measured but the
lightness that separates objects from background: the share of pixels that one threshold of CIE L* puts on the right
side, the threshold being that of the scenes before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import dinoclip_viz as dv
from dinoclip_viz.playground import draw
from dinoclip_viz.tasks.pca.colours import MAPPINGS
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.pca.threshold import otsu

SIZE, SEED = 192, 1600
PHOTOGRAPHS = (
    "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "coins.png", "brick.png", "grass.png",
    "gravel.png", "hubble_deep_field.jpg", "china.jpg", "flower.jpg",
)  # fmt: skip
"""From scikit-image (CC0 or public domain); the last two from scikit-learn (CC BY: china.jpg, flower.jpg)."""


def photographs() -> list[Image.Image]:
    """The photographs as squares of `SIZE`."""
    import skimage
    import sklearn.datasets

    folders = [Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images"]
    files = [next(folder / name for folder in folders if (folder / name).is_file()) for name in PHOTOGRAPHS]
    return [ImageOps.fit(dv.load_image(file), (SIZE, SIZE), Image.Resampling.LANCZOS) for file in files]


def as_tile(colours: NDArray[np.floating]) -> Image.Image:
    """The colours, enlarged to `SIZE`."""
    tile = Image.fromarray((np.asarray(colours) * 255).round().astype(np.uint8))
    return tile.resize((SIZE, SIZE), Image.Resampling.NEAREST)


def sheet(rows: list[list[Image.Image]], groups: int) -> Image.Image:
    """Rows of tiles, `groups` of them side by side, with gaps between them."""
    count, gap = len(rows[0]), 8
    wide, high = groups * (count * SIZE + gap) - gap, -(-len(rows) // groups) * (SIZE + gap) - gap
    canvas = Image.new("RGB", (wide, high), "white")
    for index, tiles in enumerate(rows):
        for place, tile in enumerate(tiles):
            left = (index % groups) * (count * SIZE + gap) + place * SIZE
            canvas.paste(tile, (left, index // groups * (SIZE + gap)))
    return canvas


def maps(encoder: str, images: list[Image.Image], groups: int, method: str) -> Image.Image:
    """Each image, its patches and its sharp map."""
    features = dv.load_encoder(encoder, dtype="float32").encode(images, fit="whole")
    colours = PatchPCA().fit(features).transform(features).numpy()
    sharp = [dv.upsample(values, image, SIZE, method) for image, values in zip(images, colours, strict=True)]
    return sheet([[i, as_tile(c), as_tile(s)] for i, c, s in zip(images, colours, sharp, strict=True)], groups)


def mappings(encoder: str, images: list[Image.Image]) -> Image.Image:
    """Each image and its patches by every mapping."""
    features = dv.load_encoder(encoder, dtype="float32").encode(images, fit="whole")
    columns = [PatchPCA(colours=mapping).fit(features).transform(features).numpy() for mapping in MAPPINGS]
    return sheet([[image, *(as_tile(c[i]) for c in columns)] for i, image in enumerate(images)], 3)


def lightness(colours: NDArray[np.floating]) -> NDArray[np.floating]:
    """CIE L* of sRGB."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def told_apart(encoder: str, mapping: str) -> float:
    """Share of patches of 24 scenes on the right side of the lightness that was best on 24 others."""
    encode = dv.load_encoder(encoder, dtype="float32").encode
    known, new = draw(SEED + 1, 24, SIZE), draw(SEED + 2, 24, SIZE)
    features = [encode([scene.image for scene in scenes], fit="whole") for scenes in (known, new)]
    pca = PatchPCA(colours=mapping).fit(features[0])
    level = otsu(lightness(pca.transform(features[0]).numpy()).ravel())
    light = lightness(pca.transform(features[1]).numpy()) > level
    wanted = np.stack([np.asarray(Image.fromarray(s.mask).resize(light.shape[2:0:-1], 0)) > 0 for s in new])
    right = [(light == wanted)[wanted].mean(), (light == wanted)[~wanted].mean()]
    return float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the sheets are written")
    parser.add_argument("--encoder", default="playground-dino", metavar="NAME")
    parser.add_argument("--method", default="guided", help="of upsampling (%(default)s)")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    scenes, photos = [scene.image for scene in draw(SEED, 24, SIZE)], photographs()
    for name, drawn in {
        "pca-scenes": maps(given.encoder, scenes, 4, given.method),
        "pca-photographs": maps(given.encoder, photos, 3, given.method),
        "pca-mappings": mappings(given.encoder, scenes[:9] + photos[:3]),
    }.items():
        drawn.save(given.folder / f"{name}.webp", quality=85)
    print("| mapping | objects from background by lightness alone, balanced accuracy, % |\n|---|---|")
    for mapping in MAPPINGS:
        print(f"| {mapping} | {100 * told_apart(given.encoder, mapping):.1f} |")


if __name__ == "__main__":
    main()
