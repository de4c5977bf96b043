"""From codes to pixels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8

from cvg.frames.pixels import to_channels_last, to_stored
from cvg.tensors import Int64, Tensor
from cvg.vqgan.model import Vqgan

# Frames that are decoded at once: enough to keep a processor busy, few enough to be seen soon.
CHUNK = 16


def decode_as_they_come(
    vqgan: Vqgan, frames: Iterable[Mapping[str, Int64[Tensor, "b _ _"]]]
) -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
    """Decode frames while they are written, `CHUNK` at a time; the last chunk may be shorter."""
    written: list[Mapping[str, Tensor]] = []
    for frame in frames:
        written.append(frame)
        if len(written) == CHUNK:
            yield decode_frames(vqgan, written)
            written = []
    if written:
        yield decode_frames(vqgan, written)


@torch.no_grad()
def decode_frames(
    vqgan: Vqgan, frames: Sequence[Mapping[str, Int64[Tensor, "b _ _"]]]
) -> UInt8[np.ndarray, "b t h w 3"]:
    """Decode successive frames of several videos, all at once."""
    count = len(next(iter(frames[0].values())))
    codes = {
        level: rearrange([frame[level] for frame in frames], "t b h w -> (b t) h w")
        for level in frames[0]
    }
    pixels = to_channels_last(to_stored(vqgan.decode(codes))).cpu().numpy()
    return rearrange(pixels, "(b t) h w c -> b t h w c", b=count)
