"""One level's codebook: nearest vector, straight-through gradient, EMA update, restarts.

Sources: van den Oord et al. 2017, arXiv:1711.00937, sec. 3 and appendix A.1 (EMA); Razavi et al.
2019, arXiv:1906.00446. Unusual here: the codebook starts from the first batch's latents, and a
code that is used far less than an even share is moved onto a latent of the present batch (as in
Jukebox, arXiv:2005.00341, sec. 3.1).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from cvg.tensors import Float, Int64, Tensor

LEAST_USE = 1e-6  # vectors a step; below it the running sums are too small to divide


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What a quantizer returns."""

    latents: Float[Tensor, "b d h w"]  # codebook vectors, gradient copied to the encoder
    codes: Int64[Tensor, "b h w"]  # 0 .. codebook_size - 1
    commitment_loss: Float[Tensor, ""]  # moves the encoder towards the codebook; unweighted


def straight_through(
    source: Float[Tensor, "*axes"], target: Float[Tensor, "*axes"]
) -> Float[Tensor, "*axes"]:
    """Value of `target`, gradient of `source`."""
    # The difference of `source` to itself is exactly zero; source + (target - source) would only
    # come near `target`, and a decoder would see other latents than those of the stored codes.
    return target.detach() + (source - source.detach())


class Quantizer(nn.Module):
    """Codebook of one level, kept by an exponential moving average; it takes no gradient."""

    codebook: Tensor
    cluster_size: Tensor
    vector_sum: Tensor
    initialised: Tensor

    def __init__(
        self, *, codebook_size: int, code_dim: int, decay: float, restart_below: float
    ) -> None:
        """Make an empty codebook.

        Args:
            codebook_size: number of codebook vectors.
            code_dim: width of a vector.
            decay: share of the running sums kept at each training step.
            restart_below: a code used less than this share of an even use is restarted.
        """
        super().__init__()
        self.decay = decay
        self.restart_below = restart_below
        # All state that changes behaviour is a buffer, so that a reloaded model goes on unchanged.
        self.register_buffer("codebook", torch.zeros(codebook_size, code_dim))
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("vector_sum", torch.zeros(codebook_size, code_dim))
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, encoded: Float[Tensor, "b d h w"]) -> Quantized:
        """Replace each latent by its nearest codebook vector.

        In training mode this also updates the codebook (and draws from the global generator when
        codes are initialised or restarted); in evaluation mode no buffer changes.
        """
        vectors = rearrange(encoded, "b d h w -> (b h w) d")
        if self.training and not self.initialised:
            self._initialise(vectors.detach())
        codes = self.nearest(vectors)
        nearest = self.codebook[codes]
        if self.training:
            self._update(vectors.detach(), codes)
        b, _, h, w = encoded.shape
        codes = rearrange(codes, "(b h w) -> b h w", b=b, h=h, w=w)
        quantized = rearrange(nearest, "(b h w) d -> b d h w", b=b, h=h, w=w)
        return Quantized(
            latents=straight_through(encoded, quantized),
            codes=codes,
            commitment_loss=F.mse_loss(encoded, quantized),
        )

    def nearest(self, vectors: Float[Tensor, "n d"]) -> Int64[Tensor, "n"]:
        """Give the index of the nearest codebook vector; ties go to the lower index."""
        # |v - c|^2 without |v|^2, which is the same for all codes. Always float32: half precision
        # confuses close codes.
        distances = self.codebook.square().sum(1) - 2 * vectors.float() @ self.codebook.T
        return distances.argmin(1)

    def look_up(self, codes: Int64[Tensor, "b h w"]) -> Float[Tensor, "b d h w"]:
        """Give the codebook vectors of a grid of codes."""
        return rearrange(self.codebook[codes], "b h w d -> b d h w")

    def _initialise(self, vectors: Float[Tensor, "n d"]) -> None:
        self.codebook.copy_(self._drawn_from(vectors, len(self.codebook)))
        # As if every code had been used evenly so far: no code is dead from the start.
        self.cluster_size.fill_(len(vectors) / len(self.codebook))
        self.vector_sum.copy_(self.codebook * self.cluster_size[:, None])
        self.initialised.fill_(True)

    def _update(self, vectors: Float[Tensor, "n d"], codes: Int64[Tensor, "n"]) -> None:
        """Move the codebook, eq. 6 to 8 of arXiv:1711.00937."""
        size = len(self.codebook)
        counts = torch.bincount(codes, minlength=size).to(vectors.dtype)
        sums = torch.zeros_like(self.vector_sum).index_add_(0, codes, vectors.float())
        self.cluster_size.lerp_(counts, 1 - self.decay)
        self.vector_sum.lerp_(sums, 1 - self.decay)
        even_use = len(vectors) / size
        self._restart(vectors, self.cluster_size < self.restart_below * even_use)
        # A code that is not used any more stays where it is: its sums fade to zero over zero.
        used = (self.cluster_size > LEAST_USE)[:, None]
        means = self.vector_sum / self.cluster_size.clamp(min=LEAST_USE)[:, None]
        self.codebook.copy_(torch.where(used, means, self.codebook))

    def _restart(self, vectors: Float[Tensor, "n d"], dead: Tensor) -> None:
        count = int(dead.sum())
        if count == 0:
            return
        even_use = len(vectors) / len(self.codebook)
        self.cluster_size[dead] = even_use
        self.vector_sum[dead] = self._drawn_from(vectors, count) * even_use

    @staticmethod
    def _drawn_from(vectors: Float[Tensor, "n d"], count: int) -> Float[Tensor, "m d"]:
        """Draw vectors without repetition, or as often as needed where there are too few."""
        rounds = -(-count // len(vectors))
        order = torch.cat([torch.randperm(len(vectors)) for _ in range(rounds)])[:count]
        return vectors[order.to(vectors.device)].float()
