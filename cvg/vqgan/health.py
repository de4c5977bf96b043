"""Is the VQGAN fit for use? What its training looks at, over a whole validation pass."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from cvg.codes.use import code_use
from cvg.tensors import Float, Int64, Tensor
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.model import Vqgan

PIXEL_RANGE = 2.0  # frames are in [-1, 1]


def frame_psnr(
    frames: Float[Tensor, "b c h w"], reconstructed: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b"]:
    """Give the peak signal-to-noise ratio of each frame in dB, after clipping to [-1, 1]."""
    errors = F.mse_loss(reconstructed.clamp(-1, 1), frames, reduction="none").mean(dim=(1, 2, 3))
    return 10 * torch.log10(PIXEL_RANGE**2 / errors.clamp(min=1e-10))


@torch.no_grad()
def measure_health(
    vqgan: Vqgan,
    batches: Iterable[Float[Tensor, "_ c h w"]],
    *,
    comparator: Comparator | None = None,
) -> dict[str, float]:
    """Measure reconstruction and code use over all batches.

    Returns:
        `psnr` (mean over frames, dB), `psnr_top` and the like for each shorter prefix of levels,
        `l2` (mean squared error), `lpips` or `lpips_vgg` where there is a comparator, and usage and
        perplexity of each level as `usage_top`, `perplexity_top`, ...
    """
    sums: dict[str, float] = {}
    size = vqgan.shape.quantizer.codebook_size
    counts = {level: torch.zeros(size, dtype=torch.int64) for level in vqgan.shape.levels}
    num_frames = 0
    for frames in batches:
        result = vqgan(frames)
        figures = {"psnr": frame_psnr(frames, result.frames).mean()}
        figures |= _prefix_psnr(vqgan, frames, result.codes)
        figures["l2"] = F.mse_loss(result.frames, frames)
        if comparator is not None:
            figures[comparator.figure] = comparator(result.frames, frames)
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value.item() * len(frames)
        for level, codes in result.codes.items():
            counts[level] += torch.bincount(codes.flatten().cpu(), minlength=size)
        num_frames += len(frames)
    means = {name: total / num_frames for name, total in sums.items()}
    for level, count in counts.items():
        use = code_use(count)
        means |= {f"usage_{level}": use.usage, f"perplexity_{level}": use.perplexity}
    return means


def _prefix_psnr(
    vqgan: Vqgan, frames: Float[Tensor, "b c h w"], codes: dict[str, Int64[Tensor, "b _ _"]]
) -> dict[str, Float[Tensor, ""]]:
    """Measure what the coarser levels say without the finest."""
    figures, prefix = {}, {}
    for level in vqgan.shape.levels[:-1]:
        prefix[level] = codes[level]
        figures[f"psnr_{level}"] = frame_psnr(frames, vqgan.decode(prefix)).mean()
    return figures
