"""NoLA: a CLIP tuned on unlabelled images by a labelling network on a DINO's features."""

from dinoclip_viz.adapt.nola.classifier import NolaClassifier
from dinoclip_viz.adapt.nola.criterion import EpochRecord
from dinoclip_viz.adapt.nola.files import load_tuned, save_tuned
from dinoclip_viz.adapt.nola.fit import fit_nola
from dinoclip_viz.adapt.nola.labeller import Labeller, fit_labeller
from dinoclip_viz.adapt.nola.selection import select_confident
from dinoclip_viz.adapt.nola.settings import NolaSettings

__all__ = [
    "EpochRecord", "Labeller", "NolaClassifier", "NolaSettings", "fit_labeller", "fit_nola", "load_tuned",
    "save_tuned", "select_confident",
]  # fmt: skip
