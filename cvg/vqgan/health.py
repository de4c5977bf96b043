"""Is the VQGAN fit for use? Figures over a whole validation pass, and their gate."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cvg.config import VqganGates
from cvg.errors import UserError
from cvg.tensors import Float, Int64, Tensor
from cvg.vqgan.model import Vqgan

PIXEL_RANGE = 2.0  # frames are in [-1, 1]


@dataclass(frozen=True, kw_only=True)
class CodeUse:
    """How a level's codes are used over a pass."""

    usage: float  # share of the codebook that occurs at all, 0 to 1
    perplexity: float  # exp of the entropy of the codes, 1 to codebook_size


def code_use(counts: Int64[Tensor, "k"]) -> CodeUse:
    """Summarise how often each code occurred.

    Perplexity is k where all codes are used evenly and 1 where a single one is.
    """
    shares = counts.double() / counts.sum()
    entropy = -torch.special.xlogy(shares, shares).sum().item()
    return CodeUse(usage=(counts > 0).double().mean().item(), perplexity=math.exp(entropy))


def frame_psnr(
    frames: Float[Tensor, "b c h w"], reconstructed: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b"]:
    """Give the peak signal-to-noise ratio of each frame in dB, after clipping to [-1, 1]."""
    errors = F.mse_loss(reconstructed.clamp(-1, 1), frames, reduction="none").mean(dim=(1, 2, 3))
    return 10 * torch.log10(PIXEL_RANGE**2 / errors.clamp(min=1e-10))


@torch.no_grad()
def measure_health(vqgan: Vqgan, batches: Iterable[Float[Tensor, "_ c h w"]]) -> dict[str, float]:
    """Measure reconstruction and code use over all batches.

    Returns:
        `psnr` and `psnr_top` (mean over frames, dB), `l2` (mean squared error), and usage and
        perplexity of each level as `usage_top`, `perplexity_top`, ...
    """
    sums = {"psnr": 0.0, "psnr_top": 0.0, "l2": 0.0}
    size = vqgan.shape.codebook_size
    counts = {level: torch.zeros(size, dtype=torch.int64) for level in ("top", "bottom")}
    num_frames = 0
    for frames in batches:
        result = vqgan(frames)
        sums["psnr"] += frame_psnr(frames, result.frames).sum().item()
        sums["psnr_top"] += frame_psnr(frames, vqgan.decode_top(result.top.codes)).sum().item()
        sums["l2"] += F.mse_loss(result.frames, frames).item() * len(frames)
        for level, quantized in (("top", result.top), ("bottom", result.bottom)):
            counts[level] += torch.bincount(quantized.codes.flatten().cpu(), minlength=size)
        num_frames += len(frames)
    figures = {name: total / num_frames for name, total in sums.items()}
    for level, count in counts.items():
        use = code_use(count)
        figures |= {f"usage_{level}": use.usage, f"perplexity_{level}": use.perplexity}
    return figures


def check_gates(figures: dict[str, float], gates: VqganGates) -> list[str]:
    """Compare figures with their thresholds, and say loudly where one is missed.

    Returns:
        A sentence for each figure beyond its threshold.

    Raises:
        UserError: there is one, and `gates.strict` is set.
    """
    bounds = {
        "psnr": (gates.min_psnr, "vqgan.gates.min_psnr"),
        "psnr_top": (gates.min_psnr_top, "vqgan.gates.min_psnr_top"),
        "usage_top": (gates.min_usage, "vqgan.gates.min_usage"),
        "usage_bottom": (gates.min_usage, "vqgan.gates.min_usage"),
    }
    missed = [
        f"held-out {name} is {figures[name]:.3g}, below {key} = {bound:g}"
        for name, (bound, key) in bounds.items()
        if not figures[name] >= bound  # so that NaN is no pass
    ]
    if missed and gates.strict:
        raise UserError(
            "the VQGAN is not fit for use: "
            + "; ".join(missed)
            + ". Train longer (vqgan.steps), or lower the gate; nothing was written"
        )
    for sentence in missed:
        sys.stderr.write(f"WARNING: health gate: {sentence}; what follows can be no better\n")
    return missed
