"""Pillow's JPEG decoder beside others that are installed: `python -m tests.benchmarks.decoders` (Markdown).

simplejpeg and torchvision are measured where they are installed. Rounds alternate; pixels are compared with Pillow's.
"""

import io
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import numpy as np
import torch
from PIL import Image


def jpeg(size: tuple[int, int]) -> bytes:
    from skimage import data

    file = io.BytesIO()
    Image.fromarray(data.coffee()).resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


def pillow(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def pillow_half(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.draft(None, (image.width // 2, image.height // 2))
    image.load()
    return image


def decoders() -> dict[str, Callable[[bytes], Image.Image]]:
    """Name -> function from a file's bytes to an image that Pillow can resize."""
    found: dict[str, Callable[[bytes], Image.Image]] = {"Pillow": pillow, "Pillow, half scale": pillow_half}
    if find_spec("simplejpeg"):
        import simplejpeg

        def without_copy(data: bytes) -> Image.Image:
            pixels = simplejpeg.decode_jpeg(data, colorspace="RGBX")  # Pillow's own layout in memory
            return Image.frombuffer("RGBX", (pixels.shape[1], pixels.shape[0]), pixels, "raw", "RGBX", 0, 1)

        found["simplejpeg"] = lambda data: Image.fromarray(simplejpeg.decode_jpeg(data))
        found["simplejpeg, RGBX without a copy"] = without_copy
    from torchvision.io import decode_jpeg

    found["torchvision"] = lambda data: Image.fromarray(
        decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8)).permute(1, 2, 0).numpy()
    )
    return found


def main() -> None:
    torch.set_num_threads(1)
    for size, repeats in (((640, 480), 40), ((4000, 3000), 3)):
        data = jpeg(size)
        exact = np.asarray(pillow(data)).astype(int)
        arms = decoders()
        seconds: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(7):
            for name, decode in arms.items():
                begun = time.perf_counter()
                for _ in range(repeats):
                    decode(data)
                seconds[name].append((time.perf_counter() - begun) / repeats)
        print(f"\n{size[0]} x {size[1]}\n\n| decoder | ms | Pillow's speed x | largest difference |\n|---|---|---|---|")
        for name, values in seconds.items():
            pixels = np.asarray(arms[name](data))[..., :3]
            change = int(np.abs(pixels - exact).max()) if pixels.shape == exact.shape else "-"
            speed = median(seconds["Pillow"]) / median(values)
            print(f"| {name} | {1000 * median(values):.2f} | {speed:.2f} | {change} |")


if __name__ == "__main__":
    main()
