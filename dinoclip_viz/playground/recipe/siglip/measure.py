"""Evaluation of playground-siglip on held-out scenes: zero-shot classification and retrieval."""

from __future__ import annotations

from dinoclip_viz.models import load_model
from dinoclip_viz.playground.recipe.measure import caption_ceiling, retrieval, zero_shot
from dinoclip_viz.playground.world import draw

NAME = "playground-siglip"


def measure_siglip(name: str = NAME, seed: int = 3000, count: int = 1000, device: str = "auto") -> dict[str, object]:
    """Zero-shot accuracy and R@1, on scenes of `seed` and of the second seed after it, at 96 px.

    Args:
        name: of the model, or its folder.
        seed: 1000 or more; the model was trained on seeds below.
        count: scenes per metric, 50 or more.
        device: as in `load_encoder`; the model computes in float32.

    Returns:
        "zero_shot", top-1 accuracy of the 20 classes on scenes of one object (chance is 0.05); "retrieval", recall both
        ways between images and first captions; "retrieval_ceiling", R@1 of an oracle. Fractions, 0 to 1.

    Raises:
        ValueError: a seed below 1000, or fewer than 50 scenes.
    """
    if seed < 1000:
        raise ValueError(f"seed is {seed}, which the model was trained on; expected 1000 or more")
    if count < 50:
        raise ValueError(f"count is {count}; expected 50 scenes or more")
    model, scenes = load_model(name, None, device, "float32"), draw(seed + 2, count, 96)
    return {
        "zero_shot": zero_shot(model, draw(seed, count, 96, objects=1)),
        "retrieval": retrieval(model, scenes),
        "retrieval_ceiling": caption_ceiling(scenes),
    }
