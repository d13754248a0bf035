"""Token norms and artefact tokens: against plain loops, numbers by hand, and tokens planted in random models."""

import importlib.util
import math
import statistics
from pathlib import Path

import pytest
import torch

from dinoclip_viz import playground
from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.encoders.inside import look_inside
from dinoclip_viz.tasks.tokens import (
    DEVIATIONS,
    GAP,
    RATIO,
    artefact_tokens,
    located,
    norm_summary,
    without_artefacts,
)

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)

KINDS = ("dinov2", "dinov2_with_registers", "dinov3", "clip", "siglip", "tips")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    folders = [getattr(tiny, f"tiny_{kind}")(root / kind, seed) for seed, kind in enumerate(KINDS)]
    return [load_encoder(str(folder), device="cpu") for folder in folders]


@pytest.fixture
def wide_dinov2(tmp_path):
    """Seed -> a random DINOv2 of 12 x 12 position embeddings."""
    from transformers import Dinov2Config, Dinov2Model

    def made(seed):
        config = Dinov2Config(**tiny._SMALL, patch_size=14, image_size=168)
        folder = tiny._vision(tmp_path / "wide", Dinov2Model, config, seed, "BitImageProcessorPil", 168, 168)
        return load_encoder(str(folder), device="cpu")

    return made


def plain_artefacts(norms):
    """The rule token by token, for one image's norms as a flat list."""
    middle = sorted(norms)[(len(norms) - 1) // 2]
    logs = [math.log(norm / middle) for norm in norms]
    spread = 1.4826 * sorted(abs(value) for value in logs)[(len(logs) - 1) // 2]
    found, below = [False] * len(norms), None
    for position in sorted(range(len(norms)), key=lambda position: logs[position]):
        far = logs[position] > max(math.log(RATIO), DEVIATIONS * spread)
        if any(found) or (far and below is not None and logs[position] - below >= math.log(GAP)):
            found[position] = True
        below = logs[position]
    return found


def features(patches, dense=None):
    count = len(patches)
    boxes = torch.tensor([[0.0, 0.0, 8.0 * patches.shape[2], 8.0 * patches.shape[1]]] * count)
    vectors = torch.ones(count, patches.shape[-1])
    return ImageFeatures(vectors, vectors, patches, boxes, boxes[:, 2:].long(), "some", dense=dense or {})


def plant(encoder, positions, columns, factor=10.0):
    """A hook that makes these patch tokens of the last block ten times as long as the median one."""
    prefix = encoder.blocks.prefix

    def scale(_, __, output):
        tokens = output.clone()
        typical = output[:, prefix:].norm(dim=-1).median(dim=1).values  # (B,)
        for row, column in positions:
            at = prefix + row * columns + column
            tokens[:, at] *= (factor * typical / output[:, at].norm(dim=-1))[:, None]
        return tokens

    return encoder.blocks.of(encoder.blocks.model)[-1].register_forward_hook(scale)


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_planted_tokens_are_all_found_and_none_else(encoders, count):
    images = [scene.image for scene in playground.draw(1500 + count, 2, 96)]
    generator = torch.Generator().manual_seed(count)
    for encoder in encoders:
        columns = 12
        positions = [divmod(at, columns) for at in torch.randperm(144, generator=generator)[:count].tolist()]
        handle = plant(encoder, positions, columns)
        norms = look_inside(encoder, images, size=columns * encoder.patch, attention=False).norms[:, -1]
        handle.remove()
        expected = torch.zeros(2, 12, 12, dtype=torch.bool)
        for row, column in positions:
            expected[:, row, column] = True
        assert torch.equal(artefact_tokens(norms), expected), encoder.name


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_tokens_whose_position_embeddings_were_scaled_are_found_in_the_last_block(count, wide_dinov2):
    """Planted at the input: they go through every block and are still the ones, and the only ones, that stand out."""
    encoder = wide_dinov2(count)
    positions = encoder.blocks.model.embeddings.position_embeddings
    images = tiny.images((168, 168), seed=count)
    typical = look_inside(encoder, images, size=168, attention=False).norms[:, -1].median()
    chosen = torch.randperm(144, generator=torch.Generator().manual_seed(count))[:count]
    with torch.no_grad():
        rows = positions[0, 1 + chosen]
        positions[0, 1 + chosen] = rows * (10 * typical / rows.norm(dim=-1, keepdim=True))
    found = artefact_tokens(look_inside(encoder, images, size=168, attention=False).norms[:, -1])
    assert sorted(found.flatten().nonzero().flatten().tolist()) == sorted(chosen.tolist())


def test_the_rule_equals_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    for spread in (0.05, 0.2, 0.5, 0.9):
        norms = torch.exp(spread * torch.randn(20, 5, 7, generator=generator))
        norms[::2, 2, 3] *= 6
        norms[::3, 1, 1] *= 20
        expected = [plain_artefacts(image.flatten().tolist()) for image in norms.double()]
        assert artefact_tokens(norms).flatten(1).tolist() == expected


def test_each_image_is_judged_by_itself():
    quiet, loud = torch.ones(3, 3), torch.full((3, 3), 30.0)
    quiet[0, 0] = 30
    found = artefact_tokens(torch.stack([quiet, loud])[None])
    assert found.shape == (1, 2, 3, 3)
    assert found.nonzero().tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("norms", [torch.full((4, 4), 7.0), torch.full((1, 1), 3.0), torch.zeros(2, 3)])
def test_constant_norms_and_a_single_patch_hold_no_artefact(norms):
    assert not artefact_tokens(norms).any()


def test_a_long_tail_without_a_gap_is_no_group_of_artefacts():
    norms = torch.cat([torch.full((80,), 1.0), torch.linspace(0, 2.5, 20).exp()]).reshape(10, 10)
    assert not artefact_tokens(norms).any()
    assert artefact_tokens(norms, gap=1).any()


def test_limits_can_be_moved():
    norms = torch.tensor([[1.0, 1.02, 0.98], [1.01, 0.99, 2.2]])
    assert not artefact_tokens(norms).any()
    assert artefact_tokens(norms, ratio=2).sum() == 1
    assert not artefact_tokens(norms, ratio=2, deviations=200).any()


def test_the_embedded_models_have_no_artefacts_on_their_own_world():
    images = [scene.image for scene in playground.draw(1505, 6, 192)]
    for name in ("playground-dino", "playground-clip"):
        assert not artefact_tokens(look_inside(load_encoder(name), images, attention=False).norms[:, -1]).any()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0])
