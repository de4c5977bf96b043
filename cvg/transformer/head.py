"""From features to the logits of the next code."""

from collections.abc import Callable

import torch
from torch import nn

from cvg.tensors import Float, Int64, Tensor


class Head(nn.Module):
    """Logits of each code's own, one for repeating the previous code, and those of nearness to it.

    Repeating is a pointer, as in See et al. 2017, arXiv:1704.04368. All that these need of the
    features is one product, which starts at zero: at first all codes are equally likely.
    """

    def __init__(self, *, width: int, codebook_size: int, code_dim: int) -> None:
        """Make a head for features of `width` numbers and codebook vectors of `code_dim`."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, codebook_size + 2 + code_dim)
        self._parts = [codebook_size, 1, 1, code_dim]

    def forward(
        self,
        features: Float[Tensor, "*n d"],
        previous: Int64[Tensor, "*n"] | None,
        vectors: Float[Tensor, "v c"],
        *,
        project: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "*n v"]:
        """Give logits.

        Args:
            features: of the last layer.
            previous: the codes at the same places one frame before; None in a first frame.
            vectors: what the codes stand for.
            project: what computes `self.project`, where its weights are laid out otherwise.
        """
        outputs = (project or self.project)(self.norm(features))
        logits, repeated, steepness, move = outputs.split(self._parts, dim=-1)
        if previous is None:
            return logits
        near = nearness(vectors[previous] + move, steepness, vectors)
        return (logits + near).scatter_add(-1, previous[..., None], repeated.to(near.dtype))


def nearness(
    point: Float[Tensor, "*n c"], steepness: Float[Tensor, "*n 1"], vectors: Float[Tensor, "v c"]
) -> Float[Tensor, "*n v"]:
    """Give logits that fall with the squared distance of codebook vectors from a point.

    What all codes have in common is left out: softmax does not see it.

    Args:
        point: the vector of the previous code, moved as the features say.
        steepness: by how much logits fall.
        vectors: of all codes.
    """
    # Small differences of large numbers: never in half precision.
    with torch.autocast(point.device.type, enabled=False):
        return steepness * (2 * point @ vectors.T - vectors.square().sum(1))
