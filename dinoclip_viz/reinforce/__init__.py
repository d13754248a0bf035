"""Reinforced data: each image with random views, further captions and teachers' embeddings (Vasu et al. 2024).

Names are imported on first use. The package is callable: `dinoclip_viz.reinforce(source, teachers, store, ...)` is
`reinforce.reinforce`.

A reinforced store is a folder with one ordinary feature store per encoder, whose images are unchanged, and next to them

    reinforced.json                  settings, library versions, and the folders of students and teachers
    views/views_0.parquet            one row per image: key, width, height, real and synthetic captions, parameters of
                                     the K views, SHA-256 of their pixels
    ENCODER/view_emb/view_emb_0.npy  (n * K, D) `pooled` of the views, image by image, float16
    ENCODER/view_mean_emb/...        (n * K, D') `mean` of the views, of students only
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dinoclip_viz.reinforce.augment import Augmentation as Augmentation
    from dinoclip_viz.reinforce.augment import View as View
    from dinoclip_viz.reinforce.augment import draw_view as draw_view
    from dinoclip_viz.reinforce.augment import replay as replay
    from dinoclip_viz.reinforce.datacompdr import ReinforcedSample as ReinforcedSample
    from dinoclip_viz.reinforce.datacompdr import read_datacompdr as read_datacompdr
    from dinoclip_viz.reinforce.datacompdr import write_datacompdr as write_datacompdr
    from dinoclip_viz.reinforce.importing import import_datacompdr as import_datacompdr
    from dinoclip_viz.reinforce.reinforcing import ReinforceReport as ReinforceReport
    from dinoclip_viz.reinforce.reinforcing import reinforce as reinforce
    from dinoclip_viz.reinforce.store import ReinforcedStore as ReinforcedStore

_HOMES = {
    "Augmentation": "augment",
    "ReinforceReport": "reinforcing",
    "ReinforcedSample": "datacompdr",
    "ReinforcedStore": "store",
    "View": "augment",
    "draw_view": "augment",
    "import_datacompdr": "importing",
    "read_datacompdr": "datacompdr",
    "reinforce": "reinforcing",
    "replay": "augment",
    "write_datacompdr": "datacompdr",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


class _Callable(ModuleType):
    """A module that can be called, since the public function and this package have one name."""

    def __call__(self, *arguments: Any, **settings: Any) -> ReinforceReport:
        from dinoclip_viz.reinforce.reinforcing import reinforce

        return reinforce(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
