"""The comparator: perceptual distance of two pictures by a pretrained network (LPIPS).

Source: Zhang et al. 2018, arXiv:1801.03924; as a training loss: Esser et al. 2021,
arXiv:2012.09841.
"""

import time
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from cvg.pretrained.catalog import LPIPS_TRUNKS
from cvg.pretrained.lpips import SMALLEST_SIZE, Lpips, load_lpips
from cvg.pretrained.store import locate
from cvg.tensors import Float, Tensor
from cvg.training.messages import warn


class Comparator(nn.Module):
    """Mean LPIPS of pairs of frames; frozen, but gradients pass to its inputs.

    Attributes:
        figure: what its distance is called among the figures: `lpips` is on AlexNet alone.
    """

    figure: str = "lpips"

    def __init__(self, lpips: Lpips) -> None:
        """Compare by LPIPS."""
        super().__init__()
        if lpips.net != "alex":
            self.figure = f"lpips_{lpips.net}"
        self.lpips = lpips

    def forward(
        self, frames: Float[Tensor, "b c h w"], others: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, ""]:
        """Compare frames in [-1, 1]; those too small for the network are enlarged first."""
        size = min(frames.shape[-2:])
        if size < SMALLEST_SIZE:
            factor = -(-SMALLEST_SIZE // size)
            frames, others = (
                F.interpolate(batch, scale_factor=factor, mode="nearest")
                for batch in (frames, others)
            )
        return self.lpips(frames, others).mean()

    def cost(self, frames: Float[Tensor, "b c h w"]) -> float:
        """Give the seconds that comparing these frames costs a training step, gradient included."""
        others = (0.9 * frames).requires_grad_()
        self._timed(frames, others)  # the first pass also allocates
        return min(self._timed(frames, others) for _ in range(2))

    def _timed(self, frames: Float[Tensor, "b c h w"], others: Float[Tensor, "b c h w"]) -> float:
        start = time.perf_counter()
        (gradient,) = torch.autograd.grad(self(frames, others), others)
        gradient.sum().item()  # waits for the device
        return time.perf_counter() - start


def find_comparator(
    network: Literal["alex", "vgg", "none"], *, device: torch.device
) -> Comparator | None:
    """Give the comparator, or None (with a warning) where its weights are not on this machine."""
    if network == "none":
        return None
    if locate(LPIPS_TRUNKS[network]) is None:
        warn(
            f"vqgan.comparator is {network}, but its weights are not here: training goes on "
            "without perceptual loss. `cvg weights fetch` gets them; then "
            "`dvc repro -f --single-item train_vqgan` trains again"
        )
        return None
    return Comparator(load_lpips(network, device=device))
