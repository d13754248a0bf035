"""Accuracy of the artefact detector on tokens planted in random models: fraction of exact detections.

    python tests/benchmarks/tokens.py

Tokens are planted by a hook on the last block: 10 times the image's median norm, or 10 times their own. Scenes of
held-out seeds; random weights of tiny models of every architecture, 12 x 12 patches.
"""

import importlib.util
import tempfile
from pathlib import Path

import torch

from dinoclip_viz import playground
from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.inside import look_inside
from dinoclip_viz.tasks.tokens import artefact_tokens

KINDS = ("dinov2", "dinov2_with_registers", "dinov3", "dino", "clip", "metaclip2", "siglip", "tips", "openclip")
COUNTS = (0, 1, 3, 12)
SEEDS = range(3300, 3310)
SIDE = 12

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)


def planted(encoder, image, positions, own):
    """Norms (H, W) of the last block with the tokens at these positions scaled by 10."""
    prefix = encoder.blocks.prefix

    def scale(_, __, output):
        tokens, lengths = output.clone(), output[:, prefix:].norm(dim=-1)
        at = prefix + positions
        longer = 10 if own else 10 * lengths.median() / lengths[0, positions][:, None]
        tokens[0, at] *= longer
        return tokens

    handle = encoder.blocks.of(encoder.blocks.model)[-1].register_forward_hook(scale)
    try:
        return look_inside(encoder, [image], SIDE * encoder.patch, attention=False).norms[0, -1]
    finally:
        handle.remove()


def main():
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        folders = [getattr(tiny, f"tiny_{kind}")(Path(folder) / kind, seed) for seed, kind in enumerate(KINDS)]
        encoders = [load_encoder(str(each), device="cpu") for each in folders]
    encoders.append(load_encoder("random:playground-dino", device="cpu"))
    images = [scene.image for seed in SEEDS for scene in playground.draw(seed, 2, 96)]
    for own in (False, True):
        for count in COUNTS:
            exact = missed = extra = 0
            for encoder in encoders:
                for image in images:
                    positions = torch.randperm(SIDE**2, generator=generator)[:count]
                    found = artefact_tokens(planted(encoder, image, positions, own)).flatten()
                    expected = torch.zeros(SIDE**2, dtype=torch.bool)
                    expected[positions] = True
                    exact += torch.equal(found, expected)
                    missed += int((expected & ~found).sum())
                    extra += int((found & ~expected).sum())
            runs = len(encoders) * len(images)
            norm = "their own norm" if own else "the median norm"
            print(
                f"{count:2} planted at 10 x {norm}: exactly those in {exact} of {runs}, missed {missed}, more {extra}"
            )


if __name__ == "__main__":
    main()
