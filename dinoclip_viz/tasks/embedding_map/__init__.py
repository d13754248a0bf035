"""What many images look like together: a map in two dimensions, clusters, near duplicates and outliers."""

from dinoclip_viz.tasks.embedding_map.clusters import cluster_rows
from dinoclip_viz.tasks.embedding_map.outliers import Outlier, outliers
from dinoclip_viz.tasks.embedding_map.projection import METHODS, method_for, project
from dinoclip_viz.tasks.embedding_map.similarity import similarities
from dinoclip_viz.tasks.retrieval.duplicates import DuplicateGroup, near_duplicates

__all__ = [
    "METHODS",
    "DuplicateGroup",
    "Outlier",
    "cluster_rows",
    "method_for",
    "near_duplicates",
    "outliers",
    "project",
    "similarities",
]
