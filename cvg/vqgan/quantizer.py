"""What every quantizer is: latents to codes and back, with guards against bad numbers.

The kinds are in cvg/vqgan/ema.py and cvg/vqgan/fsq.py; cvg/vqgan/quantizers.py picks one.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Shaped
from torch import nn

from cvg.tensors import Float, Float32, Int64, Tensor
from cvg.training.finite import NonFiniteError
from cvg.training.ranks import ALONE, Ranks

FRAMES_TOGETHER = 2  # of a batch, that one rank gets: losses look at pairs of successive ones


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What a quantizer returns."""

    latents: Float32[Tensor, "b d h w"]  # codebook vectors, gradient copied to the encoder
    encoded: Float32[Tensor, "b d h w"]  # what they stand for
    codes: Int64[Tensor, "b h w"]  # 0 .. codebook_size - 1
    commitment_loss: Float32[Tensor, ""]  # moves the encoder towards the codebook; unweighted
    restarted: Float32[Tensor, ""]  # share of the codes that this training step moved; else 0


class Quantizer(nn.Module, ABC):
    """Replaces each latent of one level by one of a finite number of vectors.

    Attributes:
        ranks: which train it together; each has its frames, dealt out by `FRAMES_TOGETHER`.
    """

    ranks: Ranks = ALONE

    def __init__(self, *, name: str, codebook_size: int, code_dim: int) -> None:
        """Keep the sizes.

        Args:
            name: the level, for messages.
            codebook_size: number of codes.
            code_dim: width of a latent.
        """
        super().__init__()
        self.name = name
        self.codebook_size = codebook_size
        self.code_dim = code_dim

    def forward(self, encoded: Float[Tensor, "b d h w"]) -> Quantized:
        """Replace each latent by the vector of its code.

        The arithmetic is in single precision whatever the autocast around it: half precision
        confuses close codes, and running sums in it stand still.

        Raises:
            NonFiniteError: a latent is not finite, in training on any rank; no buffer was changed.
        """
        with torch.autocast(encoded.device.type, enabled=False):
            encoded = encoded.float()
            self._require_finite(encoded)
            return self._quantize(encoded)

    def look_up(self, codes: Shaped[Tensor, "b h w"]) -> Float32[Tensor, "b d h w"]:
        """Give the vectors of a grid of codes.

        Args:
            codes: whole numbers of any integer type, 0 .. codebook_size - 1.

        Raises:
            ValueError: a code is out of range or the codes are not of an integer type.
        """
        codes = self._known(codes)
        return rearrange(self.vectors()[codes], "b h w d -> b d h w")

    @abstractmethod
    def vectors(self) -> Float32[Tensor, "k d"]:
        """Give every code's vector, row = code; not a copy."""

    @abstractmethod
    def _quantize(self, encoded: Float32[Tensor, "b d h w"]) -> Quantized:
        """Do what `forward` says, on finite latents and outside of any autocast."""

    def _require_finite(self, encoded: Float32[Tensor, "b d h w"]) -> None:
        # NaN goes through to both; that way one transfer from the device tells all.
        bad = int(not torch.stack(encoded.detach().aminmax()).isfinite().all())
        if self.ranks.most(bad) if self.training else bad:
            count = encoded.numel() - int(encoded.isfinite().sum())
            raise NonFiniteError(
                f"level {self.name}: {count} of {encoded.numel()} numbers in the latents are not "
                "finite"
            )

    def _known(self, codes: Shaped[Tensor, "b h w"]) -> Int64[Tensor, "b h w"]:
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise ValueError(
                f"level {self.name}: found codes of type {codes.dtype}, expected an integer type"
            )
        # An index of type uint8 would be taken for a mask.
        codes = codes.long()
        low, high = torch.stack(codes.aminmax()).tolist()
        if low < 0 or high >= self.codebook_size:
            raise ValueError(
                f"level {self.name}: found codes {low} .. {high}, "
                f"expected 0 .. {self.codebook_size - 1}"
            )
        return codes


def straight_through(
    source: Float[Tensor, "*axes"], target: Float[Tensor, "*axes"]
) -> Float[Tensor, "*axes"]:
    """Value of `target`, gradient of `source`."""
    # The difference of `source` to itself is exactly zero; source + (target - source) would only
    # come near `target`, and a decoder would see other latents than those of the stored codes.
    return target.detach() + (source - source.detach())
