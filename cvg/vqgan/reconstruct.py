"""Stored frames through the codebooks and back."""

from dataclasses import dataclass

import numpy as np
import torch

from cvg.frames.pixels import to_channels_first, to_channels_last, to_stored, to_unit
from cvg.tensors import UInt8
from cvg.vqgan.model import Vqgan


@dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """What the codes of frames hold."""

    full: UInt8[np.ndarray, "t h w c"]  # both levels
    top: UInt8[np.ndarray, "t h w c"]  # the top level alone
    codes: dict[str, np.ndarray]  # int64 [t, rows, columns] of each level


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
    pictures = {"full": vqgan.decode(codes), "top": vqgan.decode_top(codes.top)}
    stored = {
        name: to_channels_last(to_stored(batch)).cpu().numpy() for name, batch in pictures.items()
    }
    return Reconstructed(
        full=stored["full"],
        top=stored["top"],
        codes={"top": codes.top.cpu().numpy(), "bottom": codes.bottom.cpu().numpy()},
    )
