"""A codebook that follows the latents: nearest vector, EMA update, restarts of unused codes.

Sources: van den Oord et al. 2017, arXiv:1711.00937, sec. 3 and appendix A.1 (EMA); Razavi et al.
2019, arXiv:1906.00446; Yu et al. 2021, arXiv:2110.04627, sec. 3.2 (vectors of length 1). Unusual
here: the codebook starts from the first batch's latents, and a code that is used far less than an
even share is moved onto a latent of the present batch (as in Jukebox, arXiv:2005.00341, sec. 3.1).
"""

import torch
import torch.nn.functional as F
from einops import rearrange

from cvg.tensors import Bool, Float32, Int64, Tensor
from cvg.training.messages import warn
from cvg.vqgan.quantizer import Quantized, Quantizer, straight_through

LEAST_USE = 1e-6  # vectors a step; below it the running sums are too small to divide
LEAST_LENGTH = 1e-4  # a shorter vector is taken to have no direction; bounds the gradient


class EmaQuantizer(Quantizer):
    """Codebook of one level, kept by an exponential moving average; it takes no gradient."""

    codebook: Tensor
    cluster_size: Tensor
    vector_sum: Tensor
    initialised: Tensor

    def __init__(
        self,
        *,
        name: str,
        codebook_size: int,
        code_dim: int,
        decay: float,
        restart_below: float,
        normalize: bool,
    ) -> None:
        """Make an empty codebook.

        Args:
            name: the level, for messages.
            codebook_size: number of codebook vectors.
            code_dim: width of a vector.
            decay: share of the running sums kept at each training step.
            restart_below: a code used less than this share of an even use is restarted.
            normalize: latents and codebook vectors are scaled to length 1. A latent shorter than
                LEAST_LENGTH stays shorter than 1.
        """
        super().__init__(name=name, codebook_size=codebook_size, code_dim=code_dim)
        self.decay = decay
        self.restart_below = restart_below
        self.normalize = normalize
        # All state that changes behaviour is a buffer, so that a reloaded model goes on unchanged.
        self.register_buffer("codebook", torch.zeros(codebook_size, code_dim))
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("vector_sum", torch.zeros(codebook_size, code_dim))
        self.register_buffer("initialised", torch.tensor(False))

    def vectors(self) -> Float32[Tensor, "k d"]:
        """Give every code's vector, row = code; not a copy."""
        return self.codebook

    def _quantize(self, encoded: Float32[Tensor, "b d h w"]) -> Quantized:
        """Replace each latent by its nearest codebook vector.

        In training mode this also updates the codebook (and draws from the global generator when
        codes are initialised or restarted); in evaluation mode no buffer changes.
        """
        if self.normalize:
            encoded = F.normalize(encoded, dim=1, eps=LEAST_LENGTH)
        latents = rearrange(encoded.detach(), "b d h w -> (b h w) d", d=self.code_dim)
        if self.training and not self.initialised:
            self._initialise(latents)
        codes = self._nearest(latents)
        nearest = self.codebook[codes]
        restarted = self._update(latents, codes) if self.training else latents.new_zeros(())
        b, _, h, w = encoded.shape
        codes = rearrange(codes, "(b h w) -> b h w", b=b, h=h, w=w)
        quantized = rearrange(nearest, "(b h w) d -> b d h w", b=b, h=h, w=w)
        return Quantized(
            latents=straight_through(encoded, quantized),
            codes=codes,
            commitment_loss=F.mse_loss(encoded, quantized),
            restarted=restarted,
        )

    def _nearest(self, latents: Float32[Tensor, "n d"]) -> Int64[Tensor, "n"]:
        """Give the index of the nearest codebook vector; ties go to the lower index."""
        # |v - c|^2 without |v|^2, which is the same for all codes.
        distances = self.codebook.square().sum(1) - 2 * latents @ self.codebook.T
        return distances.argmin(1)

    def _initialise(self, latents: Float32[Tensor, "n d"]) -> None:
        distinct = latents.unique(dim=0)
        if len(distinct) < self.codebook_size:
            warn(
                f"level {self.name}: the codebook has {self.codebook_size} codes, but the first "
                f"batch has only {len(distinct)} distinct latents: the other codes start as "
                "copies. A smaller vqgan.codebook_size or a larger vqgan.batch_size helps"
            )
        self.codebook.copy_(self._drawn_from(distinct, self.codebook_size))
        # As if every code had been used evenly so far: no code is dead from the start.
        self.cluster_size.fill_(len(latents) / self.codebook_size)
        self.vector_sum.copy_(self.codebook * self.cluster_size[:, None])
        self.initialised.fill_(True)

    def _update(
        self, latents: Float32[Tensor, "n d"], codes: Int64[Tensor, "n"]
    ) -> Float32[Tensor, ""]:
        """Move the codebook, eq. 6 to 8 of arXiv:1711.00937; give the share of restarted codes."""
        counts = torch.bincount(codes, minlength=self.codebook_size).float()
        sums = torch.zeros_like(self.vector_sum).index_add_(0, codes, latents)
        self.cluster_size.lerp_(counts, 1 - self.decay)
        self.vector_sum.lerp_(sums, 1 - self.decay)
        even_use = len(latents) / self.codebook_size
        dead = self.cluster_size < self.restart_below * even_use
        self._restart(latents, dead)
        # A code that is not used any more stays where it is: its sums fade to zero over zero.
        moved = self.cluster_size > LEAST_USE
        means = self.vector_sum / self.cluster_size.clamp(min=LEAST_USE)[:, None]
        if self.normalize:
            # Latents of opposite directions may cancel: their code stays where it is, too.
            moved &= means.norm(dim=1) > LEAST_LENGTH
            means = F.normalize(means, dim=1)
        self.codebook.copy_(torch.where(moved[:, None], means, self.codebook))
        return dead.float().mean()

    def _restart(self, latents: Float32[Tensor, "n d"], dead: Bool[Tensor, "k"]) -> None:
        count = int(dead.sum())
        if count == 0:
            return
        even_use = len(latents) / self.codebook_size
        self.cluster_size[dead] = even_use
        self.vector_sum[dead] = self._drawn_from(latents, count) * even_use

    @staticmethod
    def _drawn_from(latents: Float32[Tensor, "n d"], count: int) -> Float32[Tensor, "m d"]:
        """Draw vectors without repetition, or as often as needed where there are too few."""
        rounds = -(-count // len(latents))
        order = torch.cat([torch.randperm(len(latents)) for _ in range(rounds)])[:count]
        return latents[order.to(latents.device)]
