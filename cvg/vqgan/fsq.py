"""A fixed grid instead of a codebook: each coordinate of a latent is rounded to a few values.

Source: Mentzer et al. 2023, arXiv:2309.15505, sec. 3.1 and appendix A.1. There is nothing to
train, no code can die, and no loss has to pull the encoder.
"""

import math
from collections.abc import Sequence

import torch
from einops import rearrange

from cvg.errors import UserError
from cvg.tensors import Float32, Int64, Tensor
from cvg.vqgan.quantizer import Quantized, Quantizer, straight_through

FEWEST_VALUES = 3  # with 2, rounding starts far in the tail of tanh, where the gradient is 0.001
MARGIN = 1e-3  # by which tanh reaches beyond the outermost values, so that they can be had


class FsqQuantizer(Quantizer):
    """Finite scalar quantization of one level; it has no parameters and no stored state."""

    counts: Tensor
    strides: Tensor
    table: Tensor

    def __init__(self, *, name: str, fsq_levels: Sequence[int]) -> None:
        """Lay out the grid.

        Args:
            name: the level, for messages.
            fsq_levels: number of values of each coordinate; their product is the number of codes.

        Raises:
            UserError: a coordinate has fewer than three values.
        """
        if min(fsq_levels) < FEWEST_VALUES:
            raise UserError(
                f"vqgan.fsq_levels: found {list(fsq_levels)}, expected {FEWEST_VALUES} or more "
                "each: with fewer, nearly all latents start on one value and get no gradient"
            )
        codebook_size = math.prod(fsq_levels)
        super().__init__(name=name, codebook_size=codebook_size, code_dim=len(fsq_levels))
        counts = torch.tensor(fsq_levels)
        # The first coordinate is the fastest: codes 0 and 1 differ in it alone.
        strides = torch.tensor([math.prod(fsq_levels[:place]) for place in range(len(fsq_levels))])
        digits = torch.arange(codebook_size)[:, None] // strides % counts
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("strides", strides, persistent=False)
        self.register_buffer("table", (digits - counts // 2) / (counts // 2), persistent=False)

    def vectors(self) -> Float32[Tensor, "k d"]:
        """Give every code's vector, row = code, coordinates in [-1, 1]; not a copy."""
        return self.table

    def _quantize(self, encoded: Float32[Tensor, "b d h w"]) -> Quantized:
        bounded = self._bounded(rearrange(encoded, "b d h w -> b h w d", d=self.code_dim))
        codes = self._nearest(bounded.detach())
        scaled = bounded / (self.counts // 2)
        latents = straight_through(scaled, self.table[codes])
        nothing = encoded.new_zeros(())
        return Quantized(
            latents=rearrange(latents, "b h w d -> b d h w"),
            encoded=rearrange(scaled, "b h w d -> b d h w"),
            codes=codes,
            commitment_loss=nothing,
            restarted=nothing,
        )

    def _bounded(self, latents: Float32[Tensor, "b h w d"]) -> Float32[Tensor, "b h w d"]:
        """Squash each coordinate so that rounding gives as many values as it has.

        The values of an even number are not symmetric, for example -2, -1, 0, 1; a latent of
        zero stays zero all the same.
        """
        reach = (self.counts - 1) * (1 + MARGIN) / 2
        offset = torch.where(self.counts % 2 == 0, 0.5, 0.0)
        return torch.tanh(latents + torch.atanh(offset / reach)) * reach - offset

    def _nearest(self, bounded: Float32[Tensor, "b h w d"]) -> Int64[Tensor, "b h w"]:
        digits = bounded.round().long() + self.counts // 2
        # From 1001 values on, the margin rounds to a value of its own.
        digits = digits.clamp(min=torch.zeros_like(self.counts), max=self.counts - 1)
        return (digits * self.strides).sum(-1)
