"""Is the VQGAN fit for use? What its training looks at, over a whole validation pass."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F

from cvg.codes.use import code_use
from cvg.tensors import Float, Int64, Tensor
from cvg.training.ranks import ALONE, Ranks, add_up
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.model import Vqgan

PIXEL_RANGE = 2.0  # frames are in [-1, 1]
USED = "used "


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
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Measure reconstruction and code use over all batches, which the ranks take in turn.

    Returns:
        `psnr` (mean over frames, dB), `psnr_top` and the like for each shorter prefix of levels,
        `l2` (mean squared error), `lpips` or `lpips_vgg` where there is a comparator, and usage and
        perplexity of each level as `usage_top`, `perplexity_top`, ...
    """
    size = vqgan.shape.quantizer.codebook_size

    def figures(frames: Float[Tensor, "_ c h w"]) -> dict[str, Tensor]:
        frames = frames.to(next(vqgan.parameters()).device)
        result = vqgan(frames)
        means = {"psnr": frame_psnr(frames, result.frames).mean()}
        means |= _prefix_psnr(vqgan, frames, result.codes)
        means["l2"] = F.mse_loss(result.frames, frames)
        if comparator is not None:
            means[comparator.figure] = comparator(result.frames, frames)
        count = torch.tensor(len(frames))
        sums = {name: mean.double() * len(frames) for name, mean in means.items()}
        used = {
            f"{USED}{level}": torch.bincount(codes.flatten().cpu(), minlength=size)
            for level, codes in result.codes.items()
        }
        return {"frames": count} | sums | used

    sums = add_up(batches, figures, ranks)
    counts = {level: sums.pop(f"{USED}{level}") for level in vqgan.shape.levels}
    num_frames = sums.pop("frames")
    means = {name: (total / num_frames).item() for name, total in sums.items()}
    for level, count in counts.items():
        use = code_use(count.long())
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
