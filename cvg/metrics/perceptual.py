"""LPIPS of each frame."""

import numpy as np
import torch
from einops import rearrange

from cvg.pretrained.lpips import Lpips
from cvg.tensors import Float, Tensor, UInt8


@torch.inference_mode()
def lpips_distance(
    network: Lpips,
    real: UInt8[np.ndarray, "n t h w 3"],
    generated: UInt8[np.ndarray, "n t h w 3"],
    *,
    batch_size: int = 64,
) -> Float[np.ndarray, "n t"]:
    """LPIPS of each frame; 0 for identical frames.

    Args:
        network: from `load_lpips`; which trunk it has belongs to the name of the figure.
        real: frames of at least 32x32 pixels.
        generated: frames to compare with.
        batch_size: frames at once; changes the result by no more than float32 rounding.

    Raises:
        ValueError: the frames are too small.
    """
    a = rearrange(real, "n t h w c -> (n t) h w c")
    b = rearrange(generated, "n t h w c -> (n t) h w c")
    device = next(network.buffers()).device
    rows = [
        network(
            _to_unit(a[start : start + batch_size], device),
            _to_unit(b[start : start + batch_size], device),
        ).cpu()
        for start in range(0, len(a), batch_size)
    ]
    return rearrange(torch.cat(rows).double().numpy(), "(n t) -> n t", n=len(real))


def _to_unit(frames: np.ndarray, device: torch.device) -> Tensor:
    # Colours stay innermost in memory, where convolutions are a third faster on a CPU.
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return pictures.to(device).float() / 127.5 - 1
