"""Images per second of `embed` beside the bare model and its peers: `python -m tests.benchmarks.throughput`.

DINOv2-small's size with random weights at 224 px. All arms alternate in one run; a ratio is the median of the rounds'
ratios. Prints a Markdown table; `--json FILE` writes the figures of every round.
"""

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder, TowerOutput
from dinoclip_viz.encoders.towers.preprocessing import Preprocessing
from tests.benchmarks.speed import dinov2_small

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 32
Arm = Callable[[], None]


def photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """JPEGs of quality 90 with the texture of photographs: scikit-image's, cut, mirrored and resized."""
    from skimage import data

    folder.mkdir(exist_ok=True)
    sources = [Image.fromarray(getattr(data, name)()) for name in ("chelsea", "coffee", "astronaut", "rocket")]
    paths = []
    for index in range(count):
        image = sources[index % len(sources)]
        image = image.transpose(Image.Transpose(index // len(sources) % 7))
        left = index % 5 * image.width // 40
        image = image.crop((left, left // 2, image.width - left, image.height - left // 2))
        turned = size if image.width >= image.height else size[::-1]
        paths.append(folder / f"{index:04d}.jpg")
        image.resize(turned, Image.Resampling.LANCZOS).save(paths[-1], quality=90)
    return paths


def bare(model: torch.nn.Module, count: int, dtype: torch.dtype, device: str) -> Arm:
    pixels = torch.randn(BATCH, 3, 224, 224, dtype=dtype, device=device)

    def run() -> None:
        with torch.no_grad():
            for start in range(0, count, BATCH):
                model(pixel_values=pixels[: min(BATCH, count - start)])
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def embedding(encoder: ImageEncoder, folder: Path, decode: str = "exact", workers: int = 0) -> Arm:
    def run() -> None:
        with tempfile.TemporaryDirectory() as store:
            dv.embed(str(folder), encoder, store, decode=decode, workers=workers, batch_size=BATCH)

    return run


class Files(torch.utils.data.Dataset):
    """The peer's data set: torchvision's transforms, as in DINOv2's own evaluation."""

    def __init__(self, paths: list[Path]) -> None:
        from torchvision import transforms

        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, DEVIATION),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def loader(model: torch.nn.Module, paths: list[Path], dtype: torch.dtype, workers: int, device: str) -> Arm:
    def run() -> None:
        batches = torch.utils.data.DataLoader(Files(paths), BATCH, num_workers=workers, pin_memory=device == "cuda")
        with torch.no_grad():
            for pixels in batches:
                model(pixel_values=pixels.to(device, dtype, non_blocking=True)).last_hidden_state[:, 0].float().cpu()

    return run


def transformers_pipeline(folder: Path, paths: list[Path], dtype: torch.dtype, device: str) -> Arm:
    from transformers import pipeline

    extract = pipeline("image-feature-extraction", model=str(folder), dtype=dtype, device=device)
    names = [str(path) for path in paths]

    def run() -> None:
        extract(names, batch_size=BATCH)

    return run


def preparing(paths: list[Path], threads: int) -> Arm:
    """Decode, resize and crop alone, by a pool of threads."""

    def one(path: Path) -> np.ndarray:
        image = Image.open(path).convert("RGB")
        short = 256 / min(image.size)
        image = image.resize((round(image.width * short), round(image.height * short)), Image.Resampling.BICUBIC)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        return np.asarray(image)[top : top + 224, left : left + 224].copy()

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(one, paths):
                pass

    return run


def free_encoder() -> BatchedImageEncoder:
    """An encoder that costs nothing: it returns zeros, without even normalising."""

    class Free(Preprocessing):
        def normalised(self, inputs: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros((), dtype=dtype).expand(len(inputs), 3, 224, 224)

    def tower(pixels: torch.Tensor, grid: tuple[int, int], methods: object) -> TowerOutput:
        count, cells = len(pixels), grid[0] * grid[1]
        nothing = torch.zeros(())
        return TowerOutput(nothing.expand(count, 384), nothing.expand(count, 384), nothing.expand(count, cells, 384))

    table = np.zeros((3, 256), np.float32)
    return BatchedImageEncoder(
        "free", "free", "free", 384, 384, 14, (), torch.device("cpu"), torch.float32,
        Free(224, 256, Image.Resampling.BICUBIC, table), tower,
    )  # fmt: skip


def rounds(arms: dict[str, Arm], count: int) -> dict[str, list[float]]:
    """Seconds of every arm in every round, alternating, after a warm-up round."""
    for arm in arms.values():
        arm()
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(count):
        for name, arm in arms.items():
            begun = time.perf_counter()
            arm()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> float:
    """How many times as many images per second ours encodes: the median of the rounds' ratios."""
    return median(other / own for own, other in zip(seconds[ours], seconds[theirs], strict=True))


def table(title: str, seconds: dict[str, list[float]], images: int, pairs: list[tuple[str, str]]) -> dict[str, object]:
    """Prints the images per second and the ratios; returns them."""
    print(f"\n### {title}\n\n| arm | images/s | min | max |\n|---|---|---|---|")
    for name, values in seconds.items():
        rates = [images / value for value in values]
        print(f"| {name} | {median(rates):.1f} | {min(rates):.1f} | {max(rates):.1f} |")
    ratios = {f"{ours} / {theirs}": round(ratio(seconds, ours, theirs), 3) for ours, theirs in pairs}
    print("\n| ratio | |\n|---|---|")
    for name, value in ratios.items():
        print(f"| {name} | {value:.2f} |")
    print(flush=True)
    return {"images": images, "seconds": seconds, "ratios": ratios}


def small_jpegs(folder: Path, count: int, repeats: int, threads: int, device: str) -> dict[str, object]:
    from transformers import Dinov2Model

    model_folder = dinov2_small(folder / "small")
    paths = photographs(folder / "small-jpegs", count, (640, 480))
    arms: dict[str, Arm] = {}
    for name, dtype in DTYPES.items():
        model = Dinov2Model.from_pretrained(model_folder, dtype=dtype).eval().to(device)
        encoder = dv.load_encoder(model_folder, device, dtype)
        arms[f"bare forward, {name}"] = bare(model, count, dtype, device)
        arms[f"embed, {name}"] = embedding(encoder, folder / "small-jpegs")
        arms[f"DataLoader, {name}"] = loader(model, paths, dtype, threads, device)
        arms[f"transformers pipeline, {name}"] = transformers_pipeline(Path(model_folder), paths, dtype, device)
    seconds = rounds(arms, repeats)
    pairs = [(f"embed, {name}", f"bare forward, {name}") for name in DTYPES]
    pairs += [
        (f"embed, {name}", f"{peer}, {name}") for name in DTYPES for peer in ("DataLoader", "transformers pipeline")
    ]
    return table("640 x 480 JPEGs", seconds, count, pairs)


def large_jpegs(folder: Path, count: int, repeats: int, threads: int, device: str) -> dict[str, object]:
    from transformers import Dinov2Model

    model_folder = dinov2_small(folder / "small")
    paths = photographs(folder / "large-jpegs", count, (4000, 3000))
    name, dtype = "bfloat16", torch.bfloat16
    model = Dinov2Model.from_pretrained(model_folder, dtype=dtype).eval().to(device)
    encoder = dv.load_encoder(model_folder, device, dtype)
    arms = {
        f"embed exact, {name}": embedding(encoder, folder / "large-jpegs"),
        f"embed scaled, {name}": embedding(encoder, folder / "large-jpegs", "scaled"),
        f"DataLoader, {name}": loader(model, paths, dtype, threads, device),
        f"transformers pipeline, {name}": transformers_pipeline(Path(model_folder), paths, dtype, device),
    }
    seconds = rounds(arms, repeats)
    others = [other for other in arms if not other.startswith("embed scaled")]
    return table("12-megapixel JPEGs", seconds, count, [(f"embed scaled, {name}", other) for other in others])


def nothing(folder: Path, count: int, repeats: int, threads: int) -> dict[str, object]:
    paths = photographs(folder / "many-jpegs", count, (640, 480))
    arms = {
        "decode, resize, crop alone": preparing(paths, threads),
        "embed, an encoder that costs nothing": embedding(free_encoder(), folder / "many-jpegs"),
    }
    return table("The pipeline alone", rounds(arms, repeats), count, [tuple(reversed(arms))])  # type: ignore[list-item]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(%(default)s)")
    parser.add_argument("--count", type=int, default=64, metavar="N", help="640 x 480 images (%(default)s)")
    parser.add_argument("--large", type=int, default=32, metavar="N", help="12-megapixel images (%(default)s)")
    parser.add_argument("--only", choices=["small", "large", "nothing"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(torch.get_num_threads() if arguments.device == "cuda" else 2)
    threads, repeats = 2, arguments.rounds
    found: dict[str, object] = {"threads": threads, "rounds": repeats}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only in (None, "nothing"):
            found["nothing"] = nothing(folder, 6 * arguments.count, repeats, threads)
        if arguments.only in (None, "small"):
            found["small"] = small_jpegs(folder, arguments.count, repeats, threads, arguments.device)
        if arguments.only in (None, "large"):
            found["large"] = large_jpegs(folder, arguments.large, repeats, threads, arguments.device)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
