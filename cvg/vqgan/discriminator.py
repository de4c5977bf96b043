"""The patch discriminator: judges each patch of frames, real or reconstructed; and its losses.

Sources: Isola et al. 2017, arXiv:1611.07004 (patches); Lim & Ye 2017, arXiv:1705.02894 (hinge
loss); Miyato et al. 2018, arXiv:1802.05957 (spectral norm); Esser et al. 2021, arXiv:2012.09841,
eq. 7 (adaptive weight).
"""

from typing import Literal

import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from cvg.config import NORM_GROUPS
from cvg.tensors import Float, Tensor
from cvg.training.adversarial import gradient_ratio
from cvg.training.ranks import ALONE, Ranks

SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Three convolutions with stride 2: each output sees a patch of 22x22 pixels.

    With `norm: group` a score depends on its own patch and on the mean and spread of features over
    all of the picture.
    """

    def __init__(self, width: int, *, norm: Literal["spectral", "group"], frames: int = 1) -> None:
        """Make an untrained discriminator; its weights come from the global generator.

        Args:
            width: channels of the first layer; with `group` a multiple of `NORM_GROUPS`.
            norm: `spectral` bounds every layer's gain; `group` normalises the features of the
                second and the third layer.
            frames: number of successive frames that are judged together, in 3 channels each.
        """
        super().__init__()
        shapes = ((3 * frames, width), (width, 2 * width), (2 * width, 2 * width))
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(shapes):
            layers.append(_bounded(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), norm))
            if norm == "group" and number > 0:
                layers.append(nn.GroupNorm(NORM_GROUPS, outputs))
            layers.append(nn.LeakyReLU(SLOPE))
        layers.append(_bounded(nn.Conv2d(2 * width, 1, 1), norm))
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 hp wp"]:
        """Give a score for each patch of frames in [-1, 1]; high means real."""
        return self.layers(frames)


def discriminator_loss(
    real: Float[Tensor, "b 1 hp wp"], reconstructed: Float[Tensor, "b 1 hp wp"]
) -> Float[Tensor, ""]:
    """Hinge loss of the discriminator: real above 1, reconstructed below -1."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + reconstructed).mean())


def right_share(
    real: Float[Tensor, "b 1 hp wp"], reconstructed: Float[Tensor, "b 1 hp wp"]
) -> Float[Tensor, ""]:
    """Share of scores on the right side of 0, in [0, 1]; 0.5 is a coin, 1 a sure winner."""
    return 0.5 * ((real > 0).float().mean() + (reconstructed < 0).float().mean())


def adversarial_loss(reconstructed: Float[Tensor, "b 1 hp wp"]) -> Float[Tensor, ""]:
    """Loss of the decoder: low when its patches are taken for real."""
    return -reconstructed.mean()


def adaptive_factor(
    reconstruction_loss: Float[Tensor, ""],
    adversarial: Float[Tensor, ""],
    *,
    last_layer: Tensor,
    cap: float,
    ranks: Ranks = ALONE,
) -> Float[Tensor, ""]:
    """Give the factor that makes both losses pull equally hard at the last layer.

    Source: arXiv:2012.09841, eq. 7. The published cap of 10^4 lets an untrained discriminator take
    over; ours is a parameter and is logged.
    """
    ratio = gradient_ratio(reconstruction_loss, adversarial, at=[last_layer], ranks=ranks)
    return ratio.clamp(max=cap)


def _bounded(layer: nn.Conv2d, norm: str) -> nn.Module:
    return spectral_norm(layer) if norm == "spectral" else layer
