"""Is the VQGAN fit for what is built on it? Figures, gates and pictures, computed and on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cvg.config import CheckVqganParams
from cvg.errors import UserError
from cvg.files import read_json, replacing_folder, save_arrays, write_json
from cvg.frames.store import FrameStore
from cvg.metrics.gates import Codebook, Gate, hold_against
from cvg.metrics.names import figure_key, flat_figures
from cvg.metrics.networks import Networks
from cvg.metrics.reconstruction import measure_clips, measure_reconstruction
from cvg.vqgan.model import Vqgan

FIGURES, ORIGIN = "figures.json", "vqgan.json"


@dataclass(frozen=True, kw_only=True)
class Health:
    """The outcome of a check."""

    # `vqgan` with psnr, psnr_top, ssim, lpips, fvd; `codes` with usage, perplexity, still and flips
    # of each level, coarse to fine. A figure that could not be computed is absent.
    figures: dict[str, dict[str, Any]]
    gates: list[Gate]
    scores: list[dict[str, Any]]  # the figures of clips with their protocol
    pictures: dict[str, np.ndarray]  # frames to look at, and counts of codes
    absent: list[str]  # a sentence for each figure that is left out


def check_health(
    store: FrameStore,
    vqgan: Vqgan,
    networks: Networks,
    *,
    params: CheckVqganParams,
    seed: int,
    device: torch.device,
) -> Health:
    """Measure a VQGAN on the held-out frames, and hold the figures against their bounds.

    Args:
        store: holds the frames.
        vqgan: on `device`, in evaluation mode.
        networks: from `load_networks`.
        params: the bounds, and the clips of the reconstruction FVD.
        seed: of the run, for the protocol.
        device: where to compute.

    Raises:
        UserError: there is no held-out frame.
    """
    frames = measure_reconstruction(store, vqgan, networks, device=device)
    clips = measure_clips(store, vqgan, networks, params=params, seed=seed, device=device)
    of_clips = {figure_key(name): score.value for name, score in clips.scores.items()}
    figures = {"vqgan": frames.quality | of_clips, "codes": frames.codes}
    codebooks = {
        level: Codebook(size=len(counts), places=int(counts.sum()))
        for level, counts in frames.counts.items()
    }
    return Health(
        figures=figures,
        gates=hold_against(flat_figures(figures), params, codebooks=codebooks),
        scores=[{"candidate": "vqgan"} | score.to_dict() for score in clips.scores.values()],
        pictures={f"frames.{name}": array for name, array in frames.shown.items()}
        | {f"counts.{level}": counts for level, counts in frames.counts.items()},
        absent=[*networks.missing, *frames.absent, *clips.absent],
    )


def write_health(folder: Path, health: Health, *, vqgan_hash: str) -> None:
    """Write a check.

    - `figures.json`: the figures, nested;
    - `gates.json`: each figure that may have a bound, with its bound, and whether it keeps it;
    - `protocol.json`: the figures of clips with the protocol by which they were computed;
    - `absent.json`: which figures are left out, and why;
    - `pictures.safetensors`: some frames to look at, and how often each code occurs;
    - `vqgan.json`: the hash of the VQGAN that was checked.
    """
    with replacing_folder(folder, marker=FIGURES) as temporary:
        write_json(temporary / FIGURES, health.figures)
        write_json(temporary / "gates.json", [gate.to_dict() for gate in health.gates])
        write_json(temporary / "protocol.json", health.scores)
        write_json(temporary / "absent.json", health.absent)
        write_json(temporary / ORIGIN, {"vqgan_hash": vqgan_hash})
        save_arrays(temporary / "pictures.safetensors", health.pictures)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What later stages read of a check."""

    figures: dict[str, dict[str, Any]]
    vqgan_hash: str  # of the VQGAN that was checked


def read_health(folder: Path) -> Checked:
    """Read the figures of a check.

    Raises:
        UserError: a file is missing or is not what `write_health` writes.
    """
    figures, origin = read_json(folder / FIGURES), read_json(folder / ORIGIN)
    if not isinstance(figures, dict) or not {"vqgan", "codes"} <= set(figures):
        raise UserError(
            f"{folder}/{FIGURES}: found no figures of a VQGAN and its codes; run check-vqgan again"
        )
    if not isinstance(origin, dict) or not isinstance(origin.get("vqgan_hash"), str):
        raise UserError(f"{folder}/{ORIGIN}: found no vqgan_hash; run check-vqgan again")
    return Checked(figures=figures, vqgan_hash=origin["vqgan_hash"])