def test_norms_that_are_none_are_told_in_one_line(wrong):
    norms = torch.ones(2, 2, 2)
    norms[1, 0, 1] = wrong
    for task in (artefact_tokens, norm_summary):
        with pytest.raises(ValueError, match="1 of 8 norms are NaN, infinite or negative") as caught:
            task(norms)
        assert "\n" not in str(caught.value)


def test_wrong_shapes_and_limits_are_told():
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(\.\.\., H, W\)"):
        artefact_tokens(torch.ones(3))
    with pytest.raises(ValueError, match=r"expected \(L, H, W\)"):
        norm_summary(torch.ones(2, 2))
    for limits in ({"ratio": 1}, {"deviations": -1}, {"gap": 0.5}, {"ratio": math.nan}):
        with pytest.raises(ValueError, match="expected a ratio above 1"):
            artefact_tokens(torch.ones(2, 2), **limits)
    with pytest.raises(ValueError, match="ratio=0"):
        norm_summary(torch.ones(1, 2, 2), ratio=0)
    with pytest.raises(ValueError, match="of one image"):
        located(torch.ones(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool), (0, 0, 1, 1))


def test_a_summary_is_that_of_plain_lists():
    norms = torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(3)) + 0.1
    summary = norm_summary(norms, ratio=1.5)
    assert [each.layer for each in summary] == [1, 2]
    for layer, each in enumerate(summary):
        values = [value for image in norms for value in image[layer].flatten().tolist()]
        middle = statistics.median(values)
        assert each.mean == pytest.approx(statistics.mean(values))
        assert each.median == pytest.approx(middle)
        assert (each.min, each.max) == (pytest.approx(min(values)), pytest.approx(max(values)))
        assert each.share_above == pytest.approx(sum(value > 1.5 * middle for value in values) / len(values))


def test_artefacts_are_located_in_the_images_pixels_longest_first():
    norms = torch.ones(2, 4)
    norms[0, 3], norms[1, 0] = 20, 30
    tokens = located(norms, artefact_tokens(norms), torch.tensor([10.0, 20.0, 50.0, 40.0]))
    assert [(each.row, each.column, each.x, each.y, each.norm) for each in tokens] == [
        (1, 0, 15, 35, 30),
        (0, 3, 45, 25, 20),
    ]


def test_artefacts_give_way_to_the_mean_of_their_neighbours():
    generator = torch.Generator().manual_seed(1)
    patches, dense = torch.randn(2, 6, 7, 3, generator=generator), torch.randn(2, 6, 7, 2, generator=generator)
    found = torch.zeros(2, 6, 7, dtype=torch.bool)
    found[0, 0, 0] = found[0, 2, 3] = found[0, 2, 4] = found[1, 5, 6] = True
    given = features(patches, {"maskclip": dense})
    mended = without_artefacts(given, found)
    for before, after in ((patches, mended.patches), (dense, mended.dense["maskclip"])):
        for index, row, column in [(i, r, c) for i in range(2) for r in range(6) for c in range(7)]:
            expected = before[index, row, column]
            if found[index, row, column]:
                near = [
                    before[index, r, c]
                    for r in range(max(0, row - 1), min(6, row + 2))
                    for c in range(max(0, column - 1), min(7, column + 2))
                    if not found[index, r, c]
                ]
                expected = sum(near) / len(near)
            torch.testing.assert_close(after[index, row, column], expected)
    assert mended.pooled is given.pooled and mended.space == given.space
    assert torch.equal(given.patches, patches)


def test_a_block_of_artefacts_takes_neighbours_from_farther_off():
    patches = torch.arange(25.0).reshape(1, 5, 5, 1)
    found = torch.zeros(1, 5, 5, dtype=torch.bool)
    found[0, 1:4, 1:4] = True
    mended = without_artefacts(features(patches), found).patches[0, :, :, 0]
    assert mended[2, 2] == patches[~found].mean()
    assert mended[1, 1] == torch.tensor([0.0, 1, 2, 5, 10]).mean()


def test_taking_out_needs_a_value_a_patch_and_one_that_is_sound():
    given = features(torch.ones(1, 2, 2, 3))
    with pytest.raises(ValueError, match=r"expected bool \(1, 2, 2\)"):
        without_artefacts(given, torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="every patch of an image is an artefact"):
        without_artefacts(given, torch.ones(1, 2, 2, dtype=torch.bool))
    assert torch.equal(without_artefacts(given, torch.zeros(1, 2, 2, dtype=torch.bool)).patches, given.patches)
