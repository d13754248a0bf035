"""AGD20K (Luo et al., CVPR 2022): photographs with blurred heat maps of affordances, and OOAL's one-shot examples.

```
FOLDER/Seen/testset/egocentric/AFFORDANCE/OBJECT/NAME.jpg
FOLDER/Seen/testset/GT/AFFORDANCE/OBJECT/NAME.png
FOLDER/one-shot-seen/OBJECT_NUMBER.jpg, .npy     (one map per affordance, in alphabetical order, 0 to 255)
```
The split Unseen has the same layout, with one-shot-unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from dinoclip_viz.data.affordances.base import AffordanceImage, Target, squeezed
from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.locations import is_image_name, shown
from dinoclip_viz.images import ImageError, load_image

SIDE = 224
"""Side in pixels of the squares that images and targets are squeezed to."""
SPLITS = ("Seen", "Unseen")


@dataclass(frozen=True)
class Agd20kSource:
    """The egocentric test images that have a mask, each with the one affordance whose folder it is in.

    Attributes:
        folder: that holds Seen and Unseen.
        split: one of `SPLITS`.
    """

    folder: Path
    split: str = "Seen"

    @property
    def name(self) -> str:
        """The folder's path and the split."""
        return f"agd20k:{shown(self.folder)}:{self.split}"

    @property
    def hard(self) -> bool:
        """False: targets are blurred."""
        return False

    @cached_property
    def verbs(self) -> tuple[str, ...]:
        """The affordances in alphabetical order."""
        return tuple(dict.fromkeys(verb for verb, _, _ in self._files))

    @property
    def count(self) -> int:
        """Number of pairs of an image and a mask."""
        return len(self._files)

    def images(self) -> Iterator[AffordanceImage]:
        """The pairs in the order of their paths, squeezed to 224 x 224; flat masks are skipped."""
        for verb, file, mask in self._files:
            image, target = load_image(file), _read_mask(mask)
            if target.max() > target.min():
                key, name = f"{verb}/{file.parent.name}/{file.stem}", file.parent.name
                small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
                yield AffordanceImage(key, name, small, {verb: squeezed(target, SIDE)}, {})

    def examples(self, draw: int = 0, classes: Sequence[str] | None = None) -> list[AffordanceImage]:
        """OOAL's example of each object, of which there is one draw."""
        folder = self.folder / f"one-shot-{self.split.lower()}"
        if draw or not folder.is_dir():
            raise SourceError(
                f"{self.name}: found {f'draw {draw}' if draw else f'no {folder.name}'}; expected draw 0 of OOAL's "
                f"one-shot data in {shown(folder)}"
            )
        files = [file for file in sorted(folder.iterdir()) if is_image_name(file.name)]
        found = [self._example(file) for file in files]
        return [one for one in found if classes is None or one.name in classes]

    def _example(self, file: Path) -> AffordanceImage:
        image, maps = load_image(file), file.with_suffix(".npy")
        try:
            values = np.load(maps, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ImageError(f"{shown(maps)}: no array can be read; expected heat maps (affordances, h, w)") from error
        expected = (len(self.verbs), image.height, image.width)
        if values.shape != expected:
            raise ImageError(f"{shown(maps)}: an array of shape {values.shape}; expected {expected}")
        scaled = (values.astype(np.float32) / 255).clip(0, 1)
        name = re.sub(r"_\d+$", "", file.stem)
        return AffordanceImage(file.stem, name, image, dict(zip(self.verbs, scaled, strict=True)), {})

    @cached_property
    def _files(self) -> list[tuple[str, Path, Path]]:
        """Affordance, image and mask of each pair."""
        test = self.folder / self.split / "testset"
        found = []
        for file in sorted((test / "egocentric").glob("*/*/*")):
            mask = test / "GT" / file.parent.parent.name / file.parent.name / f"{file.stem}.png"
            if is_image_name(file.name) and mask.is_file():
                found.append((file.parent.parent.name, file, mask))
        if not found:
            raise SourceError(
                f"{shown(self.folder)} ({self.split}): no images with masks; expected "
                f"{self.split}/testset/egocentric/AFFORDANCE/OBJECT/NAME.jpg and GT/AFFORDANCE/OBJECT/NAME.png"
            )
        return found


def _read_mask(file: Path) -> Target:
    """(height, width) values of a grey PNG over 255."""
    try:
        with Image.open(file) as opened:
            values: Target = np.asarray(opened.convert("L"), np.float32) / np.float32(255)
            return values
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{shown(file)}: no image can be read; expected a heat map as PNG") from error
