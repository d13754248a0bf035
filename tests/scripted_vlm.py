"""A vision-language model whose answers are written in advance, with everything around them real."""

import re

import torch

from dinoclip_viz.vlm.masks.codec import MaskCodec
from dinoclip_viz.vlm.model import VisionLanguageModel
from dinoclip_viz.vlm.results import Generation

PROBABILITY = 0.81
"""Of every token."""
_TOKEN = re.compile(r"<(?:loc|seg)\d+>|[^\s<>]+|\s+|[<>]")


class Scripted:
    """Generates what `script` returns for an image and a prompt; `asked` collects the prompts and their images."""

    def __init__(self, script, unknown=()):
        self.script, self.unknown, self.asked = script, set(unknown), []

    def generate(self, images, prompt, max_tokens=None, stream=None):
        if stream is not None and len(images) > 1:
            raise ValueError("one image at a time")
        self.asked.append((prompt, len(images)))
        found = []
        for image in images:
            text = self.script(image, prompt)
            tokens = tuple(token for token in _TOKEN.findall(text) if token.strip())
            for piece in _TOKEN.findall(text) if stream is not None else ():
                stream(piece)
            found.append(Generation(text, tokens, (PROBABILITY,) * len(tokens)))
        return found

    def unknown_words(self, text):
        return [word for word in text.split() if word in self.unknown]


def scripted_vlm(script, codec=True, unknown=()):
    """A `VisionLanguageModel` around `Scripted`, which is its attribute `_generator`.

    Args:
        script: image, prompt -> text.
        codec: whether it has a mask codec, a small one with random weights.
        unknown: words that it does not know.
    """
    torch.manual_seed(0)
    masks = MaskCodec(8, 16, (8, 8, 8, 8), (8, 8, 8, 8)) if codec else None
    place = torch.device("cpu"), torch.float32
    return VisionLanguageModel("scripted", *place, 96, None, Scripted(script, unknown), masks)
