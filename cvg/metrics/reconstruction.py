"""How well the VQGAN reconstructs held-out frames, and how its codes are used there."""

from dataclasses import dataclass

import numpy as np
import torch

from cvg.frames.store import FrameStore
from cvg.metrics.names import figure_key
from cvg.metrics.perceptual import lpips_distance
from cvg.metrics.pixels import SSIM_WINDOW, psnr, ssim
from cvg.pretrained.lpips import SMALLEST_SIZE, Lpips
from cvg.segments import Windows
from cvg.vqgan.health import code_use
from cvg.vqgan.model import Vqgan
from cvg.vqgan.reconstruct import Reconstructed, reconstruct

FRAMES_AT_ONCE = 64
FRAMES_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class ReconstructionFigures:
    """Means over all held-out frames."""

    quality: dict[str, float]  # psnr, psnr_top (dB), ssim, lpips: those that could be computed
    use: dict[str, dict[str, float]]  # usage and perplexity of each level
    counts: dict[str, np.ndarray]  # how often each code of a level occurs, int64 [k]
    shown: dict[str, np.ndarray]  # some frames: original, full, top; uint8 [m, h, w, 3]


def measure_reconstruction(
    store: FrameStore, vqgan: Vqgan, *, lpips: Lpips | None, device: torch.device
) -> ReconstructionFigures:
    """Reconstruct every held-out frame once."""
    sums: dict[str, float] = {}
    counts = {level: np.zeros(vqgan.shape.codebook_size, np.int64) for level in ("top", "bottom")}
    num_frames = 0
    for segment in store.segments("held_out"):
        for start in range(0, segment.num_frames, FRAMES_AT_ONCE):
            length = min(FRAMES_AT_ONCE, segment.num_frames - start)
            frames = store.window(segment, start, length)
            result = reconstruct(vqgan, frames, device=device)
            for name, values in _quality(frames, result, lpips).items():
                sums[name] = sums.get(name, 0.0) + float(values.sum())
            for level, codes in result.codes.items():
                counts[level] += np.bincount(codes.ravel(), minlength=len(counts[level]))
            num_frames += length
    use = {level: code_use(torch.from_numpy(count)) for level, count in counts.items()}
    return ReconstructionFigures(
        quality={name: total / num_frames for name, total in sums.items()},
        use={level: vars(figures) for level, figures in use.items()},
        counts=counts,
        shown=_examples(store, vqgan, device),
    )


def _quality(
    frames: np.ndarray, result: Reconstructed, lpips: Lpips | None
) -> dict[str, np.ndarray]:
    real, full, top = (batch[None] for batch in (frames, result.full, result.top))
    size = min(frames.shape[1:3])
    values = {"psnr": psnr(real, full), "psnr_top": psnr(real, top)}
    if size >= SSIM_WINDOW:
        values["ssim"] = ssim(real, full)
    if lpips is not None and size >= SMALLEST_SIZE:
        values[figure_key(f"lpips_{lpips.net}")] = lpips_distance(lpips, real, full)
    return values


def _examples(store: FrameStore, vqgan: Vqgan, device: torch.device) -> dict[str, np.ndarray]:
    """Reconstruct a few held-out frames, spread evenly, for people to look at."""
    windows = Windows(store.segments("held_out"), length=1).spread(FRAMES_SHOWN)
    frames = np.concatenate([store.window(w.segment, w.start, w.length) for w in windows])
    result = reconstruct(vqgan, frames, device=device)
    return {"original": frames, "full": result.full, "top": result.top}
