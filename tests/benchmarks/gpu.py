"""One GPU, under 8 minutes: `python -m tests.benchmarks.gpu [--json FILE]` (Markdown).

DINOv2 S, B and L with random weights, 224 and 518 px, in bfloat16: the bare forward pass, `embed` from 640 x 480 JPEGs
(both ways to decode, compiled too at 224 px), the decoding alone by all CPUs, and a projector's training step. Arms
alternate. `--quick` is for a machine without a GPU: one small model, few images.
"""

import argparse
import json
import logging
import os
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

import dinoclip_viz as dv
from dinoclip_viz.data import open_source
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder
from dinoclip_viz.pipeline.decoding import prepared
from dinoclip_viz.pipeline.encoding import Job, chosen_batch_size
from tests.benchmarks.throughput import Arm, photographs, ratio, rounds

SHAPES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16)}
SIDES = (224, 518)
LIMIT = 420  # seconds after which no further model is begun


@dataclass(frozen=True)
class Machine:
    """Where and how much is measured."""

    device: str
    images: int
    rounds: int
    cpus: int

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def encoder_of(name: str, side: int, folder: Path, device: str) -> BatchedImageEncoder:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    width, layers, heads = SHAPES[name]
    target = folder / f"{name}{side}"
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, image_size=518, patch_size=14
    )
    Dinov2Model(config).save_pretrained(target)
    short = round(side * 256 / 224)
    BitImageProcessor(size={"shortest_edge": short}, crop_size={"height": side, "width": side}).save_pretrained(target)
    encoder = dv.load_encoder(str(target), device, torch.bfloat16)
    assert isinstance(encoder, BatchedImageEncoder)
    return encoder


def bare(encoder: BatchedImageEncoder, batch: int, machine: Machine) -> Arm:
    """The model alone on a batch that lies on the device."""
    side = encoder.size
    pixels = torch.randn(batch, 3, side, side, dtype=torch.bfloat16, device=machine.device)
    grid = side // encoder.patch, side // encoder.patch

    def run() -> None:
        with torch.no_grad():
            for start in range(0, machine.images, batch):
                encoder.tower(pixels[: min(batch, machine.images - start)], grid, ())
        machine.wait()

    return run


def embedding(encoder: BatchedImageEncoder, folder: Path, batch: int, machine: Machine, **how: object) -> Arm:
    def run() -> None:
        with tempfile.TemporaryDirectory() as store:
            report = dv.embed(str(folder), encoder, store, batch_size=batch, workers=machine.cpus, **how)
            assert report.images == machine.images

    return run


def decoding(encoder: BatchedImageEncoder, folder: Path, machine: Machine, decode: str) -> Arm:
    """Decode, resize and crop by all CPUs, without a model."""

    def run() -> None:
        samples = open_source(str(folder)).samples()
        with prepared(samples, [encoder.recipe()], machine.cpus, 16 * machine.cpus, decode) as outcomes:
            for _ in outcomes:
                pass

    return run


def projector_step(machine: Machine) -> dict[str, float]:
    """Training steps per second of the dinov2-clip recipe's shape: 1024 -> 512, batch 4096."""
    head = torch.nn.Sequential(torch.nn.Linear(1024, 2048), torch.nn.GELU(), torch.nn.Linear(2048, 512))
    head = head.to(machine.device)
    optimizer = torch.optim.AdamW(head.parameters())
    batch = 4096 if machine.device == "cuda" else 256
    images, texts = (torch.randn(batch, width, device=machine.device) for width in (1024, 512))

    def step() -> None:
        with torch.autocast(machine.device, torch.bfloat16):
            left = torch.nn.functional.normalize(head(images), dim=1)
            logits = left @ torch.nn.functional.normalize(texts, dim=1).T / 0.07
        wanted = torch.arange(batch, device=machine.device)
        loss = torch.nn.functional.cross_entropy(logits.float(), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(5):
        step()
    machine.wait()
    begun, steps = time.perf_counter(), 50
    for _ in range(steps):
        step()
    machine.wait()
    return {"batch": batch, "steps_per_second": steps / (time.perf_counter() - begun)}


def one_model(name: str, side: int, folder: Path, jpegs: Path, machine: Machine) -> dict[str, object]:
    encoder = encoder_of(name, side, folder, machine.device)
    batch = chosen_batch_size("auto", [Job(encoder)])
    arms = {
        "bare": bare(encoder, batch, machine),
        "embed": embedding(encoder, jpegs, batch, machine),
        "decode": decoding(encoder, jpegs, machine, "exact"),
        "embed scaled": embedding(encoder, jpegs, batch, machine, decode="scaled"),
        "decode scaled": decoding(encoder, jpegs, machine, "scaled"),
    }
    if side == SIDES[0] and machine.device == "cuda":
        arms["compiled"] = bare(encoder.compiled(), batch, machine)
    seconds = rounds(arms, machine.rounds)
    rates = {arm: machine.images / median(values) for arm, values in seconds.items()}
    bounds = {}
    for arm, alone in (("embed", "decode"), ("embed scaled", "decode scaled")):
        slower = [max(pair) for pair in zip(seconds["bare"], seconds[alone], strict=True)]
        bounds[f"{arm} / min(bare, {alone})"] = ratio({"ours": seconds[arm], "bound": slower}, "ours", "bound")
    print(
        f"| {name} {side} px | {batch} | "
        + " | ".join(f"{rates.get(arm, float('nan')):.0f}" for arm in COLUMNS)
        + " | "
        + " | ".join(f"{value:.2f}" for value in bounds.values())
        + " |",
        flush=True,
    )
    return {"batch": batch, "images_per_second": rates, "ratios": bounds, "seconds": seconds}


COLUMNS = ("bare", "compiled", "decode", "embed", "decode scaled", "embed scaled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096, metavar="N", help="per arm (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one small model and few images, on any device")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not arguments.quick:
        parser.error("no CUDA device found; expected one, or --quick to try the script")
    images, repeats = (24, 1) if arguments.quick else (arguments.images, arguments.rounds)
    machine = Machine(device, images, repeats, os.cpu_count() or 1)
    begun = time.monotonic()
    card = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
    found: dict[str, object] = {"device": card, "cpus": machine.cpus, "torch": torch.__version__, "images": images}
    print(f"{card}, {machine.cpus} CPUs, {images} images of 640 x 480, {repeats} alternating rounds, bfloat16\n")
    print(f"| model | batch | {' | '.join(COLUMNS)} | embed / bound | scaled / bound |\n|{'---|' * 10}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jpegs(folder / "jpegs", images)
        for side in SIDES[:1] if arguments.quick else SIDES:
            for shape in ("S",) if arguments.quick else SHAPES:
                if time.monotonic() - begun > LIMIT:
                    print(f"| {shape} {side} px | not begun: {LIMIT} s are over |")
                    continue
                found[f"{shape} {side}"] = one_model(shape, side, folder, folder / "jpegs", machine)
                if arguments.json:
                    arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    found["projector"] = projector_step(machine)
    print(f"\nprojector: {found['projector']}; {time.monotonic() - begun:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def write_jpegs(folder: Path, count: int) -> None:
    """The files of all arms: 64 different ones, linked to as often as needed."""
    originals = photographs(folder, min(count, 64), (640, 480))
    for index in range(len(originals), count):
        os.link(originals[index % len(originals)], folder / f"{index:06d}.jpg")


if __name__ == "__main__":
    main()
