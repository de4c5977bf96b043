"""The one door between stored bytes and the numbers that networks see."""

from itertools import pairwise

import numpy as np
import torch
from einops import rearrange

from cvg.tensors import Float, Float32, Tensor, UInt8

STILL = 2  # grey levels; a byte that changes by no more from frame to frame stands still


def to_unit(frames: UInt8[Tensor, "*axes"]) -> Float32[Tensor, "*axes"]:
    """Map 0 .. 255 to [-1, 1]; inverse of `to_stored`."""
    return frames.to(torch.float32) / 127.5 - 1


def to_stored(frames: Float[Tensor, "*axes"]) -> UInt8[Tensor, "*axes"]:
    """Map [-1, 1] to 0 .. 255, rounding and clipping; inverse of `to_unit`."""
    return ((frames.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_channels_first(frames: Tensor) -> Tensor:
    """Move the colours before rows and columns, as networks want them: `... c h w`."""
    return rearrange(frames, "... h w c -> ... c h w")


def to_channels_last(frames: Tensor) -> Tensor:
    """Move the colours behind rows and columns, as they are stored: `... h w c`."""
    return rearrange(frames, "... c h w -> ... h w c")


def changes(video: UInt8[np.ndarray, "t h w 3"]) -> Float[np.ndarray, "_"]:
    """Give the mean absolute change from each frame to the next, grey levels of 0 to 255."""
    return np.array(
        [np.abs(after.astype(np.int16) - before).mean() for before, after in pairwise(video)]
    )
