"""One training step of the VQGAN: its losses and their weights."""

import torch
import torch.nn.functional as F

from cvg.config import VqganParams
from cvg.seeding import generator
from cvg.tensors import Float, Int64, Tensor
from cvg.training.finite import NonFiniteError
from cvg.training.history import in_words
from cvg.training.loop import StepResult
from cvg.training.runtime import Runtime
from cvg.training.share import Share
from cvg.vqgan.adversary import Adversary
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.model import Vqgan
from cvg.vqgan.quantizer import FRAMES_TOGETHER
from cvg.vqgan.stillness import stillness_loss


class VqganStep:
    """Computes the loss of a batch; trains the patch discriminator on the side."""

    def __init__(
        self,
        vqgan: Vqgan,
        params: VqganParams,
        *,
        comparator: Comparator | None,
        adversary: Adversary | None,
        runtime: Runtime,
        seed: int,
    ) -> None:
        """Prepare the losses.

        Args:
            vqgan: the model in training.
            params: weights of the losses.
            comparator: the perceptual loss, or None.
            adversary: the discriminator with its optimizer, or None.
            runtime: precision of the model and the comparator; the losses are in single precision.
            seed: root seed.
        """
        self.vqgan = vqgan
        self.params = params
        self.comparator = comparator
        self.adversary = adversary
        self.runtime, self.ranks = runtime, runtime.ranks
        self.seed = seed

    def __call__(self, frames: Float[Tensor, "b c h w"], step: int, part: int = 0) -> StepResult:
        """Give the loss of one batch of frames in [-1, 1], and its unweighted terms.

        Of several ranks each has its part of the batch, and of every mean over it.

        Args:
            frames: real ones.
            step: number of the optimizer step, which schedules follow.
            part: number of the batch within the step.

        Raises:
            NonFiniteError: a number is not finite; the discriminators were left as they were.
        """
        params, ranks = self.params, self.ranks
        share = ranks.share(len(frames) * ranks.count, together=FRAMES_TOGETHER)
        depth = self._depths(share, step, part).to(frames.device)
        with self.runtime.autocast():
            result = self.vqgan(frames, depth)
        shown = result.frames.float()
        figures = {"l1": F.l1_loss(shown, frames), "l2": F.mse_loss(shown, frames)}
        picture = params.l1_weight * figures["l1"] + params.l2_weight * figures["l2"]
        if self.comparator is not None:
            figures["perceptual"] = self._compare(shown, frames, share)
            picture = picture + params.comparator_weight * figures["perceptual"]
        loss = picture
        for level, quantized in result.levels.items():
            figures[f"commitment_{level}"] = quantized.commitment_loss
            figures[f"restarted_{level}"] = quantized.restarted
            loss = loss + params.commitment_weight * quantized.commitment_loss
            if params.still_weight:
                still = stillness_loss(quantized.encoded, frames, ranks=ranks)
                figures[f"still_{level}"] = still
                loss = loss + params.still_weight * still
        if self.adversary is not None:
            if ranks.most(int(not torch.isfinite(picture))):
                raise NonFiniteError(f"the loss of the picture is not finite ({in_words(figures)})")
            extra, adversarial_figures = self.adversary(
                frames, shown, picture, last_layer=self.vqgan.last_layer, step=step, part=part
            )
            loss = loss + extra
            figures |= adversarial_figures
        return StepResult(loss=loss, figures=figures)

    def _compare(
        self,
        shown: Float[Tensor, "b c h w"],
        frames: Float[Tensor, "b c h w"],
        share: Share,
    ) -> Float[Tensor, ""]:
        """Give the perceptual distance of the first frames of the whole batch."""
        assert self.comparator is not None
        count = min(compared_frames(self.params), share.total)
        own = share.below(count)
        if not own:
            return shown.new_zeros(())
        with self.runtime.autocast():
            distance = self.comparator(shown[:own], frames[:own]).float()
        return distance * (own * self.ranks.count / count)

    def _depths(self, share: Share, step: int, part: int) -> Int64[Tensor, "b"]:
        """Draw how many levels each sample is decoded from: mostly all; successive ones alike."""
        levels, successive = len(self.vqgan.shape.levels), successive_frames(self.params)
        groups = share.groups(successive)
        rng = generator(self.seed, "vqgan", "depth", step, part)
        dropped = torch.rand(groups.total, generator=rng) < self.params.bottom_drop
        fewer = torch.randint(1, max(2, levels), dropped.shape, generator=rng)
        depths = torch.where(dropped, fewer, levels)[groups.rows]
        return depths.repeat_interleave(successive)


def successive_frames(params: VqganParams) -> int:
    """Give how many successive frames of a video lie beside each other in a batch."""
    paired = params.discriminator.enabled and params.discriminator.pairs
    return 2 if paired or params.still_weight else 1


def compared_frames(params: VqganParams) -> int:
    """Give how many frames of a batch the comparator sees; at least one."""
    return max(1, round(params.comparator_share * params.batch_size))
