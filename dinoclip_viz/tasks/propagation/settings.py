"""Settings of the propagation through a video."""

from __future__ import annotations

from dataclasses import dataclass

from dinoclip_viz.tasks.upsampling.maps import check_method

FRACTION = 0.2
"""Default neighbourhood as a fraction of the shorter side of the grid."""


@dataclass(frozen=True)
class PropagationSettings:
    """How labels are propagated; but for `sharp`, the defaults are those of DINO (Caron et al. 2021).

    Attributes:
        context: number of frames before the current one whose labels are used, next to the first frame's; 0 or more.
        neighbourhood: largest distance between a patch and its neighbours in other frames, in patches along rows and
            along columns; 0 means no limit. None is a fifth of the grid's shorter side: the 12 patches of DINO at its
            height of 480 pixels and patches of 8.
        topk: number of nearest patches whose labels are averaged, 1 or more.
        temperature: of the softmax over their cosines, above 0.
        size: longer side in pixels at which frames are encoded; None is the encoder's default for whole images.
        sharp: method of `upsample` for the labels of pixels: "guided" measures best on moving scenes, "bilinear" is
            that of DINO.

    Raises:
        ValueError: a value is out of its range, or the method is unknown.
    """

    context: int = 7
    neighbourhood: int | None = None
    topk: int = 5
    temperature: float = 0.1
    size: int | None = None
    sharp: str = "guided"

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name, least in (("context", 0), ("neighbourhood", 0), ("topk", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; expected {least} or more")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; expected a number above 0")
        check_method(self.sharp)

    def reach(self, rows: int, columns: int) -> int:
        """The neighbourhood on a grid, in patches.

        Args:
            rows, columns: of the grid.

        Examples:
            >>> PropagationSettings().reach(60, 106), PropagationSettings(neighbourhood=0).reach(24, 32)
            (12, 32)
        """
        if self.neighbourhood is None:
            return max(1, round(FRACTION * min(rows, columns)))
        return self.neighbourhood or max(rows, columns)


DEFAULTS = PropagationSettings()
