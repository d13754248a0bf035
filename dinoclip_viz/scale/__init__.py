"""The same work on many processes and machines, by Ray (extra `scale`).

Names are imported when they are first asked for: only who uses them needs Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoclip_viz.scale.embedding import RayEngine as RayEngine
    from dinoclip_viz.scale.errors import ScaleError as ScaleError
    from dinoclip_viz.scale.lance import LanceIndex as LanceIndex
    from dinoclip_viz.scale.training import fit_projector_on_ray as fit_projector_on_ray

_HOMES = {"LanceIndex": "lance", "RayEngine": "embedding", "ScaleError": "errors", "fit_projector_on_ray": "training"}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"dinoclip_viz.scale.{_HOMES[name]}"), name)
