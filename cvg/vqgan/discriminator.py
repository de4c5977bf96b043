"""The patch discriminator: judges each patch of a frame, real or reconstructed.

Sources: Isola et al. 2017, arXiv:1611.07004 (patches); Lim & Ye 2017, arXiv:1705.02894 (hinge
loss); Miyato et al. 2018, arXiv:1802.05957 (spectral norm); Esser et al. 2021, arXiv:2012.09841,
eq. 7 (adaptive weight).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from cvg.tensors import Float, Tensor

SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Three convolutions with stride 2: each output sees a patch of 22x22 pixels."""

    def __init__(self, width: int) -> None:
        """Make a discriminator whose first layer has `width` channels."""
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(3, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(2 * width, 1, 1)),
        )

    def forward(self, frames: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 hp wp"]:
        """Give a score for each patch of frames in [-1, 1]; high means real."""
        return self.layers(frames)


def discriminator_loss(
    real: Float[Tensor, "b 1 hp wp"], reconstructed: Float[Tensor, "b 1 hp wp"]
) -> Float[Tensor, ""]:
    """Hinge loss of the discriminator: real above 1, reconstructed below -1."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + reconstructed).mean())


def adversarial_loss(reconstructed: Float[Tensor, "b 1 hp wp"]) -> Float[Tensor, ""]:
    """Loss of the decoder: low when its patches are taken for real."""
    return -reconstructed.mean()


def adaptive_factor(
    reconstruction_loss: Float[Tensor, ""],
    adversarial: Float[Tensor, ""],
    *,
    last_layer: Tensor,
    cap: float,
) -> Float[Tensor, ""]:
    """Give the factor that makes both losses pull equally hard at the last layer.

    Source: arXiv:2012.09841, eq. 7. The published cap of 10^4 lets an untrained discriminator take
    over; ours is a parameter and is logged.
    """
    (of_picture,) = torch.autograd.grad(reconstruction_loss, last_layer, retain_graph=True)
    (of_adversary,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    return (of_picture.norm() / (of_adversary.norm() + 1e-6)).clamp(max=cap).detach()
