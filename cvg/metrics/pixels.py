"""PSNR and SSIM of each frame."""

from collections.abc import Iterator

import numpy as np
import torch
from einops import rearrange
from torchmetrics.functional.image import structural_similarity_index_measure

from cvg.tensors import Float, UInt8

PSNR_CAP_DB = 100.0  # where frames are identical the ratio is infinite

# Wang et al. 2004: Gaussian window, sigma 1.5 pixels, cut to 11x11.
SSIM_SIGMA = 1.5
SSIM_WINDOW = 11

# Frames that SSIM works on at once; bounds its memory.
_FRAMES_AT_ONCE = 32


def psnr(
    real: UInt8[np.ndarray, "n t h w 3"], generated: UInt8[np.ndarray, "n t h w 3"]
) -> Float[np.ndarray, "n t"]:
    """Peak signal-to-noise ratio of each frame, dB, at most 100 (identical frames)."""
    rows = [_psnr_of_clip(a, b) for a, b in zip(real, generated, strict=True)]
    return np.stack(rows)


def _psnr_of_clip(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    error = np.square(real.astype(np.float64) - generated).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(255.0**2 / error), PSNR_CAP_DB)


def ssim(
    real: UInt8[np.ndarray, "n t h w 3"], generated: UInt8[np.ndarray, "n t h w 3"]
) -> Float[np.ndarray, "n t"]:
    """Structural similarity of each frame, at most 1.

    Source: Wang et al. 2004, through torchmetrics: 11x11 Gaussian window, sigma 1.5, mean over
    colours and all pixels, frames mirrored at their borders (others leave the borders out). Each
    frame stands for itself: no window reaches over time.

    Raises:
        ValueError: the frames are smaller than the window.
    """
    num_clips, _, height, width, _ = real.shape
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs frames of at least {SSIM_WINDOW} pixels, got {height}x{width}"
        )
    values = [
        structural_similarity_index_measure(
            a, b, sigma=SSIM_SIGMA, data_range=1.0, reduction="none"
        )
        for a, b in zip(_frames(real), _frames(generated), strict=True)
    ]
    flat = torch.cat([torch.atleast_1d(torch.as_tensor(value)) for value in values])
    return rearrange(flat.double().numpy(), "(n t) -> n t", n=num_clips)


def _frames(clips: np.ndarray) -> Iterator[torch.Tensor]:
    """Yield some frames at a time as colours in [0, 1]."""
    frames = rearrange(clips, "n t h w c -> (n t) h w c")
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        chunk = torch.from_numpy(np.ascontiguousarray(frames[start : start + _FRAMES_AT_ONCE]))
        yield rearrange(chunk, "b h w c -> b c h w").float() / 255
