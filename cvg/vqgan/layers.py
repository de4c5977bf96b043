"""The blocks that encoders, decoder and discriminator are built of."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from cvg.config import NORM_GROUPS
from cvg.tensors import Float, Tensor

Norm = Literal["local", "group"]

EPSILON = 1e-6


class LocalNorm(nn.Module):
    """Scales the channels at each place to a mean square of 1, whatever is at other places.

    Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4, at each place of a picture. A group norm
    takes its statistics from the whole picture: something that moves in one corner then changes the
    codes in all the others.
    """

    def __init__(self, width: int) -> None:
        """Make a norm of `width` channels, with a trained factor and shift for each."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """Scale each place."""
        scale = torch.rsqrt(features.square().mean(1, keepdim=True) + EPSILON)
        return features * scale * self.weight[:, None, None] + self.bias[:, None, None]


def make_norm(norm: Norm, width: int, *, groups: int = NORM_GROUPS) -> nn.Module:
    """Give a norm of `width` channels."""
    return LocalNorm(width) if norm == "local" else nn.GroupNorm(groups, width)


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions beside the identity."""

    def __init__(self, width: int, norm: Norm) -> None:
        """Make a block of `width` channels."""
        super().__init__()
        self.first_norm = make_norm(norm, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second_norm = make_norm(norm, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        # Starts as the identity, so that depth costs nothing at the first steps.
        nn.init.zeros_(self.second.weight)

    def forward(self, features: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """Add the block's change to its input."""
        change = self.first(F.silu(self.first_norm(features)))
        return features + self.second(F.silu(self.second_norm(change)))


def residual_blocks(width: int, count: int, norm: Norm) -> nn.Sequential:
    """Give `count` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(width, norm) for _ in range(count)))


def halve(width: int) -> nn.Conv2d:
    """Give a convolution that halves rows and columns."""
    return nn.Conv2d(width, width, 4, stride=2, padding=1)


def double(width: int) -> nn.Sequential:
    """Give a convolution that doubles rows and columns, by depth-to-space."""
    return nn.Sequential(nn.Conv2d(width, 4 * width, 1), nn.PixelShuffle(2))
