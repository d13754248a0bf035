"""The connection to Ray: a cluster that is already there, or processes of this machine."""

from __future__ import annotations

import logging
import os
from typing import Any

from dinoclip_viz.scale.errors import INSTALL, ScaleError

_SPARE = (
    2  # logical CPUs in addition to those of actors; without them, actors wait for tasks that find no CPU (ray#44687)
)


def connect(cpus: int) -> Any:
    """Ray, connected: to the cluster that RAY_ADDRESS names, else to one started on this machine.

    Args:
        cpus: number of CPUs that actors will hold.

    Raises:
        ScaleError: Ray is not installed, or the cluster has too few CPUs.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError as error:
        raise ScaleError(f"Ray is not installed; {INSTALL}") from error
    if not ray.is_initialized():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        else:  # logical CPUs: more than there are is fine, the model's threads share them
            count = max(os.cpu_count() or 1, cpus + _SPARE)
            ray.init(num_cpus=count, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    found = int(ray.cluster_resources().get("CPU", 0))
    if found <= cpus:
        raise ScaleError(f"the cluster has {found} CPUs; expected at least {cpus + 1}; use fewer actors")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray
