"""Label-free adaptation: a model learns better text classifiers from unlabelled images of its classes.

The package is callable: `dinoclip_viz.adapt(model, images, class_names)` is `adapt.adapt.adapt`.
"""

import sys
from types import ModuleType

from dinoclip_viz.adapt.adapt import adapt as _adapt


class _Callable(ModuleType):
    """A module that can be called, since the public function and this package have one name."""

    __call__ = staticmethod(_adapt)


sys.modules[__name__].__class__ = _Callable
