"""Stored frames through the codebooks and back."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange

from cvg.frames.pixels import to_channels_first, to_channels_last, to_stored, to_unit
from cvg.tensors import Int64, Tensor, UInt8
from cvg.vqgan.model import Vqgan


@dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """What the codes of frames hold."""

    prefixes: dict[str, UInt8[np.ndarray, "t h w c"]]  # from the levels up to and with this one
    codes: dict[str, np.ndarray]  # int64 [t, rows, columns] of each level

    @property
    def full(self) -> UInt8[np.ndarray, "t h w c"]:
        """The frames from all levels."""
        return list(self.prefixes.values())[-1]


@torch.no_grad()
def reconstruct(
    vqgan: Vqgan, frames: UInt8[np.ndarray, "t h w c"], *, device: torch.device
) -> Reconstructed:
    """Encode and decode frames, all at once.

    Args:
        vqgan: on `device`, in evaluation mode.
        frames: bytes, as stored.
        device: where to compute.
    """
    # A copy, because a window of the store may be a read-only view.
    units = to_channels_first(to_unit(torch.from_numpy(np.array(frames)))).to(device)
    codes = vqgan.encode(units)
    prefix, pictures = {}, {}
    for level, grid in codes.items():
        prefix[level] = grid
        pictures[level] = to_channels_last(to_stored(vqgan.decode(prefix))).cpu().numpy()
    return Reconstructed(
        prefixes=pictures, codes={level: grid.cpu().numpy() for level, grid in codes.items()}
    )


@torch.no_grad()
def encode_clips(
    vqgan: Vqgan, clips: UInt8[np.ndarray, "b t h w 3"]
) -> dict[str, Int64[Tensor, "b t rows columns"]]:
    """Encode clips, all at once, where the VQGAN is; give the codes of each level."""
    device = next(vqgan.parameters()).device
    frames = torch.from_numpy(rearrange(clips, "b t h w c -> (b t) h w c"))
    codes = vqgan.encode(to_channels_first(to_unit(frames.to(device))))
    return {
        level: rearrange(grids, "(b t) rows columns -> b t rows columns", b=len(clips))
        for level, grids in codes.items()
    }
