"""`dinoclip playground draw`: synthetic scenes and their ground truth, as files."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer
from dinoclip_viz.cli.parser import output_folder
from dinoclip_viz.disk import write_json

if TYPE_CHECKING:
    from dinoclip_viz.playground import Scene

SUMMARY = "draw synthetic scenes and write them with their ground truth"
FOLDERS = ("images", "masks", "parts", "instances", "depth", "affordances")

log = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--seed", type=int, default=1000, help="below 1000 the models were trained (%(default)s)")
    parser.add_argument("--count", type=int, default=8, help="how many scenes (%(default)s)")
    parser.add_argument("--size", type=int, default=96, metavar="PX", help="side of a scene in pixels (%(default)s)")
    parser.add_argument("--objects", type=int, metavar="N", help="objects a scene; by default 1 to 4 by chance")
    parser.add_argument("--world", type=int, default=1, help="1, or 2 with natural textures (%(default)s)")
    parser.add_argument("--domain", metavar="NAME", help="draw the scenes in a domain, such as outline, night or fog")
    parser.add_argument("--out", required=True, type=output_folder, metavar="FOLDER", help="folder to write to")


def run(arguments: Namespace) -> Answer:
    """Where the scenes are; depth in millimetres, masks as index + 1, affordances as 0 or 255."""
    from dinoclip_viz.playground import CLASSES, PARTS, stream

    scenes = stream(
        arguments.seed, arguments.count, arguments.size, arguments.objects, world=arguments.world,
        domain=arguments.domain,
    )  # fmt: skip
    folder: Path = arguments.out
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    listed = []
    for index, scene in enumerate(scenes):
        listed.append(_write(scene, folder, f"{index:06d}.png"))
        log.info("%d of %d scenes", index + 1, arguments.count)
    known = {"classes": list(CLASSES), "parts": list(PARTS), "scenes": listed}
    write_json(folder / "scenes.json", known)
    result = {"out": str(folder), "scenes": len(listed), "seed": arguments.seed, "size": arguments.size}
    return Answer(result, f"wrote {len(listed)} scenes to {folder}")


def _write(scene: Scene, folder: Path, name: str) -> dict[str, object]:
    """The row of one scene, paths relative to the folder; its images are written."""
    import numpy as np
    from PIL import Image

    from dinoclip_viz.playground import ACTIONS

    millimetres = np.round(scene.depth * 1000).clip(0, 65535).astype(np.uint16)
    images = {
        "images": scene.image,
        "masks": Image.fromarray(scene.mask),
        "parts": Image.fromarray(scene.parts),
        "instances": Image.fromarray(scene.instances),
        "depth": Image.fromarray(millimetres),
    }
    for place, image in images.items():
        image.save(folder / place / name)
    afforded = {}
    for action, mask in zip(ACTIONS, scene.affordances, strict=True):
        if mask.any():
            afforded[action] = f"affordances/{Path(name).stem}-{action.replace(' ', '-')}.png"
            Image.fromarray(mask * np.uint8(255)).save(folder / afforded[action])
    return {
        "image": f"images/{name}",
        "mask": f"masks/{name}",
        "parts": f"parts/{name}",
        "instances": f"instances/{name}",
        "depth": f"depth/{name}",
        "affordances": afforded,
        "captions": scene.captions,
        "objects": [dict(thing) for thing in scene.objects],
        "background": scene.background,
    }
