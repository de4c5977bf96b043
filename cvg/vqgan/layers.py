"""The blocks that encoders, decoder and discriminator are built of."""

import torch.nn.functional as F
from torch import nn

from cvg.config import NORM_GROUPS
from cvg.tensors import Float, Tensor


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        """Make a block of `width` channels."""
        super().__init__()
        self.first_norm = nn.GroupNorm(NORM_GROUPS, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second_norm = nn.GroupNorm(NORM_GROUPS, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        # Starts as the identity, so that depth costs nothing at the first steps.
        nn.init.zeros_(self.second.weight)

    def forward(self, features: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """Add the block's change to its input."""
        change = self.first(F.silu(self.first_norm(features)))
        return features + self.second(F.silu(self.second_norm(change)))


def residual_blocks(width: int, count: int) -> nn.Sequential:
    """Give `count` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def halve(width: int) -> nn.Conv2d:
    """Give a convolution that halves rows and columns."""
    return nn.Conv2d(width, width, 4, stride=2, padding=1)


def double(width: int) -> nn.Sequential:
    """Give a convolution that doubles rows and columns, by depth-to-space."""
    return nn.Sequential(nn.Conv2d(width, 4 * width, 1), nn.PixelShuffle(2))
