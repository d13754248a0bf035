"""See, question and align the features of frozen vision models.

The public names, each imported when it is first asked for: importing this package loads no model library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoclip_viz import curate as curate
    from dinoclip_viz import playground as playground
    from dinoclip_viz.adapt.adapt import adapt as adapt
    from dinoclip_viz.affordance.example import AffordanceExample as AffordanceExample
    from dinoclip_viz.affordance.fitting import fit_affordance as fit_affordance
    from dinoclip_viz.affordance.loading import load_affordance as load_affordance
    from dinoclip_viz.data.frames import frames as frames
    from dinoclip_viz.encoders import load_encoder as load_encoder
    from dinoclip_viz.encoders import load_text_encoder as load_text_encoder
    from dinoclip_viz.encoders.base import EncoderError as EncoderError
    from dinoclip_viz.encoders.base import ImageFeatures as ImageFeatures
    from dinoclip_viz.encoders.base import SpaceError as SpaceError
    from dinoclip_viz.encoders.base import TextFeatures as TextFeatures
    from dinoclip_viz.encoders.checks import check_image_encoder as check_image_encoder
    from dinoclip_viz.encoders.checks import check_text_encoder as check_text_encoder
    from dinoclip_viz.encoders.high_resolution.tiles import encode_tiled as encode_tiled
    from dinoclip_viz.encoders.inside import look_inside as look_inside
    from dinoclip_viz.hovering import hover as hover
    from dinoclip_viz.images import ImageError as ImageError
    from dinoclip_viz.images import ImageLike as ImageLike
    from dinoclip_viz.images import ImagesLike as ImagesLike
    from dinoclip_viz.images import load_image as load_image
    from dinoclip_viz.images import load_images as load_images
    from dinoclip_viz.models import HEATMAP_METHODS as HEATMAP_METHODS
    from dinoclip_viz.models import ImageTextModel as ImageTextModel
    from dinoclip_viz.models import load_model as load_model
    from dinoclip_viz.pipeline import EmbedReport as EmbedReport
    from dinoclip_viz.pipeline import embed as embed
    from dinoclip_viz.pipeline import encode_sources as encode_sources
    from dinoclip_viz.projector import Projector as Projector
    from dinoclip_viz.projector import ProjectorWithResiduals as ProjectorWithResiduals
    from dinoclip_viz.projector import load_dinov2_clip_checkpoint as load_dinov2_clip_checkpoint
    from dinoclip_viz.reinforce.reinforcing import reinforce as reinforce
    from dinoclip_viz.report.making import report as report
    from dinoclip_viz.store import FeatureStore as FeatureStore
    from dinoclip_viz.store import StoreError as StoreError
    from dinoclip_viz.tasks.correspondence.match import Correspondences as Correspondences
    from dinoclip_viz.tasks.correspondence.match import match as match
    from dinoclip_viz.tasks.open_vocabulary.heatmap import heatmap as heatmap
    from dinoclip_viz.tasks.pca.foreground import ForegroundHead as ForegroundHead
    from dinoclip_viz.tasks.pca.foreground import clicked_foreground as clicked_foreground
    from dinoclip_viz.tasks.pca.patch_pca import PatchPCA as PatchPCA
    from dinoclip_viz.tasks.pca.segments import kmeans_segments as kmeans_segments
    from dinoclip_viz.tasks.pca.segments import spectral_segments as spectral_segments
    from dinoclip_viz.tasks.probes.head_files import heads_for as heads_for
    from dinoclip_viz.tasks.probes.knn import knn_classify as knn_classify
    from dinoclip_viz.tasks.probes.linear import LinearProbe as LinearProbe
    from dinoclip_viz.tasks.probes.patch_head import PatchHead as PatchHead
    from dinoclip_viz.tasks.propagation.propagate import PropagatedFrame as PropagatedFrame
    from dinoclip_viz.tasks.propagation.propagate import propagate as propagate
    from dinoclip_viz.tasks.propagation.settings import PropagationSettings as PropagationSettings
    from dinoclip_viz.tasks.retrieval.recall import recall as recall
    from dinoclip_viz.tasks.tokens import artefact_tokens as artefact_tokens
    from dinoclip_viz.tasks.tokens import without_artefacts as without_artefacts
    from dinoclip_viz.tasks.upsampling import upsample as upsample
    from dinoclip_viz.tasks.zero_shot.classify import classify as classify
    from dinoclip_viz.tasks.zero_shot.classify import classify_or_none as classify_or_none
    from dinoclip_viz.training import RECIPES as RECIPES
    from dinoclip_viz.training import Recipe as Recipe
    from dinoclip_viz.training import fit_projector as fit_projector
    from dinoclip_viz.vlm import Detection as Detection
    from dinoclip_viz.vlm import load_vlm as load_vlm

__version__ = "1.0.0rc1"

_HOMES = {
    "frames": "data.frames",
    "load_encoder": "encoders",
    "load_text_encoder": "encoders",
    "EncoderError": "encoders.errors",
    "SpaceError": "encoders.errors",
    "ImageFeatures": "encoders.base",
    "TextFeatures": "encoders.base",
    "check_image_encoder": "encoders.checks",
    "check_text_encoder": "encoders.checks",
    "look_inside": "encoders.inside",
    "encode_tiled": "encoders.high_resolution.tiles",
    "EmbedReport": "pipeline",
    "embed": "pipeline",
    "encode_sources": "pipeline",
    "hover": "hovering",
    "ImageError": "images",
    "ImageLike": "images",
    "ImagesLike": "images",
    "load_image": "images",
    "load_images": "images",
    "HEATMAP_METHODS": "models",
    "ImageTextModel": "models",
    "load_model": "models",
    "Projector": "projector",
    "ProjectorWithResiduals": "projector",
    "load_dinov2_clip_checkpoint": "projector",
    "FeatureStore": "store",
    "StoreError": "store",
    "ForegroundHead": "tasks.pca.foreground",
    "heads_for": "tasks.probes.head_files",
    "clicked_foreground": "tasks.pca.foreground",
    "Correspondences": "tasks.correspondence.match",
    "match": "tasks.correspondence.match",
    "heatmap": "tasks.open_vocabulary.heatmap",
    "PatchHead": "tasks.probes.patch_head",
    "PatchPCA": "tasks.pca.patch_pca",
    "knn_classify": "tasks.probes.knn",
    "LinearProbe": "tasks.probes.linear",
    "PropagatedFrame": "tasks.propagation.propagate",
    "propagate": "tasks.propagation.propagate",
    "PropagationSettings": "tasks.propagation.settings",
    "recall": "tasks.retrieval.recall",
    "kmeans_segments": "tasks.pca.segments",
    "spectral_segments": "tasks.pca.segments",
    "artefact_tokens": "tasks.tokens",
    "without_artefacts": "tasks.tokens",
    "upsample": "tasks.upsampling",
    "classify": "tasks.zero_shot.classify",
    "classify_or_none": "tasks.zero_shot.classify",
    "RECIPES": "training",
    "Recipe": "training",
    "fit_projector": "training",
    "AffordanceExample": "affordance.example",
    "fit_affordance": "affordance.fitting",
    "load_affordance": "affordance.loading",
    "Detection": "vlm",
    "load_vlm": "vlm",
}

_ROOMS = ("adapt", "curate", "playground", "reinforce", "report")

__all__ = [*_HOMES, *_ROOMS]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"dinoclip_viz.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'dinoclip_viz' has no attribute {name!r}")
    return getattr(import_module(f"dinoclip_viz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
