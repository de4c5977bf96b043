"""Which run of the whole pipeline a stage belongs to."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from cvg.tracking.store import process_name


@dataclass(frozen=True, kw_only=True)
class Group:
    """One run of the pipeline, of which stages are parts.

    Attributes:
        key: the same for all its stages, and for no others.
        name: for people.
    """

    key: str
    name: str


def group_of_stage(params: Mapping[str, str]) -> Group:
    """Find the pipeline run that this process is a stage of.

    `CVG_PIPELINE` names it. Else it is the run of DVC that is our parent process, `dvc repro` or an
    experiment; or, by hand, the commands of one shell with the same parameters.

    Args:
        params: all of params.yaml, flat.
    """
    if given := os.environ.get("CVG_PIPELINE"):
        return Group(key=given.replace("'", "_"), name=given)
    # DVC runs a stage directly, so it is our parent process.
    parent = f"{platform.node()}-{process_name(os.getppid())}"
    if "DVC_STAGE" in os.environ:
        return Group(key=f"dvc-{parent}", name=os.environ.get("DVC_EXP_NAME") or "dvc repro")
    digest = hashlib.sha256(json.dumps(dict(params), sort_keys=True).encode()).hexdigest()
    return Group(key=f"shell-{parent}-{digest[:8]}", name="by hand")
