"""PSNR and SSIM of each frame."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from cvg.tensors import Float, Tensor, UInt8

PSNR_CAP_DB = 100.0  # where frames are identical the ratio is infinite

# Wang et al. 2004: Gaussian window, sigma 1.5 pixels, cut to 11x11; what keeps a ratio of small
# numbers steady, for colours in [0, 1].
SSIM_SIGMA = 1.5
SSIM_WINDOW = 11
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2

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

    Source: Wang et al. 2004, eq. 13: 11x11 Gaussian window, sigma 1.5, mean over colours and all
    pixels, frames mirrored at their borders as in torchmetrics (others leave the borders out). Each
    frame stands for itself: no window reaches over time.

    Raises:
        ValueError: the frames are smaller than the window.
    """
    num_clips, _, height, width, _ = real.shape
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs frames of at least {SSIM_WINDOW} pixels, got {height}x{width}"
        )
    pairs = zip(_frames(real), _frames(generated), strict=True)
    flat = torch.cat([_similarity(a, b) for a, b in pairs])
    return rearrange(flat.double().numpy(), "(n t) -> n t", n=num_clips)


def _similarity(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
    """Give the SSIM of pairs of pictures with colours in [0, 1]."""
    a, b = (F.pad(x, (SSIM_WINDOW // 2,) * 4, mode="reflect") for x in (a, b))
    weights = _window().expand(a.shape[1], 1, -1, -1)
    local = F.conv2d(torch.cat([a, b, a * a, b * b, a * b]), weights, groups=a.shape[1])
    mean_a, mean_b, square_a, square_b, product = local.chunk(5)
    # Rounding can make a variance negative.
    variances = (square_a - mean_a**2).clamp(min=0) + (square_b - mean_b**2).clamp(min=0)
    covariance = product - mean_a * mean_b
    above = (2 * (mean_a * mean_b) + SSIM_C1) * (2 * covariance + SSIM_C2)
    below = (mean_a**2 + mean_b**2 + SSIM_C1) * (variances + SSIM_C2)
    return (above / below).flatten(1).mean(1)


def _window() -> Float[Tensor, "k k"]:
    """Give the weights of Gauss of a window, which add up to 1."""
    places = torch.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    line = torch.exp(-((places / SSIM_SIGMA) ** 2) / 2)
    line = line / line.sum()
    return line[:, None] @ line[None]


def _frames(clips: np.ndarray) -> Iterator[torch.Tensor]:
    """Yield some frames at a time as colours in [0, 1]."""
    frames = rearrange(clips, "n t h w c -> (n t) h w c")
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        chunk = torch.from_numpy(np.ascontiguousarray(frames[start : start + _FRAMES_AT_ONCE]))
        yield rearrange(chunk, "b h w c -> b c h w").float() / 255
