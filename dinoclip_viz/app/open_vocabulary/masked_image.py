"""An image under masks of prompts, drawn before Gradio sees it, so that its files are complete and written once."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
from gradio.components.annotated_image import AnnotatedImageData, Annotation
from gradio.data_classes import FileData
from numpy.typing import NDArray
from PIL import Image


class MaskedImage(gr.AnnotatedImage):  # type: ignore[misc]
    """A `gr.AnnotatedImage` whose value is made of files: the path of the image, and (path, name) of each mask."""

    is_template = True
    """Gradio's mark of a component that is shown as its parent."""

    def postprocess(self, value: Any) -> AnnotatedImageData | None:
        """The value as the page expects it; Gradio's own method draws masks and writes them under shared names."""
        if value is None:
            return None
        image, masks = value
        annotations = [Annotation(image=FileData(path=path), label=name) for path, name in masks]
        return AnnotatedImageData(image=FileData(path=image), annotations=annotations)


def mask_image(mask: NDArray[np.float64], colour: str) -> Image.Image:
    """A mask as an image of one colour with transparency, of one byte per pixel.

    Args:
        mask: (height, width) the same opacity above 0, up to 1, wherever the mask is, 0 elsewhere.
        colour: hexadecimal, such as "#e69f00".

    Examples:
        >>> image = mask_image(np.array([[0.0, 0.6]]), "#e69f00")
        >>> image.convert("RGBA").getpixel((1, 0))
        (230, 159, 0, 153)
    """
    image = Image.fromarray((mask > 0).astype(np.uint8), "L").convert("P")
    image.putpalette([0, 0, 0, *bytes.fromhex(colour.removeprefix("#"))])
    image.info["transparency"] = bytes([0, round(255 * float(mask.max()))])
    return image
