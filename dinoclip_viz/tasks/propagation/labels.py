"""Labels of the patches of a frame, from those of the first frame and of the frames before it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.tasks.propagation.settings import DEFAULTS, PropagationSettings


class LabelPropagator:
    """Soft labels of the frames of a video, one frame after the other.

    Each patch receives the mean label of its nearest patches in the first frame and in the last frames before it, as
    in the evaluation of DINO (Caron et al. 2021, section 4.2.2), which follows that of Jabri et al. 2020. Memory holds
    the patches and the labels of `settings.context` + 1 frames, whatever the length of the video.

    Args:
        first: features of the first frame (B = 1).
        labels: (H, W, C) label of each of its patches, C values each.
        settings: context, neighbourhood, topk and temperature are used.

    Raises:
        ValueError: features of several images or with values that are not finite, or labels of another shape.
    """

    def __init__(self, first: ImageFeatures, labels: Tensor, settings: PropagationSettings = DEFAULTS) -> None:
        patches = _unit_grid(first)
        if labels.ndim != 3 or labels.shape[:2] != patches.shape[:2]:
            grid = f"{patches.shape[0]}, {patches.shape[1]}"
            raise ValueError(f"labels have shape {tuple(labels.shape)}; expected ({grid}, C)")
        self.settings, self.space, self.steps = settings, first.patch_space, 0
        frames = settings.context + 1
        self._patches = patches.new_empty(frames, *patches.shape)  # (1 + context, H, W, D), the first frame's first
        self._labels = labels.new_empty(frames, *labels.shape).float()
        self._patches[0], self._labels[0] = patches, labels

    def step(self, features: ImageFeatures) -> Tensor:
        """(H, W, C) labels of the next frame.

        Args:
            features: of the next frame (B = 1), with the grid of the first.

        Raises:
            ValueError: another grid, several images, or values that are not finite.
            SpaceError: features of another encoder.
        """
        same_space(self.space, features.patch_space)
        patches = _unit_grid(features)
        if patches.shape != self._patches.shape[1:]:
            rows, columns = self._patches.shape[1:3]
            raise ValueError(
                f"a frame has {features.grid[0]} x {features.grid[1]} patches; expected {rows} x {columns} as the "
                "first frame: all frames of a video have one size"
            )
        known = min(self.steps, self.settings.context) + 1
        labels = propagated_labels(patches, self._patches[:known], self._labels[:known], self.settings)
        if self.settings.context:
            oldest = self.steps % self.settings.context + 1
            self._patches[oldest], self._labels[oldest] = patches, labels
        self.steps += 1
        return labels


def propagated_labels(
    patches: Tensor, earlier: Tensor, labels: Tensor, settings: PropagationSettings = DEFAULTS
) -> Tensor:
    """(H, W, C) labels of a frame: for each patch the mean label of its nearest patches in earlier frames.

    The weights are a softmax over the cosines of the nearest patches. Patches are compared within the neighbourhood
    alone, a row of queries at a time.

    Args:
        patches: (H, W, D) unit vectors of the frame.
        earlier: (N, H, W, D) unit vectors of N earlier frames.
        labels: (N, H, W, C) their labels.
        settings: neighbourhood, topk and temperature are used.

    Examples:
        >>> earlier, labels = torch.eye(2)[None, None], torch.tensor([[[[1.0], [0.0]]]])
        >>> propagated_labels(torch.eye(2).flip(0)[None], earlier, labels, PropagationSettings(topk=1))
        tensor([[[0.],
                 [1.]]])
    """
    count, rows, columns, dimension = earlier.shape
    reach = settings.reach(rows, columns)
    across = torch.arange(columns)
    far = ((across[:, None] - across).abs() > reach)[None, :, None]  # (1, W, 1, W)
    found = []
    for row in range(rows):
        low, high = max(row - reach, 0), min(row + reach + 1, rows)
        keys = earlier[:, low:high].reshape(count, -1, dimension)  # (N, R * W, D), a view
        scores = patches[row] @ keys.transpose(1, 2)  # (N, W, R * W)
        scores.view(count, columns, high - low, columns).masked_fill_(far, -torch.inf)
        scores = scores.transpose(0, 1).reshape(columns, -1)  # (W, N * R * W)
        best, indices = scores.topk(min(settings.topk, scores.shape[1]), dim=1)  # (W, k); surplus ones are -inf
        weights = torch.softmax(best / settings.temperature, dim=1)
        values = labels[:, low:high].reshape(-1, labels.shape[-1])[indices]  # (W, k, C)
        found.append((weights[..., None] * values).sum(1))
    return torch.stack(found)


def patch_fractions(mask: NDArray[np.integer], grid: tuple[int, int], labels: int) -> Tensor:
    """(H, W, labels) fraction of each patch's pixels with each label, from 0 to labels - 1.

    Args:
        mask: (height, width) labels.
        grid: rows H and columns W of the patches, which cover the whole mask.
        labels: number of labels.

    Examples:
        >>> patch_fractions(np.array([[0, 0, 1, 0]]), (1, 2), 2).tolist()
        [[[1.0, 0.0], [0.5, 0.5]]]
    """
    values = torch.from_numpy(np.ascontiguousarray(mask, np.int64))
    each = [F.adaptive_avg_pool2d((values == label).float()[None], grid)[0] for label in range(labels)]
    return torch.stack(each, dim=-1)


def normalised(values: Tensor) -> Tensor:
    """(H, W, C) values with each of the C maps scaled to 0..1 by its own range; maps without a value above 0 stay.

    Examples:
        >>> normalised(torch.tensor([[[0.2, 0.0], [0.6, 0.0]]])).tolist()
        [[[0.0, 0.0], [1.0, 0.0]]]
    """
    low, high = values.amin((0, 1)), values.amax((0, 1))  # (C,)
    scaled = (values - low) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)
    return torch.where((high > 0) & (high > low), scaled, values)


def _unit_grid(features: ImageFeatures) -> Tensor:
    """(H, W, D) unit patch tokens of one frame."""
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one frame: pass features[i]")
    if not features.patches.isfinite().all():
        raise ValueError("some patches are not finite; check the encoder's dtype")
    return F.normalize(features.patches[0].float(), dim=-1)
