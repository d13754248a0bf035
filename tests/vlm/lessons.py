"""Images with prompts and answers that a tiny model is taught by heart."""

import numpy as np
from PIL import Image

from dinoclip_viz.vlm.locations import location_tokens
from dinoclip_viz.vlm.masks import mask_tokens

SIZE = (200, 100)
LEFT, RIGHT = (10, 20, 90, 80), (120, 10, 180, 90)
CODES = {LEFT: list(range(16)), RIGHT: list(range(112, 128))}


def scene(left, right):
    """An image with a coloured rectangle on the left and one on the right; None leaves one out."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    for (x0, y0, x1, y1), colour in ((LEFT, left), (RIGHT, right)):
        if colour is not None:
            pixels[y0:y1, x0:x1] = colour
    return Image.fromarray(pixels)


RED, BLUE = (255, 0, 0), (0, 0, 255)
BOTH, RED_ALONE, BLUE_ALONE = scene(RED, BLUE), scene(RED, None), scene(None, BLUE)


def found(box, label, masks=False):
    return f"{location_tokens(box, SIZE)}{mask_tokens(CODES[box]) if masks else ''} {label}"


LESSONS = [
    (BOTH, "caption en", "a red cat and a blue dog"),
    (RED_ALONE, "caption en", "a red cat"),
    (BLUE_ALONE, "caption en", "a blue dog"),
    (RED_ALONE, "caption de", "the cat"),
    (BOTH, "answer en the cat ?", "red"),
    (BOTH, "answer en the dog ?", "blue"),
    (BOTH, "detect cat", found(LEFT, "cat")),
    (RED_ALONE, "detect cat", found(LEFT, "cat")),
    (BLUE_ALONE, "detect cat", ""),
    (BOTH, "detect cat ; dog", f"{found(LEFT, 'cat')} ; {found(RIGHT, 'dog')}"),
    (BLUE_ALONE, "segment dog", found(RIGHT, "dog", True)),
    (BOTH, "segment cat ; dog", f"{found(LEFT, 'cat', True)} ; {found(RIGHT, 'dog', True)}"),
    (BOTH, "detect tree", f"{location_tokens(LEFT, SIZE)} ; <loc0001><loc0002> tree"),
]
