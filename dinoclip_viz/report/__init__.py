"""A report on a folder of images: one HTML file that shows what models find, and that opens without a network.

The package is callable: `dinoclip_viz.report(folder, out, ...)` is `report.making.report`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dinoclip_viz.report.making import Report


class _Callable(ModuleType):
    """A module that can be called, since the public function and this package have one name."""

    def __call__(self, *arguments: Any, **settings: Any) -> Report:
        from dinoclip_viz.report.making import report

        return report(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
