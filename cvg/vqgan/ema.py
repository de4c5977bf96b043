"""A codebook that follows the latents: nearest vector, EMA update, restarts of unused codes.

Sources: van den Oord et al. 2017, arXiv:1711.00937, sec. 3 and appendix A.1 (EMA); Razavi et al.
2019, arXiv:1906.00446; Yu et al. 2021, arXiv:2110.04627, sec. 3.2 (vectors of length 1). Unusual
here: the codebook starts from the first batch's latents, and a code that would hardly be missed is
moved onto a latent of the present batch (as unused ones are in Jukebox, arXiv:2005.00341, sec. 3.1;
by its utility as in Fritzke 1997).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange

from cvg.tensors import Bool, Float32, Int64, Tensor
from cvg.training.messages import warn
from cvg.vqgan.quantizer import FRAMES_TOGETHER, Quantized, Quantizer, straight_through

LEAST_USE = 1e-6  # vectors a step; below it the running sums are too small to divide
LEAST_LENGTH = 1e-4  # a shorter vector is taken to have no direction; bounds the gradient


@dataclass(frozen=True, kw_only=True)
class EmaSettings:
    """How a codebook follows the latents.

    Attributes:
        decay: share of the running sums kept at each training step.
        restart_below: a code without which the squared error would grow by less than this share of
            what it would without another code, on average, is restarted.
        rate_weight: of the cost of seldom codes, in mean squared errors a nat; 0: none.
        normalize: latents and codebook vectors are scaled to length 1. A latent shorter than
            LEAST_LENGTH stays shorter than 1.
    """

    decay: float
    restart_below: float
    rate_weight: float
    normalize: bool


class EmaQuantizer(Quantizer):
    """Codebook of one level, kept by an exponential moving average; it takes no gradient."""

    codebook: Tensor
    cluster_size: Tensor
    vector_sum: Tensor
    utility: Tensor
    error: Tensor
    initialised: Tensor

    def __init__(
        self, *, name: str, codebook_size: int, code_dim: int, settings: EmaSettings
    ) -> None:
        """Make an empty codebook.

        Args:
            name: the level, for messages.
            codebook_size: number of codebook vectors.
            code_dim: width of a vector.
            settings: how it follows the latents.
        """
        super().__init__(name=name, codebook_size=codebook_size, code_dim=code_dim)
        self.decay = settings.decay
        self.restart_below = settings.restart_below
        self.rate_weight = settings.rate_weight
        self.normalize = settings.normalize
        # All state that changes behaviour is a buffer, so that a reloaded model goes on unchanged.
        self.register_buffer("codebook", torch.zeros(codebook_size, code_dim))
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("vector_sum", torch.zeros(codebook_size, code_dim))
        self.register_buffer("utility", torch.zeros(codebook_size))
        self.register_buffer("error", torch.tensor(0.0))  # mean squared distance of a latent
        self.register_buffer("initialised", torch.tensor(False))

    def vectors(self) -> Float32[Tensor, "k d"]:
        """Give every code's vector, row = code; not a copy."""
        return self.codebook

    def _quantize(self, encoded: Float32[Tensor, "b d h w"]) -> Quantized:
        """Replace each latent by the nearest codebook vector; by the cheapest with `rate_weight`.

        In training mode this also updates the codebook (and draws from the global generator when
        codes are initialised or restarted; several ranks draw alike); in evaluation mode no buffer
        changes. All ranks have the same buffers, to the bit: those of the whole batch.
        """
        if self.normalize:
            encoded = F.normalize(encoded, dim=1, eps=LEAST_LENGTH)
        latents = rearrange(encoded.detach(), "b d h w -> (b h w) d", d=self.code_dim)
        together = FRAMES_TOGETHER * encoded.shape[-2] * encoded.shape[-1]
        if self.training and not self.initialised:
            self._initialise(self.ranks.gathered(latents, together=together))
        distances = self._distances(latents)
        codes = (distances + self._rates()).argmin(1)
        nearest = self.codebook[codes]
        restarted = latents.new_zeros(())
        if self.training:
            restarted = self._update(latents, codes, distances, together=together)
        b, _, h, w = encoded.shape
        codes = rearrange(codes, "(b h w) -> b h w", b=b, h=h, w=w)
        quantized = rearrange(nearest, "(b h w) d -> b d h w", b=b, h=h, w=w)
        return Quantized(
            latents=straight_through(encoded, quantized),
            encoded=encoded,
            codes=codes,
            commitment_loss=F.mse_loss(encoded, quantized),
            restarted=restarted,
        )

    def _rates(self) -> Float32[Tensor, "k"]:
        """Give what a code costs besides its distance: more, the seldomer it is used.

        Source: Chou et al. 1989, "Entropy-constrained vector quantization"; here the weight is in
        units of the mean squared error. Latents that are all alike then share one code, instead of
        flickering between several that mean the same.
        """
        share = (self.cluster_size / self.cluster_size.sum().clamp(min=LEAST_USE)).clamp(LEAST_USE)
        return -self.rate_weight * self.error * share.log()

    def _distances(self, latents: Float32[Tensor, "n d"]) -> Float32[Tensor, "n k"]:
        """Give squared distances to all codebook vectors, but for what is the same for all."""
        return self.codebook.square().sum(1) - 2 * latents @ self.codebook.T

    def _initialise(self, latents: Float32[Tensor, "n d"]) -> None:
        distinct = latents.unique(dim=0)
        if len(distinct) < self.codebook_size:
            warn(
                f"level {self.name}: the codebook has {self.codebook_size} codes, but the first "
                f"batch has only {len(distinct)} distinct latents: the other codes start as "
                "copies. A smaller vqgan.codebook_size or a larger vqgan.batch_size helps"
            )
        drawn = self._drawn_from(distinct, self.codebook_size)
        self.codebook.copy_(self.ranks.from_first(drawn))
        # As if every code had been used evenly so far: no code is dead from the start.
        self.cluster_size.fill_(len(latents) / self.codebook_size)
        self.vector_sum.copy_(self.codebook * self.cluster_size[:, None])
        utility = self._utility(self._distances(latents)).mean()
        self.utility.copy_(self.ranks.from_first(utility))
        self.initialised.fill_(True)

    def _update(
        self,
        latents: Float32[Tensor, "n d"],
        codes: Int64[Tensor, "n"],
        distances: Float32[Tensor, "n k"],
        *,
        together: int,
    ) -> Float32[Tensor, ""]:
        """Move the codebook, eq. 6 to 8 of arXiv:1711.00937; give the share of restarted codes.

        Args:
            latents: of this rank.
            codes: of the latents.
            distances: to all codebook vectors.
            together: latents of the frames that one rank gets of a batch.
        """
        ranks = self.ranks
        counts = torch.bincount(codes, minlength=self.codebook_size).float()
        sums = torch.zeros_like(self.vector_sum).index_add_(0, codes, latents)
        error = (latents - self.codebook[codes]).square().sum(1).mean()
        self.cluster_size.lerp_(ranks.sum(counts), 1 - self.decay)
        self.vector_sum.lerp_(ranks.sum(sums), 1 - self.decay)
        self.utility.lerp_(ranks.sum(self._utility(distances)), 1 - self.decay)
        self.error.lerp_(ranks.mean(error), 1 - self.decay)
        dead = self.utility < self.restart_below * self.utility.mean()
        self._restart(latents, self.codebook[codes], dead, together=together)
        # A code that is not used any more stays where it is: its sums fade to zero over zero.
        moved = self.cluster_size > LEAST_USE
        means = self.vector_sum / self.cluster_size.clamp(min=LEAST_USE)[:, None]
        if self.normalize:
            # Latents of opposite directions may cancel: their code stays where it is, too.
            moved &= means.norm(dim=1) > LEAST_LENGTH
            means = F.normalize(means, dim=1)
        self.codebook.copy_(torch.where(moved[:, None], means, self.codebook))
        return dead.float().mean()

    def _utility(self, distances: Float32[Tensor, "n k"]) -> Float32[Tensor, "k"]:
        """Give for each code by how much the squared error of the batch would grow without it.

        Source: Fritzke 1997, "The LBG-U method for vector quantization". Codes that share what is
        all alike have next to none, however often they are used.
        """
        two = distances.topk(2, dim=1, largest=False)
        gains = two.values[:, 1] - two.values[:, 0]
        return torch.zeros_like(self.cluster_size).index_add_(0, two.indices[:, 0], gains)

    def _restart(
        self,
        latents: Float32[Tensor, "n d"],
        nearest: Float32[Tensor, "n d"],
        dead: Bool[Tensor, "k"],
        *,
        together: int,
    ) -> None:
        """Move dead codes onto latents of the batch, sooner onto those that are far from theirs.

        The chance of a latent is proportional to its squared distance, as in k-means++ (Arthur &
        Vassilvitskii 2007, sec. 2.2). With equal chances most codes would go to what fills most of
        the picture, such as an empty ground, and share it among them.
        """
        count = int(dead.sum())
        if count == 0:
            return
        latents, nearest = (
            self.ranks.gathered(rows, together=together) for rows in (latents, nearest)
        )
        even_use = len(latents) / self.codebook_size
        self.cluster_size[dead] = even_use
        self.utility[dead] = self.utility.mean()
        drawn = self.ranks.from_first(self._drawn_far(latents, nearest, count))
        self.vector_sum[dead] = drawn * even_use

    def _drawn_far(
        self, latents: Float32[Tensor, "n d"], nearest: Float32[Tensor, "n d"], count: int
    ) -> Float32[Tensor, "m d"]:
        distances = (latents - nearest).square().sum(1).cpu()
        if int((distances > 0).sum()) < count:
            return self._drawn_from(latents, count)
        order = torch.multinomial(distances, count)
        return latents[order.to(latents.device)]

    @staticmethod
    def _drawn_from(latents: Float32[Tensor, "n d"], count: int) -> Float32[Tensor, "m d"]:
        """Draw vectors without repetition, or as often as needed where there are too few."""
        rounds = -(-count // len(latents))
        order = torch.cat([torch.randperm(len(latents)) for _ in range(rounds)])[:count]
        return latents[order.to(latents.device)]
